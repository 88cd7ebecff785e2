"""What the spectral tools find in a picture, on one sheet: `panel`."""

import numpy as np
from PIL import Image, ImageDraw

from jaxseg import visualize
from jaxseg.data.labels import VOC, LabelSet
from jaxseg.tools.spectral_pictures import Found

BOX = (255, 40, 40)
SEGMENT = (255, 214, 0)
ABOVE, BELOW = (213, 94, 0), (0, 92, 185)  # of an eigenvector's entries
# As many as have a colour of their own.
REGIONS = LabelSet(
    names=("background", *(f"region {i}" for i in range(1, len(VOC.palette)))),
    palette=VOC.palette,
)


def panel(image: np.ndarray, found: Found, *, tile_width: int = 240) -> np.ndarray:
    """Draws the picture with its box, the eigenvectors and the segments.

    Eigenvectors are orange above 0 and blue below; their segments are marked below
    them, on the picture. Regions, where there are some, stand below the picture.

    Args:
        image: uint8 [H, W, 3].
        found: in it.
        tile_width: width in pixels of each tile.

    Returns:
        uint8 [H', W', 3].
    """
    height, width, k = found.segments.shape
    vectors = [diverging(found.maps[..., i]) for i in range(k)]
    vectors = [enlarged(x, (height, width)) for x in vectors]
    marked = [mark(image, found.segments[..., i]) for i in range(k)]
    below, word = image, "picture"
    if found.regions is not None:
        below, word = regions(image, found), "regions"
    first = image if found.box is None else with_box(image, found.box)
    words = [
        ["box" if found.box else "no structure", *(f"v_{i}" for i in range(k))],
        [word, *(f"E_{i} = [v_{i} > 0]" for i in range(k))],
    ]
    return visualize.sheet(
        [[first, *vectors], [below, *marked]], words, tile_width=tile_width
    )


def regions(image: np.ndarray, found: Found) -> np.ndarray:
    """Lays the regions over the picture, uint8 [H, W, 3].

    Raises:
        ValueError: if there are none.
    """
    if found.regions is None:
        raise ValueError("no regions were asked for: give num_regions")
    return visualize.overlay(image, found.enlarge(found.regions), REGIONS)


def with_box(image: np.ndarray, box: tuple[int, int, int, int]) -> np.ndarray:
    """Draws a box (left, top, right, bottom) into a picture uint8 [H, W, 3]."""
    left, top, right, bottom = box
    drawn = Image.fromarray(image)
    thickness = max(2, min(image.shape[:2]) // 100)
    corners = (left, top, max(right - 1, left), max(bottom - 1, top))
    ImageDraw.Draw(drawn).rectangle(corners, outline=BOX, width=thickness)
    return np.asarray(drawn)


def mark(image: np.ndarray, segment: np.ndarray) -> np.ndarray:
    """Marks a segment bool [H, W] in a darkened picture, uint8 [H, W, 3]."""
    inside = 0.5 * image + 0.5 * np.array(SEGMENT)
    return np.where(segment[..., None], inside, 0.5 * image).astype(np.uint8)


def diverging(values: np.ndarray) -> np.ndarray:
    """Paints numbers [h, w] by sign and size, white at 0; uint8 [h, w, 3]."""
    largest = np.abs(values).max()
    share = (values / (largest if largest > 0 else 1))[..., None]
    colour = np.where(share > 0, np.array(ABOVE), np.array(BELOW))
    return np.round(255 + np.abs(share) * (colour - 255.0)).astype(np.uint8)


def enlarged(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Repeats pixels of uint8 [h, w, 3] up to a size (H, W)."""
    height, width = size
    nearest = Image.Resampling.NEAREST
    return np.asarray(Image.fromarray(picture).resize((width, height), nearest))
