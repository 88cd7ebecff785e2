"""Masks whose pixels are colours: which colour is which class."""

import collections
import dataclasses
import functools
from collections.abc import Iterator, Sequence

import numpy as np

from jaxseg.data.labels import UNKNOWN
from jaxseg.data.source import UnknownLabelError

Colour = tuple[int, int, int]

_BLOCK = 2**22  # pixels that are looked up at once, so that memory stays small


@dataclasses.dataclass(frozen=True)
class ColourTable:
    """Train ids by colour.

    Attributes:
        colours: RGB, 0..255.
        train_ids: the train id of each; `LabelSet.ignore` for void.
        unknown: the train id of all other colours; `labels.UNKNOWN` makes them errors.
        dtype: of the masks of train ids, `LabelSet.dtype`.
    """

    colours: tuple[Colour, ...]
    train_ids: tuple[int, ...]
    unknown: int = UNKNOWN
    dtype: np.dtype = np.dtype(np.uint8)

    def __post_init__(self):
        twice = [c for c, k in collections.Counter(self.colours).items() if k > 1]
        if twice:
            raise ValueError(
                f"several classes have the colour {twice[0]}: a mask of colours needs "
                "another one for each"
            )

    @functools.cached_property
    def _table(self) -> np.ndarray:
        wide = np.int16 if self.dtype.itemsize == 1 else np.int32
        table = np.full(2**24, self.unknown, wide)
        table[pack(np.array(self.colours, np.uint8))] = self.train_ids
        return table

    def train_ids_of(self, mask: np.ndarray, *, name: str) -> np.ndarray:
        """Looks up the train id of every pixel.

        Args:
            mask: uint8 [H, W, 3], RGB.
            name: the file, for the message.

        Returns:
            [H, W] of `dtype`; void is what `train_ids` has for its colours.

        Raises:
            UnknownLabelError: counting the pixels of colours that are in no table.
        """
        ids = np.empty(mask.shape[:2], self.dtype)
        unknown: collections.Counter[int] = collections.Counter()
        for rows in row_blocks(*mask.shape[:2]):
            keys = pack(mask[rows])
            found = np.take(self._table, keys)
            if found.size and found.min() < 0:
                values, counts = np.unique(keys[found < 0], return_counts=True)
                unknown.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
            ids[rows] = found
        if unknown:
            raise UnknownLabelError(_message(name, unknown, self.colours))
        return ids


def pack(colours: np.ndarray) -> np.ndarray:
    """Makes one int32 of each uint8 RGB colour [..., 3]."""
    red, green, blue = np.moveaxis(colours.astype(np.int32), -1, 0)
    return (red << 16) | (green << 8) | blue


def unpack(key: int) -> Colour:
    """The colour of a number that `pack` made."""
    return key >> 16, (key >> 8) & 255, key & 255


def row_blocks(height: int, width: int) -> Iterator[slice]:
    """Cuts a picture into blocks of whole rows, of some millions of pixels each."""
    step = max(1, _BLOCK // max(width, 1))
    return (slice(top, top + step) for top in range(0, height, step))


def _message(
    name: str, unknown: "collections.Counter[int]", known: Sequence[Colour]
) -> str:
    shown = ", ".join(
        f"{unpack(key)} ({count} pixels)" for key, count in unknown.most_common(5)
    )
    more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
    many = (
        " So many colours come from smoothing or a JPEG: save masks without either."
        if len(unknown) > 64
        else ""
    )
    return (
        f"label {name} has colours that no class has: {shown}{more}.{many} The table "
        f"has {', '.join(map(str, known[:5]))}{' ...' if len(known) > 5 else ''}: add "
        "the colour to classes.json, as a class or with ignore_id as its id, or set "
        'config.data.unknown="ignore" to leave such pixels unlabelled'
    )
