"""Pictures of an evaluation with their scores, drawn small enough for a page.

Read `tiles` first. A tile's size in bytes is bounded, and with it that of the report,
whatever the pictures are: a photograph of 12000 x 9000 or noise.
"""

import io
from typing import NamedTuple

import numpy as np
from PIL import Image

from jaxseg import visualize
from jaxseg.data.labels import LabelSet

TILE_SIDE = 480  # pixels, of the longer side
TILE_BYTES = 48_000
MOST_IN_LEGEND = 24
QUALITIES = (85, 70, 50, 30)  # of JPEGs, tried in this order


class ScoredPicture(NamedTuple):
    """An example of an evaluation, with what the network made of it.

    Attributes:
        name: what the data set calls it.
        score: its mean IoU, a fraction; NaN where nothing is labelled.
        image: uint8 [H, W, 3] RGB.
        truth: integer [H, W] train ids; ids outside the classes are unlabelled.
        prediction: integer [H, W] train ids.
    """

    name: str
    score: float
    image: np.ndarray
    truth: np.ndarray
    prediction: np.ndarray


def tiles(picture: ScoredPicture, labels: LabelSet) -> dict[str, bytes]:
    """Draws a picture four times: itself, truth and prediction over it, the errors.

    Args:
        picture: of any size; it is shrunk before anything is drawn.
        labels: the classes.

    Returns:
        JPEG files of at most `TILE_SIDE` pixels a side and `TILE_BYTES` each, by the
        names image, truth, prediction, error.

    Raises:
        ValueError: if the image is not uint8 RGB of the size of its masks.
    """
    _, _, image, truth, prediction = shrunk(picture)
    drawn = {
        "image": image,
        "truth": visualize.overlay(image, truth, labels),
        "prediction": visualize.overlay(image, prediction, labels),
        "error": visualize.error_map(
            image, truth, prediction, num_classes=labels.num_classes
        ),
    }
    return {name: encode(Image.fromarray(tile)) for name, tile in drawn.items()}


def shrunk(picture: ScoredPicture) -> ScoredPicture:
    """Shrinks a picture to `TILE_SIDE` on its longer side; a smaller one is kept.

    Raises:
        ValueError: if the image is not uint8 RGB of the size of its masks.
    """
    name, _, image, truth, prediction = picture
    if image.dtype != np.uint8 or image.shape[2:] != (3,):
        raise ValueError(
            f"{name}: need uint8 [H, W, 3], got {image.dtype} {image.shape}"
        )
    if not image.shape[:2] == np.shape(truth) == np.shape(prediction):
        raise ValueError(
            f"{name}: image {image.shape}, truth {np.shape(truth)} and prediction "
            f"{np.shape(prediction)} are not of one size"
        )
    height, width = image.shape[:2]
    scale = min(1.0, TILE_SIDE / max(height, width))
    size = max(1, round(height * scale)), max(1, round(width * scale))
    small = Image.fromarray(image).resize(size[::-1], Image.Resampling.BOX)
    # Ids are picked, never mixed: those at the centres of the new pixels.
    rows, columns = (
        ((2 * np.arange(new) + 1) * old) // (2 * new)
        for old, new in zip((height, width), size, strict=True)
    )
    picked = np.ix_(rows, columns)
    return picture._replace(
        image=np.asarray(small),
        truth=np.asarray(truth)[picked],
        prediction=np.asarray(prediction)[picked],
    )


def legend(picture: ScoredPicture, labels: LabelSet) -> list[int]:
    """The classes that can be seen in the tiles of a picture, the largest first.

    At most `MOST_IN_LEGEND`: nobody finds a colour among more.
    """
    small = shrunk(picture)
    both = np.stack([small.truth, small.prediction])
    ids, counts = np.unique(both, return_counts=True)
    largest = ids[np.argsort(-counts, kind="stable")]
    return [int(i) for i in largest if 0 <= i < labels.num_classes][:MOST_IN_LEGEND]


def encode(tile: Image.Image, *, limit: int = TILE_BYTES) -> bytes:
    """Writes a JPEG of at most `limit` bytes: coarser, then smaller, until it fits."""
    while True:
        for quality in QUALITIES:
            file = io.BytesIO()
            tile.save(file, "JPEG", quality=quality, optimize=True)
            if file.tell() <= limit or max(tile.size) == 1:
                return file.getvalue()
        tile = tile.resize([max(1, side // 2) for side in tile.size])
