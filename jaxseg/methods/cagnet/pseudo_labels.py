"""Self-training: what the model takes the unlabelled pixels for."""

import dataclasses

import jax
import jax.numpy as jnp


@dataclasses.dataclass(frozen=True, kw_only=True)
class PseudoLabels:
    """Which predictions of unlabelled pixels are learnt from.

    Attributes:
        top_p: the best-ranked unseen class counts if it is among the first `top_p` of
            the ranking of all classes; 1: it must be the prediction.
        min_probability: of that class; 0 asks for none, as the release.
        consistency: whether the prediction must also be that of the mirrored picture
            and of the picture enlarged by 1.25. Not in the release.
    """

    top_p: int = 1
    min_probability: float = 0.0
    consistency: bool = False


def pseudo_labels(
    scores: jax.Array,
    labels: jax.Array,
    unseen: jax.Array,
    *,
    top_p: int,
    min_probability: float = 0.0,
) -> jax.Array:
    """Gives ignored pixels the best-ranked unseen class among the first `top_p`.

    Args:
        scores: [..., C] logits; of equal ones the first class ranks first.
        labels: [...] ids of seen classes; all others are ignored pixels.
        unseen: [C] bool, which classes are unseen.
        top_p: ranks that count.
        min_probability: the least probability of the class.

    Returns:
        [...] int32: labels where there were some, else unseen classes or the ignored
        id that was there.
    """
    num_classes = scores.shape[-1]
    scores = jax.lax.stop_gradient(scores.astype(jnp.float32))
    best = jnp.argmax(jnp.where(unseen, scores, -jnp.inf), axis=-1)
    score = jnp.take_along_axis(scores, best[..., None], axis=-1)
    before = jnp.arange(num_classes) < best[..., None]
    rank = jnp.sum((scores > score) | ((scores == score) & before), axis=-1)
    probability = jnp.exp(score[..., 0] - jax.nn.logsumexp(scores, axis=-1))
    labelled = (labels >= 0) & (labels < num_classes)
    taken = ~labelled & (rank < top_p) & (probability >= min_probability)
    return jnp.where(taken & jnp.any(unseen), best, labels).astype(jnp.int32)
