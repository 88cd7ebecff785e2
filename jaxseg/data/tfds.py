"""TFDS builders: data sets as ArrayRecord files, written and read without TF.

Read `open_split` first. Records hold the bytes of the original files, so that both
forms of a data set decode to the same arrays; only masks that are no pictures of ids
(MATLAB files, ids in colours) become PNGs of ids.
"""

import dataclasses
import functools
import hashlib
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.core import registered

from jaxseg import config
from jaxseg.data import (
    ade20k,
    camvid,
    cityscapes,
    coco,
    coco_stuff,
    folder,
    imagenet_s,
    pascal_context,
    picture_files,
    published,
    shards,
    voc,
)
from jaxseg.data import labels as labels_lib
from jaxseg.data.published import Item
from jaxseg.data.source import Example, Source


class PairBuilder(tfds.core.GeneratorBasedBuilder):
    """Writes all splits of a data set, found at TFDS's `manual_dir`.

    Subclasses say which. Features:

        image: the picture, as it is in the folder.
        label: the mask, raw ids; one pixel where the picture has none.
        has_label: whether it has one.
        annotated: raw ids of classes that annotations give the picture, as text.
        name: of the picture, without suffix.
    """

    VERSION = tfds.core.Version("2.0.0")
    MANUAL_DOWNLOAD_INSTRUCTIONS = "manual_dir is the folder of the data set."
    folder_class: type[folder.PairFolder]
    label_dtype: Any = np.uint8

    def _info(self) -> tfds.core.DatasetInfo:
        label = tfds.features.Image(shape=(None, None, 1), dtype=self.label_dtype)
        return tfds.core.DatasetInfo(
            builder=self,
            description=self.folder_class.__doc__,
            homepage="",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(),
                    "label": label,
                    "has_label": tfds.features.Scalar(np.bool_),
                    "annotated": tfds.features.Text(),
                    "name": tfds.features.Text(),
                }
            ),
            metadata=tfds.core.MetadataDict(),
            disable_shuffling=True,  # index i is the i-th pair of the folder
        )

    def _split_generators(self, dl_manager):
        options = self.builder_config.options if self.builder_config else {}
        root = _literal(dl_manager.manual_dir)
        dataset = self.folder_class(root=root, **options)
        self.info.metadata.update(_fingerprint(dataset))
        return {
            split: self._generate_examples(dataset, items)
            for split, items in _splits(dataset).items()
        }

    def _generate_examples(self, dataset, items):
        for index, item in enumerate(items):
            yield index, record_of(dataset, item)


@dataclasses.dataclass(eq=False)
class Variant(tfds.core.BuilderConfig):
    """A configuration of a builder: one of the variants of its data set."""

    options: dict[str, Any] = dataclasses.field(default_factory=dict)


def _variants(kind: type[published.Published]) -> list[Variant]:
    return [
        Variant(name=name, options=dict(options))
        for name, options in kind.variants.items()
    ]


# TFDS has data sets of some of these names in its registry, which need TensorFlow.
with registered.skip_registration():

    class ADE20K(PairBuilder):
        """Builder of `ade20k.ADE20K`."""

        name = "ade20k"
        folder_class = ade20k.ADE20K

    class CamVid(PairBuilder):
        """Builder of `camvid.CamVid`."""

        name = "camvid"
        folder_class = camvid.CamVid

    class Cityscapes(PairBuilder):
        """Builder of `cityscapes.Cityscapes`."""

        name = "cityscapes"
        folder_class = cityscapes.Cityscapes
        BUILDER_CONFIGS = _variants(cityscapes.Cityscapes)

    class COCO(PairBuilder):
        """Builder of `coco.COCO`."""

        name = "coco"
        folder_class = coco.COCO

    class CocoStuff10k(PairBuilder):
        """Builder of `coco_stuff.CocoStuff10k`."""

        name = "coco_stuff_10k"
        folder_class = coco_stuff.CocoStuff10k

    class CocoStuff164k(PairBuilder):
        """Builder of `coco_stuff.CocoStuff164k`."""

        name = "coco_stuff_164k"
        folder_class = coco_stuff.CocoStuff164k

    class Folder(PairBuilder):
        """Builder of `folder.Folder`."""

        name = "folder"
        folder_class = folder.Folder

    class ImageNetS(PairBuilder):
        """Builder of `imagenet_s.ImageNetS`."""

        name = "imagenet_s"
        folder_class = imagenet_s.ImageNetS
        label_dtype = np.uint16
        BUILDER_CONFIGS = _variants(imagenet_s.ImageNetS)

    class PascalContext(PairBuilder):
        """Builder of `pascal_context.PascalContext`."""

        name = "pascal_context"
        folder_class = pascal_context.PascalContext
        BUILDER_CONFIGS = _variants(pascal_context.PascalContext)

    class VOC(PairBuilder):
        """Builder of `voc.VOC`."""

        name = "voc"
        folder_class = voc.VOC


