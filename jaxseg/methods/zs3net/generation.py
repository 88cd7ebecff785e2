"""From words to features: of single pixels, and of the nodes of graphs."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from jaxseg.methods.zs3net import graph as graphs
from jaxseg.models.generator import Generator


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Generation:
    """The generators of a run, without their parameters.

    Attributes:
        class_table: [C, E] word vectors.
        features: D.
        hidden: width of the hidden layer.
        dropout: after it, active in synthesis as in training.
        noise: "normal", or "uniform" from 0 to 1; as wide as a word vector.
    """

    class_table: jax.Array
    features: int
    hidden: int
    dropout: float
    noise: str

    @property
    def of_pixels(self) -> Generator:
        """The MLP that makes features one by one."""
        return Generator(
            features=self.features,
            hidden=(self.hidden,),
            dropout=(self.dropout,),
            final="linear",
            kernel_init=graphs.GLOROT,
            bias_init=graphs.BIAS,
        )

    @property
    def of_nodes(self) -> graphs.GraphGenerator:
        """The graph convolutions that make those of a whole graph."""
        return graphs.GraphGenerator(
            self.features, hidden=self.hidden, dropout=self.dropout
        )

    def init(self, rng: jax.Array, *, graph_context: bool) -> dict[str, Any]:
        """Draws parameters, `generator` and, with graph context, `graph_generator`."""
        pixel_rng, node_rng = jax.random.split(rng)
        ids, noise = jnp.zeros(1, jnp.int32), jnp.zeros((1, self.class_table.shape[1]))
        words = self.class_table, ids, noise
        found = {"generator": self.of_pixels.init(pixel_rng, *words, train=False)}
        if graph_context:
            edges = jnp.zeros((1, 1))
            found["graph_generator"] = self.of_nodes.init(
                node_rng, *words, edges, train=False
            )
        return {name: variables["params"] for name, variables in found.items()}

    def pixels(self, params: Any, ids: jax.Array, rng: jax.Array) -> jax.Array:
        """Features [..., D] of class ids [...]."""
        noise_rng, dropout_rng = jax.random.split(rng)
        found: Any = self.of_pixels.apply(
            {"params": params},
            self.class_table,
            ids,
            self.draw_noise(noise_rng, ids.shape),
            train=True,
            rngs={"dropout": dropout_rng},
        )
        return found

    def nodes(self, params: Any, graph: graphs.Graph, rng: jax.Array) -> jax.Array:
        """Features [B, K, D] of the nodes of graphs."""
        noise_rng, dropout_rng = jax.random.split(rng)
        found: Any = self.of_nodes.apply(
            {"params": params},
            self.class_table,
            graph.labels,
            self.draw_noise(noise_rng, graph.labels.shape),
            graph.adjacency,
            train=True,
            rngs={"dropout": dropout_rng},
        )
        return found

    def draw_noise(self, rng: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        """Noise [..., E]."""
        draw = jax.random.normal if self.noise == "normal" else jax.random.uniform
        return draw(rng, (*shape, self.class_table.shape[1]))
