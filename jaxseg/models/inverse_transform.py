"""The network that says how one tile of edges is moved against another (InverseForm).

Borse et al. 2021, as a plain perceptron on both tiles. It is trained by itself
(`jaxseg.methods.inverse_transform`) and frozen in the loss that it serves.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

NUM_PARAMETERS = 4  # scale across, scale down, shift across, shift down


class InverseTransform(nn.Module):
    """2 t^2 -> hidden -> ReLU -> ... -> 4 normalised scales and shifts.

    With tiles of 56 and (256, 32) 1.6 million parameters; the published one has tiles
    of 224 and (1000, 32), 100.4 million. Entries of its parameters are `dense_0`,
    `dense_1` and so on. `jaxseg.ops.affine.matrices` says what an output stands for.

    Attributes:
        tile: t, the side of a tile.
        hidden: widths of the hidden layers.
        dtype: of the computation.
    """

    tile: int = 56
    hidden: tuple[int, ...] = (256, 32)
    dtype: Any = "float32"

    @nn.compact
    def __call__(self, predicted: jax.Array, true: jax.Array) -> jax.Array:
        """Compares tiles.

        Args:
            predicted: [N, t, t] edges from 0 to 1.
            true: [N, t, t].

        Returns:
            [N, 4] float32, 0 for tiles that agree.

        Raises:
            ValueError: for tiles of another size.
        """
        expected = (len(predicted), self.tile, self.tile)
        if predicted.shape != expected or true.shape != expected:
            raise ValueError(
                f"tiles of shape {predicted.shape} and {true.shape}, and the network "
                f"reads {expected}: cut tiles of {self.tile}, or load another network"
            )
        both = [x.reshape(len(x), -1) for x in (predicted, true)]
        x = jnp.concatenate(both, axis=1).astype(self.dtype)
        for i, width in enumerate(self.hidden):
            dense = nn.Dense(
                width, dtype=self.dtype, kernel_init=_normal(2.0), name=f"dense_{i}"
            )
            x = nn.relu(dense(x))
        last = nn.Dense(
            NUM_PARAMETERS,
            dtype=self.dtype,
            # Small at first: without knowledge the best answer is no transform.
            kernel_init=_normal(0.02),
            name=f"dense_{len(self.hidden)}",
        )
        return last(x).astype(jnp.float32)

    def transforms(
        self, params: Any, predicted: jax.Array, true: jax.Array
    ) -> jax.Array:
        """The network of given parameters, as `inverse_transform_loss` takes it."""
        theta: Any = self.apply({"params": params}, predicted, true)
        return theta


def regression(
    *,
    num_classes: int,
    tile: int = 56,
    hidden: tuple[int, ...] = (256, 32),
    dtype: Any = "float32",
) -> InverseTransform:
    """The network as a config's `model` section names it.

    Args:
        num_classes: of the data; outlines are the same of any number.
        tile: see `InverseTransform`.
        hidden: likewise.
        dtype: likewise.
    """
    del num_classes
    return InverseTransform(tile=tile, hidden=hidden, dtype=dtype)


def _normal(gain: float) -> nn.initializers.Initializer:
    return nn.initializers.variance_scaling(gain, "fan_in", "normal")
