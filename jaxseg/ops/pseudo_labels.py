"""Self-training: what a model takes the unlabelled pixels for (Gu et al. 2020)."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxseg.ops.resize import resize_bilinear
from jaxseg.ops.scales import shrink

ENLARGEMENT = 1.25


@dataclasses.dataclass(frozen=True, kw_only=True)
class PseudoLabels:
    """Which predictions of unlabelled pixels are learnt from.

    Attributes:
        top_p: the best-ranked unseen class counts if it is among the first `top_p` of
            the ranking of all classes; 1: it must be the prediction.
        min_probability: of that class; 0 asks for none, as the release.
        calibration: of `ranked`; CaGNet's release has none.
        consistency: whether the prediction must also be that of the mirrored picture
            and of the picture enlarged by 1.25. Not in the release.
    """

    top_p: int = 1
    min_probability: float = 0.0
    calibration: float = 0.0
    consistency: bool = False

    def __post_init__(self):
        if self.top_p < 1 or not 0 <= self.min_probability < 1:
            raise ValueError(
                "pseudo_labels.top_p is a number of ranks from 1 and min_probability "
                f"from 0 to below 1, got {self.top_p} and {self.min_probability}"
            )
        if not 0 <= self.calibration <= 1:
            raise ValueError(
                f"pseudo_labels.calibration is taken off probabilities: give 0 to 1, "
                f"got {self.calibration}"
            )

    def __call__(
        self,
        predict: Callable[[jax.Array], jax.Array],
        image: jax.Array,
        labels: jax.Array,
        unseen: jax.Array,
    ) -> jax.Array:
        """Labels ignored pixels of a batch with unseen classes.

        Args:
            predict: pictures [B, H, W, 3] -> logits [B, h, w, C].
            image: [B, H, W, 3].
            labels: [B, h, w], of the size of `predict`'s maps.
            unseen: [C] bool.

        Returns:
            [B, h, w] int32; see `pseudo_labels`.
        """

        def classes(logits: jax.Array) -> jax.Array:
            return jnp.argmax(ranked(logits, unseen, self.calibration), axis=-1)

        scores = predict(image)
        found = pseudo_labels(
            scores,
            labels,
            unseen,
            top_p=self.top_p,
            min_probability=self.min_probability,
            calibration=self.calibration,
        )
        if not self.consistency:
            return found
        _, height, width, _ = scores.shape
        mirrored = predict(image[:, :, ::-1])[:, :, ::-1]
        enlarged = predict(shrink(image, ENLARGEMENT))
        enlarged = resize_bilinear(enlarged, (height, width), align_corners=False)
        prediction = classes(scores)
        agree = (classes(mirrored) == prediction) & (classes(enlarged) == prediction)
        return jnp.where(agree, found, labels)


def pseudo_labels(
    scores: jax.Array,
    labels: jax.Array,
    unseen: jax.Array,
    *,
    top_p: int,
    min_probability: float = 0.0,
    calibration: float = 0.0,
) -> jax.Array:
    """Gives ignored pixels the best-ranked unseen class among the first `top_p`.

    Args:
        scores: [..., C] logits; of equal ones the first class ranks first.
        labels: [...] ids of seen classes; all others are ignored pixels.
        unseen: [C] bool, which classes are unseen.
        top_p: ranks that count.
        min_probability: the least probability of the class.
        calibration: of `ranked`.

    Returns:
        [...] int32: labels where there were some, else unseen classes or the ignored
        id that was there.
    """
    num_classes = scores.shape[-1]
    logits = jax.lax.stop_gradient(scores.astype(jnp.float32))
    scores = ranked(logits, unseen, calibration)
    best = jnp.argmax(jnp.where(unseen, scores, -jnp.inf), axis=-1)[..., None]
    score = jnp.take_along_axis(scores, best, axis=-1)
    before = jnp.arange(num_classes) < best
    rank = jnp.sum((scores > score) | ((scores == score) & before), axis=-1)
    logit, best = jnp.take_along_axis(logits, best, axis=-1)[..., 0], best[..., 0]
    probability = jnp.exp(logit - jax.nn.logsumexp(logits, axis=-1))
    labelled = (labels >= 0) & (labels < num_classes)
    # Compiled, the least probability 0 would let NaN pass as well.
    sure = jnp.isfinite(logit) & (probability >= min_probability)
    taken = ~labelled & (rank < top_p) & sure
    return jnp.where(taken & jnp.any(unseen), best, labels).astype(jnp.int32)


def ranked(logits: jax.Array, unseen: jax.Array, calibration: float) -> jax.Array:
    """What classes are ranked by, [..., C].

    Args:
        logits: [..., C].
        unseen: [C] bool.
        calibration: gamma, taken off the probability of each class that is not unseen,
            as in SPNet's prediction (Xian et al. 2019); at 0 the logits rank.
    """
    if not calibration:
        return logits
    return jax.nn.softmax(logits) - calibration * ~unseen


def share_labelled(before: jax.Array, after: jax.Array, num_classes: int) -> jax.Array:
    """The share of unlabelled pixels that got a class, []; 0 where there were none.

    Args:
        before: [...] ids of classes; all others are unlabelled pixels.
        after: [...] the same with pseudo labels.
        num_classes: C.
    """
    num_before, num_after = (
        jnp.sum((labels < 0) | (labels >= num_classes)) for labels in (before, after)
    )
    # Subtracted as whole numbers, so that none is exactly 0 on every device.
    return (num_before - num_after) / jnp.maximum(num_before, 1)
