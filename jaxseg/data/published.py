"""What the published data sets add to a folder of pairs. Read `Published` first.

They come in layouts of their own, with known numbers of pictures, with masks that are
no plain pictures of ids, with splits whose masks their authors keep, and with splits of
classes into seen and unseen.
"""

import dataclasses
import functools
import io
import pathlib
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
from absl import logging
from PIL import Image

from jaxseg import config
from jaxseg.data import folder, image_labels, picture_files, pictures, splits
from jaxseg.data import labels as labels_lib
from jaxseg.data.source import Example, PictureError, Source

# What damaged files make SciPy raise, besides an error of its own.
_MATLAB_ERRORS = (OSError, ValueError, TypeError, LookupError, RuntimeError, zlib.error)


class Item(NamedTuple):
    """A picture and its mask, None where the authors publish none."""

    name: str
    image: pathlib.Path
    label: pathlib.Path | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Published(folder.PairFolder):
    """A data set as its authors lay it out; `folder.PairFolder` has `root` and `form`.

    Attributes:
        unseen: classes that zero-shot training may not use: the name of a split of
            `splits.unseen_classes`, or class names; none by default.
        image_labels: adds `image_labels` to the examples, bool [C]: which classes the
            picture holds, from the annotations if there are any, else from the mask.
        picture_lists: by split, a file with the names of its pictures, one a line, in
            place of the folder's own list; as of a zero-shot split's authors.
    """

    unseen: str | tuple[str, ...] = ()
    image_labels: bool = False
    picture_lists: Mapping[str, str] = dataclasses.field(default_factory=dict)

    unlabelled: ClassVar[tuple[str, ...]] = ()  # splits that may come without masks
    # Values of options with which other files are read, by the name of their copy.
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    def __post_init__(self):
        super().__post_init__()
        if self.picture_lists and self.form == "tfds":
            raise ValueError(
                'config.data.picture_lists is for form="folder": an ArrayRecord copy '
                "has the lists of its folder"
            )

    @functools.cached_property
    def labels(self) -> labels_lib.LabelSet:
        """The classes that the options choose, and which of them are unseen."""
        if self.form == "tfds":
            return self.chosen(self._tfds().read_labels(self))
        return self.chosen(self.read_labels())

    def chosen(self, stored: labels_lib.LabelSet) -> labels_lib.LabelSet:
        """What the options make of the classes that masks hold."""
        return splits.apply(self.choose(stored), self.unseen)

    def source(self, split: str) -> Source:
        """The pictures of one split; errors as for `folder.PairFolder.source`.

        "train[:-500]" is all of "train" but the last 500 pictures, "train[-500:]" are
        those, as SPNet (Xian et al., CVPR 2019) sets some aside for validation.
        """
        if self.form == "tfds":
            return self._tfds().open_split(self, split)
        items = self.items(split)
        for finding in self.findings(split, items):
            logging.warning("%s at %s: %s", self.title, self.path, finding)
        return PublishedSource(self, items)

    def items(self, split: str) -> list[Item]:
        """Finds the files of a split, or of a part of it; errors as for `source`."""
        name, part = folder.part_of(split)
        items = self._items(name)[part]
        if not items:
            raise ValueError(f"{self.title} at {self.path}: {split!r} has no pictures")
        return items

    def chosen_names(self, split: str) -> list[str] | None:
        unknown = sorted(set(self.picture_lists) - set(self.splits()))
        if unknown:
            raise ValueError(
                f"config.data.picture_lists has {unknown[0]!r}, which is no split of "
                f"{self.title} at {self.path}"
                + config.suggest(unknown[0], self.splits())
            )
        if split not in self.picture_lists:
            return self.read_list(split)
        file = pathlib.Path(config.expand(self.picture_lists[split]))
        if not file.is_file():
            raise FileNotFoundError(
                f"config.data.picture_lists: there is no file {file} for {split!r}"
            )
        return folder.read_names(file.read_text().splitlines())

    def _items(self, split: str) -> list[Item]:
        if split not in self.unlabelled or split not in self.splits():
            return [Item(*pair) for pair in self.pairs(split)]
        images, masks = self.find_files(split)
        names = self.chosen_names(split)
        if names is not None:
            images = self._listed(images, names, split)
        if not images or not masks.keys().isdisjoint(images):
            return [Item(*pair) for pair in self.pairs(split)]
        return [Item(name, image, None) for name, image in images.items()]

    def findings(self, split: str, items: Sequence[Item]) -> list[str]:
        """What is unusual about a split, a sentence each; nothing if all is well."""
        found = []
        published = self.published_sizes().get(split, len(items))
        if len(items) != published:
            found.append(
                f"split {split!r} has {len(items)} pictures, the published one "
                f"{published}: this is a part of it, or another"
            )
        if items and items[0].label is None:
            found.append(
                f"split {split!r} has no masks (they are not published): every pixel "
                "is unlabelled, nothing can be learnt from or scored on it"
            )
        return found

    @property
    def variant(self) -> str:
        """The name among `variants` that the options amount to; "" if there is one."""
        for name, options in self.variants.items():
            if all(getattr(self, key) == value for key, value in options.items()):
                return name
        return ""

    # What follows depends on the data set.

    def published_sizes(self) -> Mapping[str, int]:
        """The number of pictures of each split, as published."""
        return {}

    def choose(self, table: labels_lib.LabelSet) -> labels_lib.LabelSet:
        """The classes that the options ask for, of all that masks hold."""
        return table

    def plain_mask(self, file: pathlib.Path) -> pictures.Picture:
        """A mask as a picture of raw ids: the file, or the bytes of a PNG."""
        return file

    def annotated(self, item: Item) -> tuple[int, ...]:
        """The raw ids of the classes that annotations give a picture; () if none do."""
        return ()


