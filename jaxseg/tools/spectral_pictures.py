"""Eigensegments of pictures as they come, of any size: `SpectralPictures`.

Pictures are laid on canvases of one size, so that one program serves them all.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from jaxseg import inference
from jaxseg.models.segmentor import in_order
from jaxseg.models.spectral_maps import SpectralMaps, inside
from jaxseg.ops.eigensegments import Enlargement, eigensegments_within
from jaxseg.ops.localisation import largest_box

SIDES = {4: 240, 8: 480}  # of canvases by stride, for 3600 nodes at most
SIDE = 512
MOST_NODES = 16_384  # an affinity of 1 GiB
GREY_LEVELS = 1  # by which pixels of a constant picture may differ

Size = tuple[int, int]


class Found(NamedTuple):
    """What is found in a picture.

    Attributes:
        maps: float32 [h, w, K] eigenvectors on the grid, signs fixed.
        segments: bool [H, W, K] at the size of the picture.
        boxes: int [K, 4] of the largest component of each segment: left, top, right,
            bottom in pixels, the last two exclusive.
        box: that of the first vector but the constant one; None where there is no
            structure.
        covered: height and width in pixels of what the grid covers, from the top left.
        regions: int32 [h, w] from 0; None where none were asked for.
    """

    maps: np.ndarray
    segments: np.ndarray
    boxes: np.ndarray
    box: tuple[int, int, int, int] | None
    covered: Size
    regions: np.ndarray | None

    @property
    def has_structure(self) -> bool:
        """Whether there is any eigenvector to segment by."""
        return self.box is not None

    @property
    def masks(self) -> np.ndarray:
        """The segments on the grid, bool [h, w, K]."""
        return self.maps > 0

    def enlarge(self, grid: np.ndarray) -> np.ndarray:
        """Repeats what nodes have, [h, w], over their pixels, [H, W]."""
        height, width, _ = self.segments.shape
        h, w = grid.shape
        rows = np.minimum(np.arange(height) * h // self.covered[0], h - 1)
        columns = np.minimum(np.arange(width) * w // self.covered[1], w - 1)
        return grid[rows][:, columns]


class Placed(NamedTuple):
    """A picture on its canvas.

    Attributes:
        canvas: uint8 [S, T, 3], the picture at the top left.
        size: of the picture on it, whole strides.
        covered: of the original, what `size` shows of it.
    """

    canvas: np.ndarray
    size: Size
    covered: Size


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class SpectralPictures:
    """Finds eigensegments of pictures uint8 [H, W, 3] of any sizes.

    Attributes:
        maps: which eigenvectors of which features.
        variables: of its network.
        side: pixels that a picture's long side is resized to, a multiple of the stride;
            the short side becomes the nearest multiple, so that the grid covers the
            picture. 0 resizes nothing and cuts off what is over of whole strides, as
            the authors' code does. None: 512, for strides below 16 less.
        enlargement: of the segments; see `jaxseg.ops.eigensegments`.
        num_regions: None for no regions; 0 for as many as each picture suggests.
        batch_size: pictures at a time.
        seed: of the regions.
    """

    maps: SpectralMaps
    variables: Mapping[str, Any]
    side: int | None = None
    enlargement: Enlargement = "bilinear"
    num_regions: int | None = None
    batch_size: int = 4
    seed: int = 0

    def __post_init__(self):
        stride = self.maps.stride
        if self.canvas_side < 0 or self.canvas_side % stride:
            raise ValueError(
                f"pictures of side {self.canvas_side} and nodes of {stride} pixels: "
                f"the side must be a multiple, or 0 for no resizing"
            )
        if self.enlargement not in ("bilinear", "nearest"):
            raise ValueError(
                f"enlargement is 'bilinear' or 'nearest', got {self.enlargement!r}"
            )

    @property
    def canvas_side(self) -> int:
        """The side that pictures are resized to; 0 for none."""
        if self.side is not None:
            return self.side
        stride = self.maps.stride
        return SIDES.get(stride, max(SIDE // stride, 1) * stride)

    def __call__(self, images: Sequence[np.ndarray]) -> list[Found]:
        """Finds the eigensegments of pictures, in their order.

        Raises:
            ValueError: for a picture that is smaller than a node or has too many of
                them; `check` says which.
        """
        for image in images:
            self.check(image)
        places = [self.place(image) for image in images]
        found: dict[int, Found] = {}
        shapes = dict.fromkeys(placed.canvas.shape for placed in places)
        for shape in shapes:
            alike = [i for i, x in enumerate(places) if x.canvas.shape == shape]
            for start in range(0, len(alike), self.batch_size):
                batch = alike[start : start + self.batch_size]
                some = self._of_batch(
                    [images[i] for i in batch], [places[i] for i in batch]
                )
                found |= dict(zip(batch, some, strict=True))
        return [found[i] for i in range(len(images))]

    def check(self, image: np.ndarray) -> None:
        """Refuses a picture uint8 [H, W, 3] that no grid can be laid on.

        Raises:
            ValueError: saying why.
        """
        height, width, _ = image.shape
        stride = self.maps.stride
        if min(height, width) < stride:
            raise ValueError(
                f"the picture has {width}x{height} pixels, and a node of the grid "
                f"{stride}x{stride}: it is too small to have segments"
            )
        nodes = (height // stride) * (width // stride)
        if not self.canvas_side and nodes > MOST_NODES:
            raise ValueError(
                f"the picture of {width}x{height} pixels has {nodes} nodes of "
                f"{stride}x{stride}, more than {MOST_NODES}: let it be resized (--side)"
            )

    def place(self, image: np.ndarray) -> Placed:
        """Lays a picture on its canvas."""
        height, width, _ = image.shape
        stride = self.maps.stride
        if self.canvas_side:
            size = fit((height, width), self.canvas_side, stride)
            image = resize(image, size)
            covered = height, width
            canvas = self.canvas_side, self.canvas_side
        else:
            size = height // stride * stride, width // stride * stride
            covered = size
            rows, columns = inference.canvas_for(size)
            canvas = -(-rows // stride) * stride, -(-columns // stride) * stride
        blank = np.full((*canvas, 3), self._fill_colour, np.uint8)
        blank[: size[0], : size[1]] = image[: size[0], : size[1]]
        return Placed(blank, size, covered)

    @property
    def _fill_colour(self) -> np.ndarray:
        network = self.maps.network
        mean = in_order(np.asarray(network.mean), network.channel_order)
        return np.round(mean).astype(np.uint8)

    def _of_batch(
        self, images: Sequence[np.ndarray], places: Sequence[Placed]
    ) -> list[Found]:
        missing = self.batch_size - len(places)
        canvases = np.stack([x.canvas for x in places])
        # A constant picture has no structure, whatever a network makes of its borders.
        sizes = np.array(
            [
                (0, 0) if is_constant(image) else placed.size
                for image, placed in zip(images, places, strict=True)
            ],
            np.int32,
        )
        canvases = np.pad(canvases, ((0, missing), *[(0, 0)] * 3))
        sizes = np.pad(sizes, ((0, missing), (0, 0)))
        maps, boxes, regions = jax.device_get(
            self._run(self.variables, jnp.asarray(canvases), jnp.asarray(sizes))
        )
        return [
            self._found(
                image,
                placed,
                maps[i],
                boxes[i],
                None if regions is None else regions[i],
            )
            for i, (image, placed) in enumerate(zip(images, places, strict=True))
        ]

    @functools.cached_property
    def _run(self) -> Callable[..., Any]:
        def run(variables: Any, image: jax.Array, size: jax.Array) -> Any:
            maps, grid = self.maps(variables, image, size)
            _, h, w, _ = maps.shape
            valid = inside(grid, (h, w))
            boxes = jax.vmap(
                lambda masks: largest_box(masks, valid=valid), in_axes=-1, out_axes=1
            )(maps > 0)  # [B, K, 4]
            if self.num_regions is None:
                return maps, boxes, None
            regions = self.maps.regions(
                variables,
                image,
                maps,
                grid,
                jax.random.key(self.seed),
                num_regions=self.num_regions,
            )
            return maps, boxes, regions

        return jax.jit(run)

    @functools.cached_property
    def _enlarge(self) -> Callable[..., jax.Array]:
        enlarge = functools.partial(eigensegments_within, enlargement=self.enlargement)
        return jax.jit(enlarge, static_argnames="shape")

    def _found(
        self,
        image: np.ndarray,
        placed: Placed,
        maps: np.ndarray,
        boxes: np.ndarray,
        regions: np.ndarray | None,
    ) -> Found:
        height, width, _ = image.shape
        h, w = (side // self.maps.stride for side in placed.size)
        shape = inference.canvas_for((height, width))
        segments = self._enlarge(
            maps[None],
            np.array([[h, w]], np.int32),
            np.array([placed.covered], np.int32),
            np.array([[height, width]], np.int32),
            shape=shape,
        )
        exists = bool(np.any(maps[:h, :w]))
        scale = np.array([placed.covered[1] / w, placed.covered[0] / h] * 2)
        boxes = np.round(boxes * scale).astype(int)
        first = min(int(self.maps.include_trivial), len(boxes) - 1)
        left, top, right, bottom = boxes[first].tolist()
        if regions is not None:
            regions = np.maximum(regions[:h, :w], 0)  # a constant picture: all 0
        return Found(
            maps=maps[:h, :w],
            segments=np.asarray(segments)[0, :height, :width],
            boxes=boxes,
            box=(left, top, right, bottom) if exists else None,
            covered=placed.covered,
            regions=regions,
        )


def fit(size: Size, side: int, stride: int) -> Size:
    """A size whose long side is `side`, of whole strides, near the aspect of another.

    Args:
        size: height and width.
        side: a multiple of the stride.
        stride: in pixels.
    """
    longest = max(size)
    nodes = [max(round(x * side / longest / stride), 1) for x in size]
    return nodes[0] * stride, nodes[1] * stride


def resize(image: np.ndarray, size: Size) -> np.ndarray:
    """Resizes a picture uint8 [H, W, 3] linearly, smoothed where it shrinks."""
    height, width = size
    linear = Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(image).resize((width, height), linear))


def is_constant(image: np.ndarray) -> bool:
    """Whether a picture uint8 [H, W, 3] shows one colour."""
    flat = image.reshape(-1, image.shape[-1]).astype(int)
    return bool(np.all(flat.max(axis=0) - flat.min(axis=0) <= GREY_LEVELS))
