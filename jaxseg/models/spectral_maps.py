"""From pictures to the eigenvectors of their graphs: `SpectralMaps`.

The features are those of any network, so that Deep Spectral Segmentation works where
no weights of DINO are at hand. Compiled with `jax.jit`, once for each shape of canvas.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp

from jaxseg.models.segmentor import Segmentor
from jaxseg.ops.affinity import affinity
from jaxseg.ops.canvas import inside
from jaxseg.ops.picture_map import map_pictures
from jaxseg.ops.resize import shrink_within
from jaxseg.ops.spectral import Method, bytes_each, spectral_maps
from jaxseg.ops.spectral_regions import count_by_gap, rayleigh, spectral_regions


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpectralMaps:
    """The lowest eigenvectors of pictures on the grid of a network's features.

    Attributes:
        network: whose backbone sees the pictures.
        stage: which of its stages; None for the keys of the last attention of a `ViT`,
            as Deep Spectral Segmentation takes of DINO.
        count: K, how many eigenvectors.
        include_trivial: count the constant one as the first.
        method: of the solver; see `jaxseg.ops.spectral`.
        colour_weight: lambda, of the colours in the affinity; 0 for features alone.
    """

    network: Segmentor
    stage: int | None = -1
    count: int = 5
    include_trivial: bool = False
    method: Method = "auto"
    colour_weight: float = 0.0

    def __post_init__(self):
        if self.count < 1 + self.include_trivial:
            raise ValueError(
                f"count is {self.count}, include_trivial {self.include_trivial}: at "
                "least one eigenvector behind the constant one is needed"
            )
        if self.colour_weight < 0:
            raise ValueError(f"colour_weight is {self.colour_weight}, below 0")

    def __call__(
        self, variables: Any, image: jax.Array, size: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Computes the maps of a batch.

        Args:
            variables: of the network; of the backbone is enough.
            image: [B, H, W, 3] RGB, uint8 or float, 0..255, the pictures at the top
                left; sides are multiples of the stride. A network that sees far also
                sees the padding: its normalised colour 0 disturbs least.
            size: int [B, 2], height and width of the pictures; what is over of whole
                strides at the right and bottom is cut off.

        Returns:
            maps: float32 [B, h, w, K], signs fixed; 0 beyond a picture's grid, and
                where it has no structure.
            grid: int32 [B, 2], rows and columns of each picture's grid.
        """
        features = self.features(variables, image)
        _, h, w, _ = features.shape
        grid = size // self.stride
        maps = spectral_maps(
            features,
            count=self.count,
            include_trivial=self.include_trivial,
            method=self.method,
            colours=self._colours(image, grid, (h, w)),
            colour_weight=self.colour_weight,
            valid=inside(grid, (h, w)),
        )
        return maps, grid

    def regions(
        self,
        variables: Any,
        image: jax.Array,
        maps: jax.Array,
        grid: jax.Array,
        key: jax.Array,
        *,
        num_regions: int,
    ) -> jax.Array:
        """Cuts each picture into regions, by k-means of the nodes' eigenvectors.

        Args:
            variables: as for a call.
            image: as for a call.
            maps: of a call.
            grid: of a call.
            key: of k-means, the same for every picture.
            num_regions: how many; 0 for as many as the largest gap between the
                eigenvalues of each picture suggests, at most K.

        Returns:
            int32 [B, h, w], 0 the region with most of the border; -1 beyond a picture's
            grid.

        Raises:
            ValueError: for gaps of fewer than two vectors, or with the constant one.
        """
        if self.include_trivial or (num_regions == 0 and self.count < 2):
            raise ValueError(
                "regions are of eigenvectors without the constant one, and gaps of at "
                f"least two: include_trivial is {self.include_trivial}, "
                f"count {self.count}"
            )
        _, h, w, _ = maps.shape
        counts = None
        if num_regions == 0:
            counts = jax.vmap(count_by_gap)(self._values(variables, image, grid, maps))
        cut = functools.partial(spectral_regions, num_regions=num_regions or self.count)
        return jax.vmap(lambda m, v, c: cut(m, key, valid=v, count=c))(
            maps, inside(grid, (h, w)), counts
        )

    def features(self, variables: Any, image: jax.Array) -> jax.Array:
        """What the affinity compares, [B, h, w, D], of pictures [B, H, W, 3]."""
        stride = self.stride  # there is such a stage
        if self.stage is None:
            features: Any = self.network.apply(variables, image, method="keys")
        else:
            stages: Any = self.network.apply(
                variables, image, train=False, method="stages"
            )
            features = stages[self.stage]
        _, h, w, _ = features.shape
        _, height, width, _ = image.shape
        if (h * stride, w * stride) != (height, width):
            raise ValueError(
                f"features of {h}x{w} of pictures of {height}x{width}: both sides must "
                f"be multiples of {stride}"
            )
        return features

    @functools.cached_property
    def stride(self) -> int:
        """Side of the square of pixels that a node stands for.

        Raises:
            ValueError: if there is no such stage.
        """
        backbone: Any = self.network.backbone
        if self.stage is None:
            return backbone.patch_size
        side = 256
        image = jnp.zeros((1, side, side, 3))
        stages: Any = jax.eval_shape(
            lambda: backbone.init_with_output(jax.random.key(0), image, train=False)
        )[0]
        if not -len(stages) <= self.stage < len(stages):
            raise ValueError(
                f"stage {self.stage} of a backbone with {len(stages)} stages"
            )
        return side // stages[self.stage].shape[1]

    def _colours(
        self, image: jax.Array, grid: jax.Array, shape: tuple[int, int]
    ) -> jax.Array | None:
        """The pictures at the size of the grid, [B, h, w, 3] in [0, 1]."""
        if self.colour_weight == 0:
            return None
        some = jnp.maximum(grid, 1)
        small = shrink_within(
            image.astype(jnp.float32) / 255, some * self.stride, some, shape
        )
        return jnp.clip(small, 0, 1)

    def _values(
        self, variables: Any, image: jax.Array, grid: jax.Array, maps: jax.Array
    ) -> jax.Array:
        """The eigenvalues [B, 1 + K] of the vectors, the constant one's first."""
        _, h, w, _ = maps.shape

        def of_picture(features, colours, valid, maps):
            weights = affinity(
                features,
                colours=colours,
                colour_weight=self.colour_weight,
                valid=valid,
            )
            return rayleigh(maps, weights)

        def of_pictures(*arrays):
            one_alone = arrays[0].ndim == 3
            return (of_picture if one_alone else jax.vmap(of_picture))(*arrays)

        colours = self._colours(image, grid, (h, w))
        values = map_pictures(
            of_pictures,
            self.features(variables, image),
            colours,
            inside(grid, (h, w)),
            maps,
            bytes_each=bytes_each(h * w, with_colours=colours is not None),
        )
        return jnp.pad(values, ((0, 0), (1, 0)))
