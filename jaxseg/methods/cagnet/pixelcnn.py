"""A network that says which label comes next in a patch: `PixelCNN`.

It is trained by `pixelcnn_training.pixelcnn_loss` and drawn from by
`pixelcnn_sampling.sample`.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxseg.models.dropout import Dropout
from jaxseg.ops.convolution import native_conv


def causal_mask(size: int, *, with_centre: bool) -> np.ndarray:
    """The taps of a masked convolution that lie before its centre in raster order.

    Args:
        size: of the square window, odd.
        with_centre: whether the centre counts (mask B) or not (mask A).

    Returns:
        [size, size] float32 of 0 and 1.
    """
    position = np.arange(size * size).reshape(size, size)
    centre = size * size // 2
    return (position < centre + with_centre).astype(np.float32)


class PixelCNN(nn.Module):
    """Masked convolutions over the word vectors of labels, on a condition.

    x_l = relu(BN(conv_l(x_{l-1}))) + h B_l, with x_0 the word vectors of the labels, h
    those of the condition, and conv_1 blind at its centre (van den Oord et al. 2016; as
    in CaGNet v2's release). Taps that reach beyond a patch from everywhere in it meet
    nothing but padding and are left out.

    Attributes:
        width: of the convolutions.
        depth: how many there are.
        kernel_size: of their windows, odd.
        dropout: after the last two of them.
    """

    width: int = 64
    depth: int = 8
    kernel_size: int = 7
    dropout: float = 0.5

    @nn.compact
    def __call__(
        self,
        labels: jax.Array,
        condition: jax.Array,
        class_table: jax.Array,
        *,
        train: bool,
        is_there: jax.Array | None = None,
    ) -> jax.Array:
        """Predicts each label of a patch from those before it.

        Args:
            labels: [P, k, k] class ids; others are zero vectors.
            condition: [P, k, k] class ids, or [P, 1, 1] for one a patch.
            class_table: [C, E] word vectors.
            train: whether dropout is active and the batch's own statistics are used.
            is_there: [P], patches that count in these statistics; all if None.

        Returns:
            [P, k, k, C] float32 logits.

        Raises:
            ValueError: if the window has no centre.
        """
        if self.kernel_size % 2 == 0:
            raise ValueError(f"kernel_size is {self.kernel_size}; it must be odd")
        num_classes, words = class_table.shape
        counts = None if is_there is None else is_there[:, None, None, None]
        x = jax.nn.one_hot(labels, num_classes)
        for index in range(self.depth):
            first = index == 0
            kernel = self._kernel(index, words if first else self.width)
            if first:  # (one_hot table) kernel = one_hot (table kernel), far smaller
                kernel = jnp.einsum("ce,ijew->ijcw", class_table, kernel)
            x = _causal_conv(x, kernel)
            x = nn.BatchNorm(
                use_running_average=not train,
                momentum=0.9,
                epsilon=1e-5,
                name=f"norm_{index}",
            )(x, mask=counts)
            x = nn.relu(x) + self._of_condition(index, class_table)[condition]
            if index >= self.depth - 2:
                x = Dropout(self.dropout, name=f"dropout_{index}")(
                    x, deterministic=not train
                )
        return nn.Dense(num_classes, name="out")(x)

    def _kernel(self, index: int, inputs: int) -> jax.Array:
        """The masked kernel of a layer, [K, K, inputs, width]."""
        size = self.kernel_size
        kernel = self.param(
            f"kernel_{index}",
            nn.initializers.he_normal(),
            (size, size, inputs, self.width),
        )
        mask = causal_mask(size, with_centre=index > 0)
        return kernel * mask[:, :, None, None]

    def _of_condition(self, index: int, class_table: jax.Array) -> jax.Array:
        """What a layer adds for each class, [C, width]."""
        # Word vectors have unit length: unit variance in gives unit variance out.
        matrix = self.param(
            f"condition_{index}",
            nn.initializers.normal(1.0),
            (class_table.shape[1], self.width),
        )
        return class_table @ matrix


def _causal_conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolves [P, k, k, D] with a kernel that is zero below its centre row."""
    centre = kernel.shape[0] // 2
    reach = min(centre, x.shape[1] - 1)
    near = slice(centre - reach, centre + reach + 1)
    return native_conv(
        x,
        kernel[centre - reach : centre + 1, near],
        padding=((reach, 0), (reach, reach)),
    )