class PublishedSource:
    """Random access over the items of a split."""

    def __init__(self, dataset: Published, items: Sequence[Item]):
        self._dataset = dataset
        self._items = tuple(items)
        self._decode = Decoder(dataset.labels, dataset.image_labels)

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> Example:
        item = self._items[index]
        mask = b"" if item.label is None else self._dataset.plain_mask(item.label)
        return self._decode(
            item.image,
            mask,
            self._dataset.annotated(item) if self._dataset.image_labels else (),
            image_name=str(item.image),
            label_name=str(item.label),
        )

    def name(self, index: int) -> str:
        return str(self._items[index].image)

    def size(self, index: int) -> tuple[int, int]:
        """Height and width, from the header of the mask if it is a picture."""
        _, image, label = self._items[index]
        is_picture = label is not None and label.suffix in folder.SUFFIXES
        return picture_files.read_size(label if is_picture and label else image)

    def label(self, index: int) -> np.ndarray:
        """The mask alone, train ids [H, W]."""
        item = self._items[index]
        if item.label is None:
            return self[index]["label"]
        mask = self._dataset.plain_mask(item.label)
        return self._decode.label(mask, name=str(item.label))


class Decoder:
    """From a picture, a mask and annotations, as files or bytes, to an example."""

    def __init__(self, labels: labels_lib.LabelSet, with_image_labels: bool = False):
        self.labels = labels
        self._table = labels.lookup_table()
        self._with_image_labels = with_image_labels

    def __call__(
        self,
        image: pictures.Picture,
        mask: pictures.Picture,
        annotated: Sequence[int],
        *,
        image_name: str,
        label_name: str,
    ) -> Example:
        """Decodes; an empty mask is one without labels.

        Raises:
            PictureError: if the picture or the mask cannot be used.
        """
        if mask:
            example = pictures.read_example(
                image,
                mask,
                labels=self.labels,
                table=self._table,
                image_name=image_name,
                label_name=label_name,
            )
        else:
            pixels = pictures.read_image(image, name=image_name)
            nothing = np.full(pixels.shape[:2], self.labels.ignore, self.labels.dtype)
            example = {"image": pixels, "label": nothing}
        if self._with_image_labels:
            ids = self._table[list(annotated)] if annotated else example["label"]
            found = image_labels.from_mask(ids, self.labels.num_classes)
            example["image_labels"] = found
        return example

    def label(self, mask: pictures.Picture, *, name: str) -> np.ndarray:
        """Decodes a mask alone to train ids [H, W]."""
        return pictures.read_mask(
            mask, labels=self.labels, table=self._table, name=name
        )


def without_background(
    table: labels_lib.LabelSet, background: bool
) -> labels_lib.LabelSet:
    """The classes with the first, called "background", or with it unlabelled."""
    return table if background else table.without(("background",))


def as_png(ids: np.ndarray) -> bytes:
    """Encodes ids [H, W], uint8 or uint16, as a grey PNG."""
    file = io.BytesIO()
    # Read back at once or kept in a copy beside JPEGs: speed counts, not size.
    Image.fromarray(np.ascontiguousarray(ids)).save(file, "png", compress_level=1)
    return file.getvalue()


def read_matlab(file: pathlib.Path, *keys: str) -> np.ndarray:
    """Reads a mask from a MATLAB file.

    Args:
        file: ends in .mat.
        keys: the variable, then the fields of nested structures.

    Returns:
        uint8 [H, W], ids, or uint16 if there are any above 255.

    Raises:
        PictureError: if it cannot be read or holds no such mask.
    """
    from scipy.io import matlab  # slow to import, and few masks need it

    try:
        value: Any = matlab.loadmat(file, variable_names=keys[:1])[keys[0]]
        for key in keys[1:]:
            value = value[key][0, 0]
    except (*_MATLAB_ERRORS, matlab.MatReadError) as error:
        raise PictureError(
            f"cannot read {file}: {error}. It should be a MATLAB file with a mask in "
            f"{'.'.join(keys)}: replace it, or take it out of its list"
        ) from error
    ids = np.asarray(value)
    whole = ids.ndim == 2 and ids.dtype.kind in "uif" and ids.size > 0
    if not whole or ids.min() < 0 or ids.max() > 65535 or (ids % 1 != 0).any():
        raise PictureError(
            f"{file} holds no mask in {'.'.join(keys)} but {ids.dtype} {ids.shape}: "
            "a mask is a matrix of ids in 0..65535. Replace the file"
        )
    return ids.astype(np.uint8 if ids.max() < 256 else np.uint16)
