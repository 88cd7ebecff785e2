"""Graph context: what a region looks like depends on the regions beside it.

The regions of a label map are nodes, those that touch are joined, and two graph
convolutions make a feature of each node from the words of its neighbours.
"""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxseg.models.dropout import Dropout
from jaxseg.ops import components

GLOROT = nn.initializers.glorot_uniform()
BIAS = nn.initializers.constant(0.01)


class Graph(NamedTuple):
    """The regions of label maps, at most K each.

    Attributes:
        labels: [B, K] int32 class of each node; -1 where there are fewer.
        first: [B, K] int32 place of its first pixel in raster order.
        adjacency: [B, K, K] float32, 1 where two nodes touch, 0 on the diagonal.
    """

    labels: jax.Array
    first: jax.Array
    adjacency: jax.Array


def graph_of(labels: jax.Array, *, num_classes: int, num_nodes: int) -> Graph:
    """Turns label maps into graphs.

    Args:
        labels: [B, h, w] class ids; ids outside [0, C) are in no node.
        num_classes: C.
        num_nodes: K; the regions of a map beyond the first K are in no node.
    """

    def of_one(one: jax.Array) -> Graph:
        found = components.regions(one, num_classes=num_classes, budget=num_nodes)
        touching = components.adjacency(found.ids, budget=num_nodes)
        return Graph(found.labels, found.first, touching)

    return jax.vmap(of_one)(labels)


def at_first_pixel(maps: jax.Array, graph: Graph) -> jax.Array:
    """What maps [B, h, w, ...] hold at each node's first pixel, [B, K, ...]."""
    b, h, w, *rest = maps.shape
    return jax.vmap(lambda pixels, places: pixels[places])(
        maps.reshape(b, h * w, *rest), graph.first
    )


class GraphGenerator(nn.Module):
    """Two graph convolutions of [word vector, noise], x' = A (x W) + b.

    The adjacency A is used as it is, without self loops and without normalisation, as
    in the authors' code: a node is made of its neighbours only, and a node that nothing
    touches is the bias.

    Attributes:
        features: D.
        hidden: width of the layer between, after which leaky ReLU and dropout follow.
        dropout: of the hidden layer.
        negative_slope: of the leaky ReLU.
    """

    features: int
    hidden: int = 256
    dropout: float = 0.5
    negative_slope: float = 0.2

    @nn.compact
    def __call__(
        self,
        class_table: jax.Array,
        class_ids: jax.Array,
        latent: jax.Array,
        adjacency: jax.Array,
        *,
        train: bool,
    ) -> jax.Array:
        """Generates a feature of each node.

        Args:
            class_table: [C, E] word vectors.
            class_ids: [..., K] class of each node; outside [0, C) the word is zero.
            latent: [..., K, Z] noise.
            adjacency: [..., K, K].
            train: whether dropout is active; needs a key in the collection `dropout`.

        Returns:
            [..., K, D] float32.
        """
        known = (class_ids >= 0) & (class_ids < len(class_table))
        words = class_table[jnp.where(known, class_ids, 0)] * known[..., None]
        x = jnp.concatenate([words, latent], axis=-1)
        x = GraphConvolution(self.hidden, name="layer_0")(x, adjacency)
        x = nn.leaky_relu(x, self.negative_slope)
        x = Dropout(self.dropout, name="dropout_0")(x, deterministic=not train)
        return GraphConvolution(self.features, name="layer_1")(x, adjacency)


class GraphConvolution(nn.Module):
    """x' = A (x W) + b (Kipf and Welling 2017, without their normalisation of A).

    Attributes:
        features: width of the result.
    """

    features: int

    @nn.compact
    def __call__(self, x: jax.Array, adjacency: jax.Array) -> jax.Array:
        """Maps nodes [..., K, D] to [..., K, D'] along edges [..., K, K]."""
        x = nn.Dense(self.features, use_bias=False, kernel_init=GLOROT, name="weight")(
            x
        )
        bias: Any = self.param("bias", BIAS, (self.features,), jnp.float32)
        return jnp.einsum("...ij,...jd->...id", adjacency, x) + bias
