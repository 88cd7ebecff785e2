"""Features from words: what a head would say of a class that no picture shows.

Read `synthesise` first: a pure function of keys, a table of word vectors and class ids.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxseg.models.dropout import Dropout
from jaxseg.ops.products import dot_general, matmul

# torch's `kaiming_normal_`, which is not truncated.
KERNEL_INIT = nn.initializers.variance_scaling(2.0, "fan_in", "normal")
FINAL = {"sigmoid": nn.sigmoid, "linear": lambda x: x}


class Generator(nn.Module):
    """An MLP of [word vector, latent code], the same at every pixel.

    Each hidden layer is followed by a leaky ReLU and dropout. The first product is
    taken apart, [w, z] W = w W_w + z W_z: the words' part is computed once a class and
    looked up, not once a pixel.

    Attributes:
        features: D. The defaults are CaGNet's (Gu et al. 2020) as released; the paper
            has one hidden layer of 512. ZS3Net (Bucher et al. 2019) has one of 256.
        hidden: widths of the hidden layers.
        dropout: of each hidden layer.
        final: "sigmoid" or "linear".
        negative_slope: of the leaky ReLU.
        kernel_init: of all layers.
        bias_init: of all layers.
        dtype: of the computation; parameters and the result are float32.
    """

    features: int = 600
    hidden: tuple[int, ...] = (1024, 960, 864, 784, 720)
    dropout: tuple[float, ...] = (0.1, 0.1, 0.3, 0.5, 0.5)
    final: str = "sigmoid"
    negative_slope: float = 0.2
    kernel_init: Callable[..., jax.Array] = KERNEL_INIT
    bias_init: Callable[..., jax.Array] = nn.initializers.zeros
    dtype: Any = "float32"

    @nn.compact
    def __call__(
        self,
        class_table: jax.Array,
        class_ids: jax.Array,
        latent: jax.Array,
        *,
        train: bool,
    ) -> jax.Array:
        """Generates one feature a class id.

        Args:
            class_table: [C, E] word vectors.
            class_ids: [...] ids; outside [0, C) the word vector is zero.
            latent: [..., Z] latent codes.
            train: whether dropout is active; needs a key in the collection `dropout`.

        Returns:
            [..., D] float32.

        Raises:
            ValueError: if `dropout` has not one rate a hidden layer, or `final` is
                unknown.
        """
        if len(self.hidden) != len(self.dropout):
            raise ValueError(
                f"{len(self.hidden)} hidden layers need as many dropout rates, got "
                f"{self.dropout}"
            )
        if self.final not in FINAL:
            raise ValueError(f"final is {self.final!r}; use {' or '.join(FINAL)}")
        widths = (*self.hidden, self.features)
        x = self._first(class_table, class_ids, latent, widths[0])
        for index, (width, rate) in enumerate(
            zip(widths[1:], self.dropout, strict=True), start=1
        ):
            x = nn.leaky_relu(x, self.negative_slope)
            x = Dropout(rate, name=f"dropout_{index - 1}")(x, deterministic=not train)
            x = nn.Dense(
                width,
                kernel_init=self.kernel_init,
                bias_init=self.bias_init,
                dtype=self.dtype,
                dot_general=dot_general,
                name=f"layer_{index}",
            )(x)
        return FINAL[self.final](x.astype(jnp.float32))

    def _first(
        self, table: jax.Array, ids: jax.Array, latent: jax.Array, width: int
    ) -> jax.Array:
        """The first layer's sums [..., H], of words and codes apart."""
        words, size = table.shape[1], table.shape[1] + latent.shape[-1]
        layer = _Layer(size, width, self.kernel_init, self.bias_init, name="layer_0")
        kernel, bias = (leaf.astype(self.dtype) for leaf in layer())
        by_class = matmul(table.astype(self.dtype), kernel[:words]) + bias
        by_class = jnp.concatenate([by_class, bias[None]])  # the last row: no class
        known = (ids >= 0) & (ids < len(table))
        # In float32, as the gradient of a row is a sum over all pixels of its class,
        # which bfloat16 stops adding up after a few hundred.
        looked_up = by_class.astype(jnp.float32)[jnp.where(known, ids, len(table))]
        from_codes = matmul(latent.astype(self.dtype), kernel[words:])
        return looked_up.astype(self.dtype) + from_codes


class _Layer(nn.Module):
    """The parameters of a dense layer, for who multiplies himself."""

    inputs: int
    width: int
    kernel_init: Callable[..., jax.Array]
    bias_init: Callable[..., jax.Array]

    @nn.compact
    def __call__(self) -> tuple[jax.Array, jax.Array]:
        kernel = self.param("kernel", self.kernel_init, (self.inputs, self.width))
        return kernel, self.param("bias", self.bias_init, (self.width,))


def synthesise(
    generator: Generator,
    params: Any,
    key: jax.Array,
    class_table: jax.Array,
    class_ids: jax.Array,
    latent: jax.Array | None = None,
    *,
    train: bool = True,
) -> jax.Array:
    """Draws features of classes; nothing is kept, and the same key draws the same.

    Args:
        generator: the network.
        params: its parameters.
        key: of the latent codes and the dropout, a typed key.
        class_table: [C, E] word vectors.
        class_ids: [...] ids; outside [0, C) the word vector is zero.
        latent: [..., Z] latent codes; None draws them, numbers of N(0, 1).
        train: whether dropout is active, as in the published fine-tuning.

    Returns:
        [..., D] float32.
    """
    latent_key, dropout_key = jax.random.split(key)
    if latent is None:
        size = params["layer_0"]["kernel"].shape[0] - class_table.shape[1]
        shape = (*class_ids.shape, size)
        # Not in fewer bits, which have few values and none beyond three deviations.
        latent = jax.random.normal(latent_key, shape)
    features: Any = generator.apply(
        {"params": params},
        class_table,
        class_ids,
        latent,
        train=train,
        rngs={"dropout": dropout_key},
    )
    return features
