"""What every protocol is: `Protocol`, a pure function of a network and of pictures."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxseg.ops.canvas import inside

# From images [N, h, w, 3] of any size to logits [N, h, w, C].
Network = Callable[[jax.Array], jax.Array]
Colour = tuple[int, int, int]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Protocol:
    """Makes logits of pictures that lie at the top left of canvases.

    The true sizes are values, the canvases' shapes constants of the program: pictures
    of all sizes in one shape of canvas share one compiled program. What surrounds a
    picture in its canvas is covered with `fill` first, so it cannot matter.

    Protocols are compared by their settings, so that a compiled step can have one as a
    static argument.
    """

    @property
    def keeps_size(self) -> bool:
        """Whether it can be inside another: it shows pictures at the size given."""
        return True

    @property
    def compares_pixels(self) -> bool:
        """Whether scores compare class ids and labels at the pictures' own pixels."""
        return True

    @property
    def reads_maps(self) -> bool:
        """Whether its network is to give logits at the size of the network's map."""
        return False

    def fit(self, sizes: np.ndarray) -> "Protocol":
        """The same protocol with its own canvases chosen for pictures of these sizes.

        Args:
            sizes: int [B, 2], on the host.
        """
        del sizes
        return self

    def __call__(
        self, network: Network, image: jax.Array, size: jax.Array, *, fill: Colour
    ) -> jax.Array:
        """Computes logits at the pictures' own resolution.

        Args:
            network: from images [N, h, w, 3], uint8 or float, to logits [N, h, w, C].
            image: [B, H, W, 3] canvases, uint8 or float, 0..255.
            size: int [B, 2], height and width of the picture in each, at least 1.
            fill: the colour of what lies around a picture: the mean that the network
                subtracts.

        Returns:
            [B, H, W, C] float32, meaningless outside of the pictures.
        """
        raise NotImplementedError

    def shown(self, image: jax.Array, size: jax.Array) -> tuple[jax.Array, jax.Array]:
        """What a network is shown, of which windows or mirror images may be made.

        Args:
            image: as for `__call__`.
            size: likewise.

        Returns:
            [B, h, w, 3] canvases and the sizes [B, 2] of the pictures in them; by
            default those given.
        """
        return image, size

    def class_ids(
        self, network: Network, image: jax.Array, size: jax.Array, *, fill: Colour
    ) -> jax.Array:
        """The classes of the largest logits, int32 [B, H, W]; see `__call__`.

        Without `compares_pixels` they are [B, h, w], where they are compared.
        """
        logits = self(network, image, size, fill=fill)
        return jnp.argmax(logits, axis=-1).astype(jnp.int32)

    def truth(
        self, label: jax.Array, size: jax.Array, shape: tuple[int, int]
    ) -> jax.Array:
        """The labels that class ids are compared with.

        Args:
            label: [B, H, W].
            size: as for `__call__`.
            shape: h and w of the class ids.

        Returns:
            [B, h, w]; the labels as they are where pixels are compared.
        """
        del size, shape
        return label

    def at_pixels(
        self, ids: jax.Array, size: jax.Array, shape: tuple[int, int]
    ) -> jax.Array:
        """Class ids [B, h, w] of `class_ids` at the pixels of canvases [B, H, W].

        Args:
            ids: as they are compared.
            size: as for `__call__`.
            shape: H and W.
        """
        del size, shape
        return ids


def cover(image: jax.Array, size: jax.Array, fill: Colour) -> jax.Array:
    """Paints everything outside of the pictures, [B, H, W, 3], in one colour."""
    is_picture = inside(size, image.shape[1:3])[..., None]
    return jnp.where(is_picture, image, jnp.asarray(fill, image.dtype))


def extend(image: jax.Array, shape: tuple[int, int], fill: Colour) -> jax.Array:
    """Adds rows below and columns on the right, to [B, H', W', 3] at least as large."""
    b, height, width, channels = image.shape
    below, right = max(shape[0] - height, 0), max(shape[1] - width, 0)
    if not (below or right):
        return image
    canvas = (b, height + below, width + right, channels)
    colour = jnp.broadcast_to(jnp.asarray(fill, image.dtype), canvas)
    return jax.lax.dynamic_update_slice(colour, image, (0, 0, 0, 0))


def align(side: int, multiple: int) -> int:
    """The next multiple that is not smaller."""
    return -(-side // multiple) * multiple
