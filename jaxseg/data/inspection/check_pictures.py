"""Checks of the pictures: sizes, rotation tags, bits and colour models."""

from collections.abc import Iterator, Sequence

import numpy as np

from jaxseg.data.inspection.evidence import Evidence
from jaxseg.data.inspection.facts import ImageFacts, MaskFacts
from jaxseg.data.inspection.finding import Finding, about

LARGE = 2**25  # pixels; 100 MB of RGB, decoded for a crop of it


def check(evidence: Evidence, crop: tuple[int, int] | None) -> Iterator[Finding]:
    """Finds sizes that do not fit, photos that lie on their side, and odd formats.

    Args:
        evidence: of the folder.
        crop: height and width of training crops, if they are known.
    """
    pairs = list(evidence.pairs)
    yield from _size_mismatch(pairs)
    yield from _rotated(pairs)
    images = [image for image in evidence.images.values() if not image.problem]
    yield from _formats(images)
    yield from _sizes(images, crop)


def _turned(image: ImageFacts, mask: MaskFacts) -> bool:
    """Whether reading turns the picture to its mask; see `pictures.turned_like`."""
    sideways = image.orientation >= 5 and image.size != mask.size
    return sideways and image.size[::-1] == mask.size


def _size_mismatch(pairs: Sequence[tuple[ImageFacts, MaskFacts]]) -> Iterator[Finding]:
    wrong = [p for p in pairs if p[0].size != p[1].size and not _turned(*p)]
    if wrong:
        image, mask = wrong[0]
        yield from about(
            "size_mismatch",
            "error",
            [image.file for image, _ in wrong],
            f"pictures differ in size from their masks; the first is {_by(image.size)} "
            f"and its mask {_by(mask.size)} (width x height)",
            "make the masks anew at the size of the pictures; resize a mask by nearest "
            "pixels only",
        )


def _rotated(pairs: Sequence[tuple[ImageFacts, MaskFacts]]) -> Iterator[Finding]:
    tagged = [p for p in pairs if p[0].orientation != 1]
    turned = [image.file for image, mask in tagged if _turned(image, mask)]
    unclear = [
        image.file
        for image, mask in tagged
        if image.size == mask.size
        and (image.orientation < 5 or image.size[0] == image.size[1])
    ]
    stored = [
        image.file
        for image, mask in tagged
        if image.size == mask.size and image.file not in set(unclear)
    ]
    yield from about(
        "turned_pictures",
        "note",
        turned,
        "photos have a rotation tag (EXIF) and masks of the turned size: they are "
        "turned when read",
        "nothing to do",
    )
    yield from about(
        "stored_pictures",
        "note",
        stored,
        "photos have a rotation tag (EXIF) and masks of the stored size: they are read "
        "as stored, though viewers turn them",
        "nothing to do",
    )
    yield from about(
        "unclear_rotation",
        "warning",
        unclear,
        "photos have a rotation tag (EXIF) that keeps their size: masks drawn on the "
        "turned photo would lie wrong, since they are read as stored",
        "look at the overlays in the report; where they are wrong, save the photos "
        "upright and without the tag",
    )


def _formats(images: Sequence[ImageFacts]) -> Iterator[Finding]:
    deep = [i.file for i in images if i.mode == "I" or i.mode.startswith("I;16")]
    yield from about(
        "sixteen_bits",
        "warning",
        deep,
        "pictures are of 16 bits, of which the upper 8 are used: dark if the values "
        "are small",
        "scale the values to 0..255 and save 8 bits",
    )
    yield from about(
        "cmyk",
        "warning",
        [image.file for image in images if image.mode == "CMYK"],
        "pictures are for print (CMYK) and are converted without a colour profile",
        "save them as RGB",
    )


def _sizes(
    images: Sequence[ImageFacts], crop: tuple[int, int] | None
) -> Iterator[Finding]:
    large = [i for i in images if i.size[0] * i.size[1] > LARGE]
    yield from about(
        "large_pictures",
        "warning",
        [image.file for image in large],
        f"pictures are very large, up to {_by(_largest(large))}: every crop of one "
        "decodes it whole",
        "cut pictures and masks into tiles of 1024 to 2048 pixels",
    )
    if crop is None:
        return
    small = [i for i in images if i.size[0] < crop[0] or i.size[1] < crop[1]]
    height, width = np.min([crop, *(image.size for image in small)], axis=0).tolist()
    yield from about(
        "small_pictures",
        "note",
        [image.file for image in small],
        f"pictures are smaller than the crop, {crop[1]}x{crop[0]}: they are padded, "
        "and what is added is unlabelled",
        f"nothing to do, or config.data.crop=({height}, {width})",
    )


def _largest(images: Sequence[ImageFacts]) -> tuple[int, int]:
    return max((i.size for i in images), key=lambda s: s[0] * s[1], default=(0, 0))


def _by(size: tuple[int, int]) -> str:
    return f"{size[1]}x{size[0]}"
