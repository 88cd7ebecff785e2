"""Checks of the alignment of pixels and texts against the authors' code and LSeg's."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxseg.losses.cross_entropy import cross_entropy
from jaxseg.models.heads.text_anchors import text_logits
from tests.golden.case import Case


def align_binary(case: Case) -> None:
    """Two anchors a picture, plain products, as the authors' code has it."""
    features = _channels_last(case["features"])
    texts, labels = jnp.asarray(case["text"]), jnp.asarray(case["target"])
    compare = jax.vmap(functools.partial(text_logits, similarity="dot", scale=1.0))

    def loss(features: jax.Array) -> jax.Array:
        return cross_entropy(compare(features, texts), labels)

    value, gradient = jax.value_and_grad(loss)(features)
    logits = compare(features, texts)
    tolerance = _tolerance(logits)
    case.close("logp", _channels_first(jax.nn.log_softmax(logits)), **tolerance)
    case.close("loss", value, **tolerance)
    case.close("grad_features", _channels_first(gradient), **tolerance)
    case.equal("pred", jnp.argmax(logits, axis=-1))
    case.reference_only(
        "loss_torch", reason="NaN without a valid pixel, where ours is 0 as `loss`"
    )


def align_multi(case: Case) -> None:
    """All anchors, cosines times a scale."""
    features = _channels_last(case["features"])
    texts, labels = jnp.asarray(case["text"]), jnp.asarray(case["target"])
    scale = case.number("scale")

    def logits_of(features: jax.Array) -> jax.Array:
        return text_logits(features, texts, similarity="cosine", scale=scale)

    def loss(features: jax.Array) -> jax.Array:
        return cross_entropy(logits_of(features), labels)

    value, gradient = jax.value_and_grad(loss)(features)
    logits = logits_of(features)
    tolerance = _tolerance(logits)
    case.close("logits", _channels_first(logits), **tolerance)
    case.close("loss_mean", value, **tolerance)
    count = np.count_nonzero((labels >= 0) & (labels < len(texts)))
    case.close("loss_sum", value * count, rtol=1e-5, atol=1e-5 * max(count, 1))
    # Where a feature vector is zero theirs is 1e6 times the slope, ours is 0.
    has_direction = jnp.any(features != 0, axis=-1, keepdims=True)
    ours = jnp.where(
        has_direction, gradient, _channels_last(case["grad_features_of_mean"])
    )
    case.close("grad_features_of_mean", _channels_first(ours), **tolerance)


def _tolerance(logits: jax.Array) -> dict[str, float]:
    """float32 sums of large products round off in proportion to them."""
    largest = float(jnp.max(jnp.abs(logits), initial=0.0))
    return dict(rtol=1e-5, atol=1e-5 * max(1.0, largest))


def _channels_last(x: np.ndarray) -> jax.Array:
    return jnp.moveaxis(jnp.asarray(x), 1, -1)


def _channels_first(x: jax.Array) -> jax.Array:
    return jnp.moveaxis(x, -1, 1)
