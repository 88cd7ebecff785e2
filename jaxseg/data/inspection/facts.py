"""What is remembered of a file once it was decoded: a few hundred bytes."""

import dataclasses
import hashlib
import pathlib
from collections import Counter
from collections.abc import Callable

import numpy as np

from jaxseg.data import found_classes, mask_colours, picture_files, pictures
from jaxseg.data.inspection.duplicates import fingerprint
from jaxseg.data.source import PictureError

MAX_VALUES = 300  # ids or colours that are remembered of a mask, the commonest


@dataclasses.dataclass(frozen=True, kw_only=True)
class Facts:
    """Of any file.

    Attributes:
        file: its path.
        size: height and width, as stored.
        problem: why it cannot be read; empty if it can.
    """

    file: pathlib.Path
    size: tuple[int, int] = (0, 0)
    problem: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageFacts(Facts):
    """Of a picture.

    Attributes:
        mode: Pillow's word for channels and bits, "RGB".
        orientation: of its rotation tag, 1 if upright.
        digest: of the decoded pixels.
        fingerprint: see `duplicates.fingerprint`; None if the picture is flat.
    """

    mode: str = ""
    orientation: int = 1
    digest: bytes = b""
    fingerprint: np.ndarray | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class MaskFacts(Facts):
    """Of a mask.

    Attributes:
        in_colour: whether its pixels are colours, not ids.
        counts: pixels by id, or by colour as `mask_colours.pack` writes it.
        num_values: how many ids or colours there are.
    """

    in_colour: bool = False
    counts: dict[int, int] = dataclasses.field(default_factory=dict)
    num_values: int = 0


def of_image(file: pathlib.Path) -> ImageFacts:
    """Decodes a picture and keeps what there is to say about it."""
    name = str(file)
    try:
        data = picture_files.read_whole(file, name)
        with picture_files.opened(data, name) as header:
            mode, tag = header.mode, picture_files.orientation(header)
        image = pictures.read_image(data, name=name)
    except PictureError as error:
        return ImageFacts(file=file, problem=str(error))
    height, width, _ = image.shape
    digest = hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16)
    digest.update(f"{height} {width}".encode())
    return ImageFacts(
        file=file,
        size=(height, width),
        mode=mode,
        orientation=tag,
        digest=digest.digest(),
        fingerprint=fingerprint(image),
    )


def of_mask(
    file: pathlib.Path,
    *,
    as_colours: bool = False,
    plain: Callable[[pathlib.Path], picture_files.Picture] = lambda file: file,
) -> MaskFacts:
    """Decodes a mask and counts its ids, or its colours if it holds no ids.

    Args:
        file: the mask.
        as_colours: counts colours even of pictures that could be ids.
        plain: makes a picture of a file; see `folder.PairFolder.plain_mask`.
    """
    name = str(file)
    try:
        data = picture_files.read_whole(plain(file), name)
        with picture_files.opened(data, name) as header:
            in_colour = as_colours or not pictures.holds_ids(header)
        if in_colour:
            shown = pictures.read_colours(data, name=name)
            counts = _count_colours(shown)
        else:
            shown = pictures.read_label(data, name=name)
            counts = found_classes.count_ids(shown)
    except PictureError as error:
        return MaskFacts(file=file, problem=str(error))
    height, width = shown.shape[:2]
    kept = dict(Counter(counts).most_common(MAX_VALUES))
    return MaskFacts(
        file=file,
        size=(height, width),
        in_colour=in_colour,
        counts=kept,
        num_values=len(counts),
    )


def _count_colours(shown: np.ndarray) -> dict[int, int]:
    counts: Counter[int] = Counter()
    for rows in mask_colours.row_blocks(*shown.shape[:2]):
        counts.update(found_classes.count_ids(mask_colours.pack(shown[rows])))
    return dict(counts)
