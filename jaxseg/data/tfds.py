"""TFDS builders: a folder of pairs as ArrayRecord files, written and read without TF.

Read `open_split` first. Records hold the bytes of the original files, so that both
forms of a data set decode to the same arrays; nothing is encoded anew.
"""

import dataclasses
import hashlib
import os
import pathlib
from typing import Any

import tensorflow_datasets as tfds
from tensorflow_datasets.core import registered

from jaxseg import config
from jaxseg.data import camvid, cityscapes, folder, pictures
from jaxseg.data import labels as labels_lib
from jaxseg.data.source import Example, Source


class PairBuilder(tfds.core.GeneratorBasedBuilder):
    """Writes all splits of a `folder.Folder`, found at TFDS's `manual_dir`.

    Subclasses say which.
    """

    VERSION = tfds.core.Version("1.0.0")
    MANUAL_DOWNLOAD_INSTRUCTIONS = "manual_dir is the folder of the data set."
    folder_class: type[folder.Folder]

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=self.folder_class.__doc__,
            homepage="",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(),
                    "label": tfds.features.Image(shape=(None, None, 1)),
                    "name": tfds.features.Text(),
                }
            ),
            metadata=tfds.core.MetadataDict(),
            disable_shuffling=True,  # index i is the i-th pair of the folder
        )

    def _split_generators(self, dl_manager):
        dataset = self.folder_class(root=_literal(dl_manager.manual_dir))
        self.info.metadata.update(_fingerprint(dataset))
        return {
            split: self._generate_examples(dataset.pairs(split))
            for split in dataset.splits()
        }

    def _generate_examples(self, pairs):
        for index, pair in enumerate(pairs):
            yield (
                index,
                {
                    "image": pair.image.read_bytes(),
                    "label": pair.label.read_bytes(),
                    "name": pair.name,
                },
            )


# TFDS has a `cityscapes` in its registry, one that needs TensorFlow.
with registered.skip_registration():

    class CamVid(PairBuilder):
        """Builder of `camvid.CamVid`."""

        name = "camvid"
        folder_class = camvid.CamVid

    class Cityscapes(PairBuilder):
        """Builder of `cityscapes.Cityscapes`."""

        name = "cityscapes"
        folder_class = cityscapes.Cityscapes

    class Folder(PairBuilder):
        """Builder of `folder.Folder`."""

        name = "folder"
        folder_class = folder.Folder


class TfdsSource:
    """Random access over a prepared split."""

    def __init__(self, records: Any, labels: labels_lib.LabelSet, title: str):
        self._records = records
        self._labels = labels
        self._table = labels.lookup_table()
        self._title = title

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int) -> Example:
        record = self._records[index]
        name = self._title_of(record)
        return pictures.read_example(
            record["image"],
            record["label"],
            labels=self._labels,
            table=self._table,
            image_name=f"{name} (image)",
            label_name=f"{name} (label)",
        )

    def name(self, index: int) -> str:
        return self._title_of(self._records[index])

    def _title_of(self, record: Any) -> str:
        return f"{self._title}/{record['name'].decode()}"


def open_split(dataset: folder.Folder, split: str) -> Source:
    """Opens a split of a data set's ArrayRecord copy, which is made if need be.

    Raises:
        ValueError: if there is no such split, or the folder is not what was copied.
        FileNotFoundError: if there is neither a copy nor a folder to make it from.
    """
    builder = prepare(dataset)
    if split not in builder.info.splits:
        raise ValueError(
            f"{dataset.title} in {builder.data_path} has no split {split!r}; it has "
            f"{', '.join(sorted(builder.info.splits))}"
        )
    decoders = {key: tfds.decode.SkipDecoding() for key in ("image", "label")}
    records = builder.as_data_source(split, decoders=decoders)
    title = f"{builder.data_path}/{split}"
    return TfdsSource(records, _labels(builder), title)


def read_labels(dataset: folder.Folder) -> labels_lib.LabelSet:
    """The classes as they were when the copy was made."""
    return _labels(prepare(dataset))


def prepare(dataset: folder.Folder) -> tfds.core.DatasetBuilder:
    """Makes the ArrayRecord copy of a data set, unless there is one.

    Raises:
        ValueError: if there is one of other pictures or classes.
        FileNotFoundError: if there is neither a copy nor a folder to make it from.
    """
    data_dir = tfds_dir(dataset)
    builder = _builder_class(dataset)(
        data_dir=str(data_dir), file_format=tfds.core.FileFormat.ARRAY_RECORD
    )
    if builder.info.splits:
        _check_same(builder, dataset)
        return builder
    dataset.check_exists()
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(
            f"cannot write to {data_dir} ({error.strerror}): set data.tfds_dir to a "
            "folder that the ArrayRecord copy may be written to"
        ) from error
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(manual_dir=str(dataset.path)),
    )
    return builder


def tfds_dir(dataset: folder.Folder) -> pathlib.Path:
    """Where the copy is: `tfds_dir`, or the place of all TFDS data."""
    usual = os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    return pathlib.Path(config.expand(dataset.tfds_dir or usual)).absolute()


def _builder_class(dataset: folder.Folder) -> type[PairBuilder]:
    for builder_class in (CamVid, Cityscapes, Folder):
        if builder_class.folder_class is type(dataset):
            return builder_class
    raise ValueError(
        f'{type(dataset).__name__} has no TFDS builder: use data.form="folder"'
    )


def _literal(path: Any) -> str:
    """A path as `root` takes it, where $ would begin a variable."""
    return str(path).replace("$", "$$")


def _fingerprint(dataset: folder.Folder) -> dict[str, Any]:
    """The classes, and a digest of names and file sizes of each split, for JSON."""
    digests = {}
    for split in dataset.splits():
        lines = (
            f"{pair.name} {os.path.getsize(pair.image)} {os.path.getsize(pair.label)}"
            for pair in dataset.pairs(split)
        )
        digests[split] = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    classes = dataclasses.asdict(dataset.read_labels())
    return {"classes": _as_lists(classes), "files": digests}


def _as_lists(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _as_lists(v) for key, v in value.items()}
    return [_as_lists(v) for v in value] if isinstance(value, tuple) else value


def _labels(builder: tfds.core.DatasetBuilder) -> labels_lib.LabelSet:
    classes = dict(builder.info.metadata["classes"])
    palette = tuple(tuple(colour) for colour in classes.pop("palette"))
    tuples = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in classes.items()
    }
    return labels_lib.LabelSet(palette=palette, **tuples)


def _check_same(builder: tfds.core.DatasetBuilder, dataset: folder.Folder) -> None:
    """Refuses a copy of other pictures; a copy without its folder is taken as it is."""
    if not dataset.path.is_dir():
        return
    now = _fingerprint(dataset)
    changed = [key for key in now if now[key] != builder.info.metadata[key]]
    if changed:
        raise ValueError(
            f"{builder.data_path} is a copy of {dataset.title} with other "
            f"{' and '.join(changed)} than {dataset.path} has now: delete it to have "
            "it made anew, or set data.tfds_dir to another folder"
        )
