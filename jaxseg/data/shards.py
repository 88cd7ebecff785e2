"""Writes a data set as ArrayRecord files, a shard at a time. Read `write` first.

TFDS's own writer begins anew when it is interrupted, which for ImageNet is a day lost.
"""

import concurrent.futures
import itertools
import json
import os
import pathlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import tensorflow_datasets as tfds
from tensorflow_datasets.core import file_adapters

from jaxseg.data.published import Decoder, Item
from jaxseg.data.source import PictureError
from jaxseg.data.survey import Survey

SHARD_BYTES = 256 * 2**20
REPORT = "prepare_data.json"
_NOTE = "fingerprint.json"
Record: TypeAlias = dict[str, Any]
Progress: TypeAlias = Callable[[str, int, int], None]
_ARRAY_RECORD = file_adapters.FileFormat.ARRAY_RECORD
_READ_AHEAD = 64  # pictures held in memory


def write(
    builder: tfds.core.DatasetBuilder,
    splits: dict[str, Sequence[Item]],
    *,
    record: Callable[[Item], Record],
    decode: Decoder,
    fingerprint: dict[str, Any],
    progress: Progress,
) -> None:
    """Writes all splits beside their final place, and moves them there when whole.

    What an interrupted run left is taken up: shards that are finished are kept, unless
    they are of other files or classes, when all begins anew. Two runs at the same time
    write the same. `REPORT`, beside the shards, says what is in each split.

    Args:
        builder: that has not been prepared.
        splits: the pictures of each.
        record: from an item to the features of its record.
        decode: to look for pictures that cannot be used.
        fingerprint: what the copy is of, for JSON.
        progress: called as (split, pictures done, pictures in it).
    """
    partial = partial_folder(builder)
    _begin(partial, fingerprint)
    infos: list[tfds.core.SplitInfo] = []
    report: dict[str, Any] = {}
    for split, items in splits.items():
        shards = plan(items)
        template = tfds.core.ShardedFileTemplate(
            data_dir=partial,
            dataset_name=builder.name,
            split=split,
            filetype_suffix=_ARRAY_RECORD.file_suffix,
        )
        files = template.sharded_filepaths(len(shards))
        survey = Survey.empty(decode.labels.num_classes)
        progress(split, 0, len(items))
        for file, shard in zip(files, shards, strict=True):
            survey += _shard(pathlib.Path(file), shard, builder, record, decode)
            progress(split, survey.num_pictures, len(items))
        report[split] = survey.report(decode.labels)
        infos.append(
            tfds.core.SplitInfo(
                name=split,
                shard_lengths=[len(shard) for shard in shards],
                num_bytes=sum(pathlib.Path(file).stat().st_size for file in files),
                filename_template=template,
            )
        )
    _finish(builder, infos, report, partial)


def partial_folder(builder: tfds.core.DatasetBuilder) -> pathlib.Path:
    """Where a copy is until it is whole."""
    final = pathlib.Path(builder.data_path)
    return final.with_name(f"{final.name}.partial")


def plan(items: Sequence[Item], limit: int = SHARD_BYTES) -> list[list[Item]]:
    """Cuts a split into shards of about `limit` bytes, the same way every time."""
    shards: list[list[Item]] = [[]]
    size = 0
    for item in items:
        files = [file for file in (item.image, item.label) if file is not None]
        more = sum(os.path.getsize(file) for file in files)
        if size + more > limit and shards[-1]:
            shards.append([])
            size = 0
        shards[-1].append(item)
        size += more
    return shards


def _begin(partial: pathlib.Path, fingerprint: dict[str, Any]) -> None:
    note = partial / _NOTE
    if note.is_file() and json.loads(note.read_text()) == fingerprint:
        return
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True, exist_ok=True)
    _write_json(note, fingerprint)


def _shard(
    file: pathlib.Path,
    items: Sequence[Item],
    builder: tfds.core.DatasetBuilder,
    record: Callable[[Item], Record],
    decode: Decoder,
) -> Survey:
    """Writes a shard, unless it is there, and its survey beside it, in this order."""
    note = file.with_name(f"{file.name}.json")
    if note.is_file():
        return Survey.from_json(json.loads(note.read_text()))
    survey = Survey.empty(decode.labels.num_classes)
    unfinished = file.with_name(f"{file.name}.{os.getpid()}")
    file_adapters.ADAPTER_FOR_FORMAT[_ARRAY_RECORD].write_examples(
        unfinished, _serialized(items, builder, record, decode, survey)
    )
    os.replace(unfinished, file)
    _write_json(note, survey.as_json())
    return survey


def _serialized(
    items: Sequence[Item],
    builder: tfds.core.DatasetBuilder,
    record: Callable[[Item], Record],
    decode: Decoder,
    survey: Survey,
) -> Iterator[tuple[int, bytes]]:
    """Records in order, read and looked at by several threads."""

    def read(item: Item) -> tuple[Record, Any]:
        features = record(item)
        return features, _looked_at(item, features, decode)

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for first in range(0, len(items), _READ_AHEAD):
            some = items[first : first + _READ_AHEAD]
            for index, (features, found) in zip(
                itertools.count(first), pool.map(read, some), strict=False
            ):
                if isinstance(found, str):
                    survey.add_problem(found)
                else:
                    survey.add(found)
                yield index, builder.info.features.serialize_example(features)


def _looked_at(item: Item, features: Record, decode: Decoder) -> Any:
    """The train ids of a mask, or what is wrong with it or its picture."""
    try:
        example = decode(
            features["image"],
            features["label"] if features["has_label"] else b"",
            (),
            image_name=str(item.image),
            label_name=str(item.label),
        )
    except PictureError as error:
        return str(error)
    return example["label"]


def _finish(
    builder: tfds.core.DatasetBuilder,
    infos: list[tfds.core.SplitInfo],
    report: dict[str, Any],
    partial: pathlib.Path,
) -> None:
    """Makes the shards a data set that TFDS reads, and puts it in its place."""
    _write_json(partial / REPORT, report)
    builder.info.set_splits(tfds.core.splits.SplitDict(infos))
    builder.info.write_to_directory(partial)
    for note in (partial / _NOTE, *partial.glob("*.array_record*.json")):
        note.unlink()
    os.replace(partial, builder.data_path)


def _write_json(file: pathlib.Path, values: Any) -> None:
    unfinished = file.with_name(f"{file.name}.{os.getpid()}")
    unfinished.write_text(json.dumps(values))
    os.replace(unfinished, file)
