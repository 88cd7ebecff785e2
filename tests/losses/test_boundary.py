import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.losses.boundary import (
    balanced_binary_cross_entropy,
    edge_attention,
    edge_class_weights,
)

RNG = np.random.default_rng(0)
EDGE_LOGITS = RNG.normal(size=(2, 5, 6)).astype(np.float32) * 2
EDGES = RNG.random((2, 5, 6)) < 0.2
LOGITS = RNG.normal(size=(2, 5, 6, 3)).astype(np.float32)
LABELS = RNG.choice([0, 1, 2, 255], size=(2, 5, 6))


def test_edges_weigh_as_much_as_all_else():
    loss = balanced_binary_cross_entropy(jnp.zeros((2, 5, 6)), jnp.asarray(EDGES))
    share = EDGES.mean()
    np.testing.assert_allclose(loss, 2 * share * (1 - share) * np.log(2), rtol=1e-6)


def test_it_is_the_weighted_mean_of_all_pixels():
    probability = 1 / (1 + np.exp(-EDGE_LOGITS.astype(float)))
    right = np.where(EDGES, probability, 1 - probability)
    weights = np.where(EDGES, 1 - EDGES.mean(), EDGES.mean())
    ours = jax.jit(balanced_binary_cross_entropy)(EDGE_LOGITS, EDGES)
    np.testing.assert_allclose(ours, np.mean(-weights * np.log(right)), rtol=1e-5)
    eager = balanced_binary_cross_entropy(EDGE_LOGITS, EDGES)
    np.testing.assert_allclose(ours, eager, rtol=1e-6)


def test_pixels_that_are_not_valid_do_not_count():
    valid = np.zeros(EDGES.shape, bool)
    valid[:, :3] = True
    logits = np.where(valid, EDGE_LOGITS, np.nan)
    value, slope = jax.value_and_grad(balanced_binary_cross_entropy)(
        jnp.asarray(logits), EDGES, valid=valid
    )
    expected = balanced_binary_cross_entropy(EDGE_LOGITS[:, :3], EDGES[:, :3])
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    assert np.isfinite(slope).all() and (slope[~valid] == 0).all()


@pytest.mark.parametrize("edges", [np.zeros((1, 4, 4), bool), np.ones((1, 4, 4), bool)])
def test_one_kind_of_pixel_teaches_nothing(edges):
    value, slope = jax.value_and_grad(balanced_binary_cross_entropy)(
        jnp.full((1, 4, 4), 3.0), edges
    )
    assert value == 0 and (slope == 0).all()


def attention_by_loop():
    """Per image, in float64."""
    kept = (EDGE_LOGITS > 0.8) & (LABELS < 3)
    counts = np.array([np.sum(LABELS[kept] == c) for c in range(3)])
    weights = np.where(counts > 0, 1 - counts / counts.sum(), 0) + 1
    scores = LOGITS - np.log(np.sum(np.exp(LOGITS.astype(float)), -1, keepdims=True))
    losses = []
    for scores_of, labels, mask in zip(scores, LABELS, kept, strict=True):
        w = weights[labels[mask]]
        picked = scores_of[mask][np.arange(mask.sum()), labels[mask]]
        losses.append(np.sum(-w * picked) / w.sum())
    return losses


@pytest.mark.parametrize("reduction, of", [("mean", np.mean), ("sum", np.sum)])
def test_attention_is_the_cross_entropy_where_the_head_sees_edges(reduction, of):
    ours = jax.jit(edge_attention, static_argnames="reduction")(
        LOGITS, LABELS, EDGE_LOGITS, reduction=reduction
    )
    np.testing.assert_allclose(ours, of(attention_by_loop()), rtol=1e-5)
    eager = edge_attention(LOGITS, LABELS, EDGE_LOGITS, reduction=reduction)
    np.testing.assert_allclose(ours, eager, rtol=1e-6)


def test_an_image_without_a_surviving_pixel_adds_nothing():
    quiet = EDGE_LOGITS.copy()
    quiet[0] = 0.5
    value, slope = jax.value_and_grad(edge_attention)(
        jnp.asarray(LOGITS), LABELS, quiet, reduction="sum"
    )
    alone = edge_attention(LOGITS[1:], LABELS[1:], quiet[1:], reduction="sum")
    np.testing.assert_allclose(value, alone, rtol=1e-6)
    assert (slope[0] == 0).all() and np.isfinite(slope).all() and slope[1].any()


def test_a_void_batch_is_zero_with_zero_gradient():
    void = jnp.full(LABELS.shape, 255)
    value, slope = jax.value_and_grad(edge_attention)(
        jnp.asarray(LOGITS), void, jnp.asarray(EDGE_LOGITS)
    )
    assert value == 0 and (slope == 0).all()


def test_void_pixels_do_not_change_attention():
    other = np.where(LABELS[..., None] == 255, 100 * LOGITS, LOGITS)
    ours, theirs = (edge_attention(x, LABELS, EDGE_LOGITS) for x in (LOGITS, other))
    assert ours == theirs


def test_the_edge_head_learns_nothing_from_attention():
    slope = jax.grad(edge_attention, argnums=2)(
        LOGITS, jnp.asarray(LABELS), jnp.asarray(EDGE_LOGITS)
    )
    assert (slope == 0).all()


def test_rare_classes_weigh_up_to_two():
    labels = jnp.asarray([0, 0, 0, 1, 255, -1])
    weights = edge_class_weights(labels, num_classes=3)
    np.testing.assert_allclose(weights, [1.25, 1.75, 1.0])


def test_other_shapes_and_reductions_are_refused():
    with pytest.raises(ValueError, match="size of the feature map"):
        balanced_binary_cross_entropy(EDGE_LOGITS, jnp.zeros((2, 40, 48)))
    with pytest.raises(ValueError, match="'mean' or 'sum'"):
        edge_attention(LOGITS, LABELS, EDGE_LOGITS, reduction="none")