BUILDERS: tuple[type[PairBuilder], ...] = (
    ADE20K,
    CamVid,
    Cityscapes,
    COCO,
    CocoStuff10k,
    CocoStuff164k,
    Folder,
    ImageNetS,
    PascalContext,
    VOC,
)


def record_of(dataset: folder.PairFolder, item: Item) -> dict[str, Any]:
    """The features of one picture; errors are those of its mask."""
    annotated: tuple[int, ...] = ()
    label: Any = item.label
    if isinstance(dataset, published.Published):
        annotated = dataset.annotated(item)
        label = label and dataset.plain_mask(label)
    if label is None:
        ids = _builder_class(dataset).label_dtype
        label = published.as_png(np.zeros((1, 1), ids))
    return {
        "image": item.image.read_bytes(),
        "label": label
        if isinstance(label, bytes)
        else pathlib.Path(label).read_bytes(),
        "has_label": item.label is not None,
        "annotated": " ".join(map(str, annotated)),
        "name": item.name,
    }


class TfdsSource:
    """Random access over a prepared split."""

    def __init__(self, records: Any, decode: published.Decoder, title: str):
        self._records = records
        self._decode = decode
        self._title = title

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int) -> Example:
        record = self._records[index]
        name = self._title_of(record)
        return self._decode(
            record["image"],
            record["label"] if record["has_label"] else b"",
            [int(i) for i in record["annotated"].split()],
            image_name=f"{name} (image)",
            label_name=f"{name} (label)",
        )

    def name(self, index: int) -> str:
        return self._title_of(self._records[index])

    def label(self, index: int) -> np.ndarray:
        """The mask alone, train ids [H, W]."""
        record = self._records[index]
        if not record["has_label"]:
            return self[index]["label"]
        return self._decode.label(
            record["label"], name=f"{self._title_of(record)} (label)"
        )

    def size(self, index: int) -> tuple[int, int]:
        """Height and width, from the header of the mask, or of a picture without."""
        record = self._records[index]
        stored = record["label"] if record["has_label"] else record["image"]
        with picture_files.opened(stored, self._title_of(record)) as file:
            return file.height, file.width

    def has_label(self, index: int) -> bool:
        """Whether a picture has a mask."""
        return bool(self._records[index]["has_label"])

    def _title_of(self, record: Any) -> str:
        return f"{self._title}/{record['name'].decode()}"


def open_split(dataset: folder.PairFolder, split: str) -> Source:
    """Opens a split of a data set's ArrayRecord copy, which is made if need be.

    Raises:
        ValueError: if there is no such split, it has no masks and is not published
            without, or the folder is not what was copied.
        FileNotFoundError: if there is neither a copy nor a folder to make it from.
    """
    builder = prepare(dataset)
    if folder.part_of(split)[0] not in builder.info.splits:
        raise ValueError(
            f"{dataset.title} in {builder.data_path} has no split {split!r}; it has "
            f"{', '.join(sorted(builder.info.splits))}"
        )
    decoders = {key: tfds.decode.SkipDecoding() for key in ("image", "label")}
    records = builder.as_data_source(split, decoders=decoders)
    decode = _decoder(dataset, _labels(builder))
    source = TfdsSource(records, decode, f"{builder.data_path}/{split}")
    if not isinstance(dataset, published.Published) and not source.has_label(0):
        raise ValueError(
            f"{source.name(0)} and all other pictures of split {split!r} have no "
            "masks: nothing can be learnt from or scored on them. Choose another "
            "split, or add masks to the folder and delete the copy"
        )
    return source


def read_labels(dataset: folder.PairFolder) -> labels_lib.LabelSet:
    """The classes as they were when the copy was made, before any are chosen."""
    return _labels(prepare(dataset))


