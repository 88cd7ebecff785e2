"""What a data set is to the rest of jaxseg: labels, and pictures by index."""

from typing import Any, Protocol, TypeAlias

import numpy as np

from jaxseg.data import labels as labels_lib

Example: TypeAlias = dict[str, np.ndarray]


class PictureError(ValueError):
    """A picture or mask that cannot be used; the message names the file and the fix."""


class UnknownLabelError(PictureError):
    """A mask holds an id outside the class list: the list is wrong, or the mask is.

    `on_error="skip"` does not pass over it, since a wrong class list would then throw
    away most of the data without a word.
    """


class Source(Protocol):
    """The pictures of one split, readable in any order and from several threads.

    A source may also have `size(index) -> (height, width)` and `label(index)`, the mask
    alone, where they cost less than the whole example; they raise the same errors.
    """

    def __len__(self) -> int:
        """The number of pictures."""

    def __getitem__(self, index: Any, /) -> Example:
        """Picture `index`.

        Returns:
            image: uint8 [H, W, 3], RGB 0..255.
            label: [H, W] train ids of `labels.dtype`, `labels.ignore` where unlabelled
                (uint8 and 255, above 254 classes uint16 and 65535).
            image_labels: bool [C], which classes the picture holds, if that is known
                from elsewhere than the mask.

        Raises:
            PictureError: if it cannot be read.
        """

    def name(self, index: int) -> str:
        """Which file that is, for messages."""


class Dataset(Protocol):
    """Labels and the splits that share them."""

    @property
    def labels(self) -> labels_lib.LabelSet:
        """The classes."""

    def source(self, split: str) -> Source:
        """The pictures of one split, such as "train"."""


class Derived:
    """A source made of another one, picture by picture: subclasses say how.

    Args:
        source: the pictures as they are.
    """

    def __init__(self, source: Source):
        self.source = source
        if hasattr(source, "size"):
            self.size = source.size

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: Any, /) -> Example:
        return self.change(self.source[index])

    def name(self, index: int) -> str:
        """Which file that is, for messages."""
        return self.source.name(index)

    def change(self, example: Example) -> Example:
        """The example that stands for one of the source's; changes no array in it."""
        raise NotImplementedError(f"{type(self).__name__} changes nothing")
