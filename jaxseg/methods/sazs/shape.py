"""The shape constraint: where things end, learnt from the outlines of the masks.

`Shape` holds its weights and options; `Shape.losses` is the constraint. The term that
compares transforms is InverseForm's (Borse et al., CVPR 2021).
"""

import dataclasses
from typing import Any, Literal

import jax
import jax.numpy as jnp

from jaxseg.losses.boundary import balanced_binary_cross_entropy, edge_attention
from jaxseg.losses.inverse_transform import Distance, inverse_transform_loss
from jaxseg.models.inverse_transform import InverseTransform
from jaxseg.ops.edges import band_edges, near_void, pool_edges, sobel_edges
from jaxseg.ops.resize import resize_nearest
from jaxseg.ops.void import grow_classes


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shape:
    """What of the constraint there is; a weight of 0 takes a term out of the program.

    Attributes:
        edge_weight: of the balanced cross entropy of outlines.
        attention_weight: of the cross entropy of classes where the network sees an
            outline.
        transform_weight: of the transform between predicted and true outlines.
        target: "sobel", as in the article, or "band", as in the authors' code, whose
            last class has no outline and whose pictures have a frame.
        attention_sum: adds the pictures of a batch up instead of averaging them, as the
            authors do: the term grows with the batch.
        activation: of the edge logits before the transform: "sigmoid", or the authors'
            "log_softmax", whose gradient is 0.
        distance: of a transform from none; see `inverse_transform_loss`.
        rows: of tiles.
        columns: of tiles.
        least_edges: tiles with fewer pixels of outlines do not count.
        void_growth: pixels that classes grow into void before their Sobel outlines are
            taken. VOC's masks have a band of void around every thing, and outlines
            beside void are dropped: with 0 there is next to nothing left of them.
    """

    edge_weight: float = 0.3
    attention_weight: float = 0.1
    transform_weight: float = 0.3
    target: Literal["sobel", "band"] = "sobel"
    attention_sum: bool = False
    activation: Literal["sigmoid", "log_softmax"] = "sigmoid"
    distance: Distance = "parameters"
    rows: int = 3
    columns: int = 3
    least_edges: int = 8
    void_growth: int = 4

    def __post_init__(self):
        weights = self.edge_weight, self.attention_weight, self.transform_weight
        if min(weights) < 0:
            raise ValueError(f"weights of losses are 0 or more, got {weights}")
        if self.void_growth < 0:
            raise ValueError(f"void_growth is 0 pixels or more, got {self.void_growth}")
        if self.target not in ("sobel", "band"):
            raise ValueError(f"shape target is 'sobel' or 'band': {self.target!r}")

    @property
    def is_used(self) -> bool:
        """Whether there is a classifier of outlines at all."""
        weights = self.edge_weight, self.attention_weight, self.transform_weight
        return any(weights)

    def edges(
        self, labels: jax.Array, size: tuple[int, int], *, num_classes: int
    ) -> tuple[jax.Array, jax.Array]:
        """Outlines of the classes of masks at a feature map's size, and where they are.

        Args:
            labels: [B, H, W] class ids; ids outside [0, C) are unlabelled.
            size: h and w.
            num_classes: C.

        Returns:
            bool [B, h, w] whether a cell has an outline, and whether its labels tell:
            cells in which every pixel is void, or beside it, do not. Of "band" all do,
            as in the authors' code.
        """
        if self.target == "sobel":
            grown = grow_classes(
                labels, num_classes=num_classes, pixels=self.void_growth
            )
            edges = sobel_edges(grown, num_classes=num_classes)
            told = ~near_void(grown, num_classes=num_classes)
            return pool_edges(edges, size), pool_edges(told, size)
        # Their classes are counted from the background, and one short.
        band = band_edges(labels, num_classes=num_classes - 1)
        edges = resize_nearest(band.astype(jnp.int32), size) > 0
        return edges, jnp.ones_like(edges)

    def losses(
        self,
        edge_logits: jax.Array,
        edges: jax.Array,
        valid: jax.Array,
        logits: jax.Array,
        labels: jax.Array,
        *,
        transform: InverseTransform | None,
        transform_params: Any,
    ) -> dict[str, jax.Array]:
        """The terms, unweighted, by name.

        Args:
            edge_logits: [B, h', w'] of the network.
            edges: bool [B, h', w'] of `edges`.
            valid: bool [B, h', w'] of `edges`.
            logits: [B, h, w, E] of the anchors that take part.
            labels: [B, h, w] indices of them; others are unlabelled.
            transform: the regression network, where it is used.
            transform_params: its parameters, which nothing moves.

        Returns:
            "edges", "attention" and "transform", each if its weight is not 0.
        """
        terms = {}
        if self.edge_weight:
            terms["edges"] = balanced_binary_cross_entropy(
                edge_logits, edges, valid=valid
            )
        if self.attention_weight:
            _, h, w = labels.shape
            where = resize_nearest(edge_logits, (h, w))
            terms["attention"] = edge_attention(
                logits, labels, where, reduction="sum" if self.attention_sum else "mean"
            )
        if self.transform_weight and transform is not None:
            terms["transform"] = inverse_transform_loss(
                edge_logits,
                edges,
                transform.transforms,
                transform_params,
                valid=valid,
                tile=transform.tile,
                rows=self.rows,
                columns=self.columns,
                least_edges=self.least_edges,
                activation=self.activation,
                distance=self.distance,
            )
        return terms

    def weighted(self, terms: dict[str, jax.Array]) -> jax.Array:
        """The sum of the terms of `losses`, each by its weight, []."""
        weights = {
            "edges": self.edge_weight,
            "attention": self.attention_weight,
            "transform": self.transform_weight,
        }
        return sum(
            (weights[name] * term for name, term in terms.items()), start=jnp.zeros(())
        )
