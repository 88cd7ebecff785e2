"""Eigensegments of whole pictures, and what they do to the network's answer.

Read `Segments.of_pictures`, then `refine`. What groups patches is `guide_features` of
the segmentor.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from jaxseg.ops.affinity import affinity
from jaxseg.ops.canvas import inside
from jaxseg.ops.eigensegments import Enlargement, eigensegments_within
from jaxseg.ops.fusion import fuse, fuse_classes, soft_projection
from jaxseg.ops.resize import resize_bilinear, resize_within
from jaxseg.ops.spectral import Method, eigenvectors, spectral_maps


class Graph(NamedTuple):
    """Patches of a batch of pictures.

    Attributes:
        features: [B, h, w, D].
        colours: [B, h, w, 3] in [0, 1]; None where they do not count.
        valid: bool [B, h, w], the patches that lie in the picture.
        grid: int [B, 2], how many of them down and across.
        covered: int [B, 2], pixels down and across that they cover.
    """

    features: jax.Array
    colours: jax.Array | None
    valid: jax.Array
    grid: jax.Array
    covered: jax.Array


@dataclasses.dataclass(frozen=True, kw_only=True)
class Segments:
    """How pictures are cut into eigensegments.

    Attributes:
        number: K, segments of a picture.
        long_side: of the canvas that the guide sees, in pixels; 0: as it is.
        colour_weight: of neighbours in colour and place beside those in features; 10 in
            Deep Spectral Segmentation's matting, 0 by its command line.
        include_trivial: counts the constant eigenvector as one of K, as that code does.
        enlargement: of eigenvectors to pixels, "bilinear" or the authors' "nearest".
        solver: see `ops.spectral.eigenvectors`.
    """

    number: int = 5
    long_side: int = 0
    colour_weight: float = 0.0
    include_trivial: bool = False
    enlargement: Enlargement = "bilinear"
    solver: Method = "auto"

    def __post_init__(self):
        if self.number < 1 or self.long_side < 0 or self.colour_weight < 0:
            raise ValueError(
                "segments need number >= 1, long_side >= 0 and colour_weight >= 0, got "
                f"{self.number}, {self.long_side} and {self.colour_weight}"
            )

    def of_pictures(
        self,
        features_of: Callable[[jax.Array], jax.Array],
        image: jax.Array,
        size: jax.Array,
    ) -> jax.Array:
        """The eigensegments of pictures at the top left of their canvases.

        Args:
            features_of: from images [B, H', W', 3] to features [B, h, w, D].
            image: [B, H, W, 3] RGB, 0..255.
            size: int [B, 2], height and width of each picture.

        Returns:
            bool [B, H, W, K]; false outside of the pictures, and wherever a picture has
            no structure.
        """
        _, height, width, _ = image.shape
        graph = self._graph(features_of, image, size)
        maps = spectral_maps(
            graph.features,
            count=self.number,
            include_trivial=self.include_trivial,
            method=self.solver,
            colours=graph.colours,
            colour_weight=self.colour_weight,
            valid=graph.valid,
        )
        found = eigensegments_within(
            maps,
            graph.grid,
            graph.covered,
            size,
            (height, width),
            enlargement=self.enlargement,
        )
        return found & ~is_flat(image, size)[:, None, None, None]

    def smoothed(
        self,
        features_of: Callable[[jax.Array], jax.Array],
        image: jax.Array,
        size: jax.Array,
        logits: jax.Array,
        *,
        count: int = 8,
        share: float = 0.5,
    ) -> jax.Array:
        """Logits smoothed along the graph of patches; see `fusion.soft_projection`.

        Args:
            features_of: from images [B, H', W', 3] to features [B, h, w, D].
            image: [B, H, W, 3] RGB, 0..255.
            size: int [B, 2], height and width of each picture.
            logits: [B, H, W, E].
            count: eigenvectors, the constant one among them.
            share: of the smooth part.

        Returns:
            [B, H, W, E] float32.
        """
        _, height, width, _ = image.shape
        graph = self._graph(features_of, image, size)
        _, h, w, _ = graph.features.shape
        count = min(count, h * w)

        def of_picture(arrays):
            features, colours, valid, coarse = arrays
            weights = affinity(
                features,
                colours=colours,
                colour_weight=self.colour_weight,
                valid=valid,
            )
            spectrum = eigenvectors(weights, count, method=self.solver)
            return soft_projection(coarse, spectrum, share=share)

        coarse = resize_within(
            logits.astype(jnp.float32),
            graph.covered,
            graph.grid,
            (h, w),
            align_corners=False,
        )
        # In turn: a graph is as large as thousands of maps.
        smooth = jax.lax.map(
            of_picture, (graph.features, graph.colours, graph.valid, coarse)
        )
        return resize_within(
            smooth, graph.grid, graph.covered, (height, width), align_corners=False
        )

    def _graph(
        self,
        features_of: Callable[[jax.Array], jax.Array],
        image: jax.Array,
        size: jax.Array,
    ) -> "Graph":
        """The patches of pictures at the top left of their canvases."""
        _, height, width, _ = image.shape
        features = features_of(self._seen(image))
        _, h, w, _ = features.shape
        canvas, nodes = jnp.array([height, width]), jnp.array([h, w])
        # A patch takes part if its middle is in the picture; the first always does.
        grid = jnp.maximum((2 * size * nodes + canvas) // (2 * canvas), 1)
        covered = jnp.maximum(grid * canvas // nodes, 1)
        colours = None
        if self.colour_weight:
            pixels = image.astype(jnp.float32) / 255
            colours = resize_within(pixels, covered, grid, (h, w), align_corners=False)
        return Graph(features, colours, inside(grid, (h, w)), grid, covered)

    def _seen(self, image: jax.Array) -> jax.Array:
        """The canvas at the size that the guide sees."""
        image = image.astype(jnp.float32)
        _, height, width, _ = image.shape
        longest = max(height, width)
        if self.long_side in (0, longest):
            return image
        shape = [max(side * self.long_side // longest, 1) for side in (height, width)]
        return resize_bilinear(image, (shape[0], shape[1]), align_corners=False)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fusion:
    """What becomes of the network's answer when there are segments.

    The authors' rule takes the segment nearest to the truth, which only a test has. It
    is not offered here: `python -m jaxseg.tools.score_fusion` shows it beside these,
    as what it is, an oracle.

    Attributes:
        rule: "none", or "label_free": a class has the segment that overlaps its mask
            best.
        threshold: the overlap that this needs.
    """

    rule: Literal["none", "label_free"] = "label_free"
    threshold: float = 0.5

    def __post_init__(self):
        if self.rule not in ("none", "label_free"):
            raise ValueError(f"fusion is 'none' or 'label_free', got {self.rule!r}")

    def refine(
        self,
        class_ids: jax.Array,
        segments: jax.Array,
        class_id: jax.Array | None,
        *,
        valid: jax.Array,
        num_classes: int,
        background: int,
    ) -> jax.Array:
        """Class ids [B, H, W] after fusion.

        Args:
            class_ids: int [B, H, W] of the network.
            segments: bool [B, H, W, K].
            class_id: int [B], what each picture was searched for; None: for all.
            valid: bool [B, H, W], the pixels of the pictures; what the network says
                of the canvas around them takes no part in overlaps.
            num_classes: C.
            background: the class of everything else.
        """
        if class_id is None:
            return fuse_classes(
                class_ids,
                segments,
                num_classes=num_classes,
                background=background,
                threshold=self.threshold,
                valid=valid,
            )
        own = class_id[:, None, None]
        mask = fuse(class_ids == own, segments, threshold=self.threshold, valid=valid)
        return jnp.where(mask, own, background).astype(class_ids.dtype)


def refine(
    fusion: Fusion,
    segments: Segments,
    features_of: Callable[[jax.Array], jax.Array],
    batch: Any,
    class_ids: jax.Array,
    *,
    num_classes: int,
    background: int,
) -> jax.Array:
    """Class ids [B, H, W] of a batch after fusion with its own segments."""
    if fusion.rule == "none":
        return class_ids
    image, size = batch["image"], batch["size"]
    found = segments.of_pictures(features_of, image, size)
    return fusion.refine(
        class_ids,
        found,
        batch.get("class_id"),
        valid=inside(size, image.shape[1:3]),
        num_classes=num_classes,
        background=background,
    )


def is_flat(image: jax.Array, size: jax.Array) -> jax.Array:
    """Which pictures are of one colour, give or take a grey level; bool [B].

    A network finds structure in them all the same, at the border that it pads.
    """
    where = inside(size, image.shape[1:3])[..., None]
    pixels = image.astype(jnp.float32)
    highest = jnp.max(pixels, axis=(1, 2), initial=0.0, where=where)
    lowest = jnp.min(pixels, axis=(1, 2), initial=255.0, where=where)
    return jnp.max(highest - lowest, axis=-1) <= 1.0
