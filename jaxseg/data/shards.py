"""Writes a data set as ArrayRecord files, a shard at a time. Read `Writer.write` first.

TFDS's own writer begins anew when it is interrupted, which for ImageNet is a day lost.
"""

import concurrent.futures
import dataclasses
import json
import os
import pathlib
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.core import file_adapters

from jaxseg.data.published import Decoder, Item
from jaxseg.data.source import PictureError
from jaxseg.data.survey import Survey

SHARD_BYTES = 256 * 2**20
REPORT = "prepare_data.json"
Record: TypeAlias = dict[str, Any]
Progress: TypeAlias = Callable[[str, int, int], None]
_NOTE = "fingerprint.json"
_ARRAY_RECORD = file_adapters.FileFormat.ARRAY_RECORD
_READ_AHEAD = 64  # pictures held in memory


@dataclasses.dataclass(frozen=True)
class Writer:
    """Makes one copy.

    Attributes:
        builder: that has not been prepared.
        record: from an item to the features of its record.
        decode: to look for pictures that cannot be used.
        progress: called as (split, pictures done, pictures in it).
    """

    builder: tfds.core.DatasetBuilder
    record: Callable[[Item], Record]
    decode: Decoder
    progress: Progress

    def write(
        self,
        splits: Mapping[str, Sequence[Item]],
        *,
        fingerprint: dict[str, Any],
        notes: Mapping[str, Sequence[str]],
    ) -> None:
        """Writes all splits beside their final place, and moves them when whole.

        What an interrupted run left is taken up: finished shards are kept, unless they
        are of other files or classes, when all begins anew. Two runs at the same time
        write the same. `REPORT`, beside the shards, says what is in each split.

        Args:
            splits: the pictures of each.
            fingerprint: what the copy is of, for JSON.
            notes: what else the report is to say of a split.
        """
        self._begin(fingerprint)
        infos, report = [], {}
        for split, items in splits.items():
            info, survey = self._write_split(split, items)
            infos.append(info)
            report[split] = survey.report(self.decode.labels) | {
                "bytes": int(info.num_bytes),
                "notes": list(notes[split]),
            }
        self._finish(infos, report)

    @property
    def partial(self) -> pathlib.Path:
        """Where the copy is until it is whole."""
        final = pathlib.Path(self.builder.data_path)
        return final.with_name(f"{final.name}.partial")

    def _begin(self, fingerprint: dict[str, Any]) -> None:
        note = self.partial / _NOTE
        if note.is_file() and json.loads(note.read_text()) == fingerprint:
            return
        shutil.rmtree(self.partial, ignore_errors=True)
        self.partial.mkdir(parents=True, exist_ok=True)
        _write_json(note, fingerprint)

    def _write_split(
        self, split: str, items: Sequence[Item]
    ) -> tuple[tfds.core.SplitInfo, Survey]:
        shards = plan(items, SHARD_BYTES)
        template = tfds.core.ShardedFileTemplate(
            data_dir=self.partial,
            dataset_name=self.builder.name,
            split=split,
            filetype_suffix=_ARRAY_RECORD.file_suffix,
        )
        files = [pathlib.Path(f) for f in template.sharded_filepaths(len(shards))]
        survey = Survey.empty(self.decode.labels.num_classes)
        for file, shard in zip(files, shards, strict=True):
            before = survey.num_pictures

            def tick(more: int, before: int = before) -> None:
                self.progress(split, before + more, len(items))

            survey += self._write_shard(file, shard, tick)
            tick(len(shard))
        info = tfds.core.SplitInfo(
            name=split,
            shard_lengths=[len(shard) for shard in shards],
            num_bytes=sum(file.stat().st_size for file in files),
            filename_template=template,
        )
        return info, survey

    def _write_shard(
        self, file: pathlib.Path, items: Sequence[Item], tick: Callable[[int], None]
    ) -> Survey:
        """Writes a shard, unless it is there, and then its survey beside it."""
        note = file.with_name(f"{file.name}.json")
        if note.is_file():
            return Survey.from_json(json.loads(note.read_text()))
        survey = Survey.empty(self.decode.labels.num_classes)
        unfinished = file.with_name(f"{file.name}.{os.getpid()}")
        adapter = file_adapters.ADAPTER_FOR_FORMAT[_ARRAY_RECORD]
        adapter.write_examples(unfinished, self._serialized(items, survey, tick))
        os.replace(unfinished, file)
        _write_json(note, survey.as_json())
        return survey

    def _serialized(
        self, items: Sequence[Item], survey: Survey, tick: Callable[[int], None]
    ) -> Iterator[tuple[int, bytes]]:
        """Records in order, read and looked at by several threads."""
        serialize = self.builder.info.features.serialize_example
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            for first in range(0, len(items), _READ_AHEAD):
                some = items[first : first + _READ_AHEAD]
                for record, found in pool.map(self._read, some):
                    if isinstance(found, str):
                        survey.add_problem(found)
                    else:
                        survey.add(found)
                    yield survey.num_pictures - 1, serialize(record)
                tick(survey.num_pictures)

    def _read(self, item: Item) -> tuple[Record, np.ndarray | str]:
        """A record, and the train ids of its mask or what is wrong with it."""
        record = self.record(item)
        try:
            example = self.decode(
                record["image"],
                record["label"] if record["has_label"] else b"",
                (),
                image_name=str(item.image),
                label_name=str(item.label),
            )
        except PictureError as error:
            return record, str(error)
        return record, example["label"]

    def _finish(
        self, infos: Sequence[tfds.core.SplitInfo], report: dict[str, Any]
    ) -> None:
        """Makes the shards a data set that TFDS reads, and puts it in its place."""
        _write_json(self.partial / REPORT, report)
        self.builder.info.set_splits(tfds.core.splits.SplitDict(infos))
        self.builder.info.write_to_directory(self.partial)
        # Notes on shards, and what a run that was killed had begun to write.
        for rest in (*self.partial.glob("*.array_record-*.*"), self.partial / _NOTE):
            rest.unlink()
        os.replace(self.partial, self.builder.data_path)


def plan(items: Sequence[Item], limit: int) -> list[list[Item]]:
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


def _write_json(file: pathlib.Path, values: Any) -> None:
    unfinished = file.with_name(f"{file.name}.{os.getpid()}")
    unfinished.write_text(json.dumps(values))
    os.replace(unfinished, file)
