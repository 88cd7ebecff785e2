"""Vision transformer (Dosovitskiy et al. 2021): one map, from patches to the end.

DeiT, DINO, Segmenter and DPT build on it. They differ in how they fit the table of
positions to other image sizes, in what they do with a last patch that is not whole, and
in which blocks' outputs they read. Read `ViT` first.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxseg.models.layers import Conv
from jaxseg.models.transformer import DENSE_INIT, Block, Dense, LayerNorm, exact_gelu
from jaxseg.ops.resize import (
    resize_bicubic,
    resize_bicubic_antialias,
    resize_bilinear,
)

PositionResize = Literal["bicubic", "bicubic_offset", "bicubic_antialias", "bilinear"]
RESIZE: Mapping[str, Callable[[jax.Array, tuple[int, int]], jax.Array]] = {
    "bicubic": resize_bicubic,  # Hugging Face
    "bicubic_offset": functools.partial(resize_bicubic, offset=0.1),  # DINO, LUSS
    "bicubic_antialias": resize_bicubic_antialias,  # timm
    "bilinear": functools.partial(resize_bilinear, align_corners=False),
}


class ViT(nn.Module):
    """Transformer blocks on a map of patches; ViT-S/16 by default.

    Attributes:
        patch_size: p, side of the patches.
        width: D: 192 for Ti, 384 for S, 768 for B, 1024 for L.
        depth: number of blocks: 12, or 24 for L.
        num_heads: of the attention: D / 64.
        mlp_ratio: hidden channels of the MLPs as a multiple of D.
        drop_path: rate of the last block; the rates grow linearly from 0.
        image_grid: rows and columns of the table of positions: the image size of the
            published weights / p. Other grids get a resized table.
        position_resize: how: "bicubic_offset" as DINO's code, "bicubic" as Hugging
            Face's, "bicubic_antialias" as timm, "bilinear" as Segmenter and DPT.
        pad: whether an image is padded with zeros to whole patches, as Segmenter does;
            else what is over at its right and bottom is cut off.
        taps: the blocks whose outputs are the stages. Blocks after the last of them are
            not built.
        final_norm: whether the last block's output, as a stage, is normalised.
        class_token: whether there is one.
        distillation_token: whether there is another, as in distilled DeiT.
        readout: what becomes of the class token in the stages (Ranftl et al. 2021):
            "ignore" leaves it out, "add" adds it to all patches, "project" appends it
            to them and maps 2D back to D.
        epsilon: of the normalisations: 1e-6 in the authors' code, 1e-12 in
            transformers, 1e-5 in Segmenter.
        dtype: of the computation.
        remat: whether the backward pass computes the blocks again, to save memory.
    """

    patch_size: int = 16
    width: int = 384
    depth: int = 12
    num_heads: int = 6
    mlp_ratio: float = 4.0
    drop_path: float = 0.0
    image_grid: tuple[int, int] = (14, 14)
    position_resize: PositionResize = "bicubic_offset"
    pad: bool = False
    taps: tuple[int, ...] = (-1,)
    final_norm: bool = True
    class_token: bool = True
    distillation_token: bool = False
    readout: Literal["ignore", "add", "project"] = "ignore"
    epsilon: float = 1e-6
    dtype: Any = "float32"
    remat: bool = False

    def setup(self):
        self._check()
        rows, columns = self.image_grid
        num_tokens = self._num_extra + rows * columns
        self.patch_embedding = Conv(
            self.width,
            self.patch_size,
            strides=self.patch_size,
            padding=((0, 0), (0, 0)),
            use_bias=True,
            dtype=self.dtype,
            kernel_init=DENSE_INIT,
        )
        self.positions = self._vectors("position_embedding", num_tokens)
        self.extra_tokens = [
            self._vectors(f"{name}_embedding", 1)
            for name, is_there in (
                ("class", self.class_token),
                ("distillation", self.distillation_token),
            )
            if is_there
        ]
        block_class = nn.remat(Block, static_argnums=(2,)) if self.remat else Block
        rates = np.linspace(0.0, self.drop_path, self.depth)
        self.blocks = [
            block_class(
                self.num_heads,
                self.mlp_ratio,
                drop_path=float(rates[index]),
                epsilon=self.epsilon,
                dtype=self.dtype,
            )
            for index in range(self._taps[-1] + 1)
        ]
        if self._normalises:
            self.norm = LayerNorm(epsilon=self.epsilon, dtype=self.dtype)
        if self.readout == "project":
            self.readouts = [Dense(self.width, dtype=self.dtype) for _ in self._taps]

    def __call__(self, x: jax.Array, *, train: bool) -> tuple[jax.Array, ...]:
        """Maps normalised images [B, H, W, 3] to stages [B, h, w, D], one for each tap.

        Their size is (H / p, W / p), rounded up with `pad`, else down.
        """
        x, shape = self._embed(x)
        stages: list[jax.Array] = []
        for index, block in enumerate(self.blocks):
            x = block(x, train)
            if index in self._taps:
                stages.append(self._stage(x, shape, len(stages)))
        return tuple(stages)

    def tokens(self, x: jax.Array) -> jax.Array:
        """The last block's output [B, T, D], extra tokens first, in evaluation."""
        x, _ = self._embed(x)
        for block in self.blocks:
            x = block(x, False)
        return self.norm(x) if self._normalises else x

    def keys(self, x: jax.Array) -> jax.Array:
        """The keys of the last block's attention, heads side by side (DINO's features).

        Nothing else of that block, the last one built, is computed.

        Args:
            x: [B, H, W, 3] normalised images.

        Returns:
            [B, h, w, D].
        """
        _, key, (h, w) = self._last_queries_and_keys(x)
        b, *_ = key.shape
        return key[:, self._num_extra :].reshape(b, h, w, self.width)

    def class_attention(self, x: jax.Array) -> jax.Array:
        """How much the last block's class token attends to each patch.

        Args:
            x: [B, H, W, 3] normalised images.

        Returns:
            [B, h, w, heads] float32; with what goes to the extra tokens, sums over the
            map are 1.
        """
        query, key, (h, w) = self._last_queries_and_keys(x)
        b, _, heads, d = query.shape
        scores = jnp.einsum(
            "bhd,bthd->bth", query[:, 0], key, preferred_element_type=jnp.float32
        )
        weights = jax.nn.softmax(scores / d**0.5, axis=1)
        return weights[:, self._num_extra :].reshape(b, h, w, heads)

    @property
    def _num_extra(self) -> int:
        return int(self.class_token) + int(self.distillation_token)

    @property
    def _taps(self) -> tuple[int, ...]:
        return tuple(sorted(tap % self.depth for tap in self.taps))

    @property
    def _normalises(self) -> bool:
        return self.final_norm and self._taps[-1] == self.depth - 1

    def _check(self) -> None:
        if not self.taps or any(not -self.depth <= t < self.depth for t in self.taps):
            raise ValueError(f"taps {self.taps} of {self.depth} blocks")
        if self.position_resize not in RESIZE:
            raise ValueError(
                f"position_resize {self.position_resize!r} is none of {sorted(RESIZE)}"
            )
        if self.readout not in ("ignore", "add", "project"):
            raise ValueError(
                f"readout {self.readout!r} is none of 'ignore', 'add', 'project'"
            )
        if self.readout != "ignore" and not self.class_token:
            raise ValueError(f"readout {self.readout!r} needs a class_token")

    def _vectors(self, name: str, number: int) -> jax.Array:
        return self.param(name, DENSE_INIT, (1, number, self.width), jnp.float32)

    def _embed(self, image: jax.Array) -> tuple[jax.Array, tuple[int, int]]:
        """Tokens [B, T, D], extra ones first, and the size of the map of the others."""
        _, height, width, _ = image.shape
        if self.pad:
            missing = (0, -height % self.patch_size), (0, -width % self.patch_size)
            image = jnp.pad(image, ((0, 0), *missing, (0, 0)))
        elif min(height, width) < self.patch_size:
            raise ValueError(
                f"an image of {height} x {width} has no patch of {self.patch_size}"
            )
        x = self.patch_embedding(image)
        b, h, w, d = x.shape
        first, rest = jnp.split(self.positions, [self._num_extra], axis=1)
        table = RESIZE[self.position_resize](
            rest.reshape(1, *self.image_grid, d), (h, w)
        )
        patches = x.reshape(b, h * w, d) + table.reshape(1, h * w, d).astype(x.dtype)
        if not self._num_extra:
            return patches, (h, w)
        extra = jnp.concatenate(self.extra_tokens, axis=1) + first
        extra = jnp.broadcast_to(extra, (b, *extra.shape[1:])).astype(x.dtype)
        return jnp.concatenate([extra, patches], axis=1), (h, w)

    def _stage(self, x: jax.Array, shape: tuple[int, int], tap: int) -> jax.Array:
        """What a tap shows of tokens [B, T, D]."""
        if self._normalises and tap == len(self._taps) - 1:
            x = self.norm(x)
        patches = x[:, self._num_extra :]
        if self.readout == "add":
            patches += x[:, :1]
        if self.readout == "project":
            token = jnp.broadcast_to(x[:, :1], patches.shape)
            patches = jnp.concatenate([patches, token], axis=-1)
            patches = exact_gelu(self.readouts[tap](patches))
        return patches.reshape(len(x), *shape, self.width)

    def _last_queries_and_keys(
        self, image: jax.Array
    ) -> tuple[jax.Array, jax.Array, tuple[int, int]]:
        """Both [B, T, heads, D / heads], and the size of the map of patches."""
        x, shape = self._embed(image)
        *others, last = self.blocks
        for block in others:
            x = block(x, False)
        params = last.variables["params"]
        norm = LayerNorm(epsilon=self.epsilon, dtype=self.dtype, parent=None)
        linear = Dense(3 * self.width, dtype=self.dtype, parent=None)
        x = jnp.asarray(norm.apply({"params": params["norm1"]}, x))
        x = jnp.asarray(linear.apply({"params": params["attention"]["qkv"]}, x))
        b, t, _ = x.shape
        query, key, _ = jnp.split(x.reshape(b, t, 3 * self.num_heads, -1), 3, axis=2)
        return query, key, shape
