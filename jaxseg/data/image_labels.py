"""Which classes a picture holds, for training from image-level labels.

Read `from_mask` first. Augmentation leaves image labels as they are: a crop keeps those
of its picture, as for class activation maps (IRN: Ahn et al., CVPR 2019).
"""

from concurrent import futures

import numpy as np

from jaxseg.data.labels import LabelSet, ignored_id
from jaxseg.data.source import Derived, Example, PictureError, Source, UnknownLabelError

BACKGROUND = "background"
SUPERVISION = ("masks", "masks_and_image_labels", "image_labels")


def from_mask(label: np.ndarray, num_classes: int) -> np.ndarray:
    """The classes of which a mask has a pixel.

    Args:
        label: uint8 or uint16 [H, W] train ids; those outside [0, C) count for none.
        num_classes: C.

    Returns:
        bool [C]; all false where nothing is labelled.
    """
    counts = np.bincount(label.ravel(), minlength=num_classes)
    return counts[:num_classes] > 0


def of_all(
    source: Source, num_classes: int, *, on_error: str = "raise", num_threads: int = 2
) -> np.ndarray:
    """Reads all masks of a source once, without the pictures where it can.

    Args:
        source: with its own `label(index)` the masks alone are decoded.
        num_classes: C.
        on_error: "raise" or "skip", for unreadable pictures.
        num_threads: that read.

    Returns:
        bool [N, C], which picture holds which class; none for a skipped one.
    """

    def classes(index: int) -> np.ndarray:
        try:
            if hasattr(source, "label"):
                return from_mask(source.label(index), num_classes)
            return from_mask(source[index]["label"], num_classes)
        except UnknownLabelError:
            raise
        except PictureError:
            if on_error == "raise":
                raise
            return np.zeros(num_classes, bool)

    with futures.ThreadPoolExecutor(num_threads) as pool:
        found = list(pool.map(classes, range(len(source))))
    return np.array(found, bool).reshape(-1, num_classes)


class ImageLabelled(Derived):
    """Adds `image_labels` bool [C], from the mask where the source has none.

    Args:
        source: the pictures.
        labels: their classes.
        background: whether the class of this name counts like the others; annotators
            who list the things in a picture do not list it. If not, it is false.
        hide_masks: sets all pixels to unlabelled, so that nothing else is learnt from.
    """

    def __init__(
        self,
        source: Source,
        labels: LabelSet,
        *,
        background: bool = True,
        hide_masks: bool = False,
    ):
        super().__init__(source)
        self._counting = np.array([background or n != BACKGROUND for n in labels.names])
        self._hide_masks = hide_masks

    def change(self, example: Example) -> Example:
        label, given = example["label"], example.get("image_labels")
        if given is None:
            given = from_mask(label, len(self._counting))
        if self._hide_masks:
            label = np.full_like(label, ignored_id(label.dtype))
        return {**example, "label": label, "image_labels": given & self._counting}


def supervised_by(
    source: Source, labels: LabelSet, *, supervision: str, background: bool = True
) -> Source:
    """What a config's `data.supervision` lets training see.

    Args:
        source: with masks.
        labels: its classes.
        supervision: "masks"; "image_labels", with all pixels unlabelled; or both,
            "masks_and_image_labels".
        background: see `ImageLabelled`.
    """
    if supervision not in SUPERVISION:
        raise ValueError(
            f"data.supervision is one of {', '.join(SUPERVISION)}, got {supervision!r}"
        )
    if supervision == "masks":
        if not background:
            raise ValueError(
                "data.image_label_background=False changes nothing with "
                "data.supervision='masks': there are no image labels"
            )
        return source
    return ImageLabelled(
        source,
        labels,
        background=background,
        hide_masks=supervision == "image_labels",
    )