def prepare(
    dataset: folder.PairFolder, *, progress: shards.Progress = lambda *_: None
) -> tfds.core.DatasetBuilder:
    """Makes the ArrayRecord copy of a data set, unless there is one.

    Args:
        dataset: of the folder to copy.
        progress: called as (split, pictures done, pictures in it) now and then.

    Raises:
        ValueError: if there is one of other pictures or classes.
        FileNotFoundError: if there is neither a copy nor a folder to make it from.
    """
    builder = _builder(dataset)
    if builder.info.splits:
        _check_same(builder, dataset)
        return builder
    dataset.check_exists()
    _make_folder(tfds_dir(dataset))
    builder.info.metadata.update(_fingerprint(dataset))
    splits = _splits(dataset)
    writer = shards.Writer(
        builder,
        record=functools.partial(record_of, dataset),
        decode=_decoder(dataset, dataset.read_labels()),
        progress=progress,
    )
    try:
        writer.write(
            splits,
            fingerprint=dict(builder.info.metadata),
            notes={split: _notes(dataset, split, splits[split]) for split in splits},
        )
    except OSError:
        # Another process may have finished it meanwhile.
        if not _builder(dataset).info.splits:
            raise
    return _builder(dataset)


def _builder(dataset: folder.PairFolder) -> tfds.core.DatasetBuilder:
    return _builder_class(dataset)(
        data_dir=str(tfds_dir(dataset)),
        file_format=tfds.core.FileFormat.ARRAY_RECORD,
        config=getattr(dataset, "variant", "") or None,
    )


def _make_folder(data_dir: pathlib.Path) -> None:
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(
            f"cannot write to {data_dir} ({error.strerror}): set data.tfds_dir to a "
            "folder that the ArrayRecord copy may be written to"
        ) from error


def tfds_dir(dataset: folder.PairFolder) -> pathlib.Path:
    """Where the copy is: `tfds_dir`, or the place of all TFDS data."""
    usual = os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    return pathlib.Path(config.expand(dataset.tfds_dir or usual)).absolute()


def _builder_class(dataset: folder.PairFolder) -> type[PairBuilder]:
    for builder_class in BUILDERS:
        if builder_class.folder_class is type(dataset):
            return builder_class
    raise ValueError(
        f'{type(dataset).__name__} has no TFDS builder: use data.form="folder"'
    )


def _literal(path: Any) -> str:
    """A path as `root` takes it, where $ would begin a variable."""
    return str(path).replace("$", "$$")


def _splits(dataset: folder.PairFolder) -> dict[str, Sequence[Item]]:
    """The pictures of all splits."""
    return {split: _items(dataset, split) for split in dataset.splits()}


def _items(dataset: folder.PairFolder, split: str) -> Sequence[Item]:
    """The pictures of a split, in a folder also those of one to predict only."""
    if isinstance(dataset, published.Published):
        return dataset.items(split)
    images, masks = dataset.find_files(split)
    names = dataset.read_list(split) or list(images)
    if split == "train" or masks or not names or not images.keys() >= {*names}:
        return [Item(*pair) for pair in dataset.pairs(split)]  # or says what is missing
    return [Item(name, images[name], None) for name in names]


def _notes(
    dataset: folder.PairFolder, split: str, items: Sequence[Item]
) -> Sequence[str]:
    if isinstance(dataset, published.Published):
        return dataset.findings(split, items)
    return ()


def _decoder(
    dataset: folder.PairFolder, stored: labels_lib.LabelSet
) -> published.Decoder:
    if isinstance(dataset, published.Published):
        return published.Decoder(dataset.chosen(stored), dataset.image_labels)
    return published.Decoder(stored)


def _fingerprint(dataset: folder.PairFolder) -> dict[str, Any]:
    """The classes, and a digest of names and file sizes of each split, for JSON."""
    digests = {}
    for split, items in _splits(dataset).items():
        lines = (
            f"{item.name} {os.path.getsize(item.image)} "
            f"{0 if item.label is None else os.path.getsize(item.label)}"
            for item in items
        )
        digests[split] = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    classes = dataclasses.asdict(dataset.read_labels())
    del classes["word_vectors"]  # a run's, not the folder's
    return {"classes": _as_lists(classes), "files": digests}


def _as_lists(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _as_lists(v) for key, v in value.items()}
    return [_as_lists(v) for v in value] if isinstance(value, tuple) else value


def _labels(builder: tfds.core.DatasetBuilder) -> labels_lib.LabelSet:
    classes = dict(builder.info.metadata["classes"])
    palette = tuple(tuple(colour) for colour in classes.pop("palette"))
    tuples: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in classes.items()
    }
    return labels_lib.LabelSet(palette=palette, **tuples)


def _check_same(builder: tfds.core.DatasetBuilder, dataset: folder.PairFolder) -> None:
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
