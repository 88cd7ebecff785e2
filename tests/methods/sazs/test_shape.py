import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.methods.sazs.shape import Shape
from jaxseg.models.inverse_transform import InverseTransform

NETWORK = InverseTransform(tile=6, hidden=(8,))


def labels_with_a_band():
    """Two classes with five columns of void between them [1, 24, 32], as VOC's."""
    labels = np.zeros((1, 24, 32), np.int32)
    labels[:, :, 14:19], labels[:, :, 19:] = 255, 2
    return jnp.asarray(labels)


def test_outlines_are_in_the_middle_of_a_band_of_void():
    edges, valid = Shape().edges(labels_with_a_band(), (24, 32), num_classes=3)
    assert valid.all()
    np.testing.assert_array_equal(
        edges[0], np.isin(range(32), (16, 17)) + np.zeros((24, 1))
    )
    without = Shape(void_growth=0)
    edges, valid = without.edges(labels_with_a_band(), (24, 32), num_classes=3)
    assert not edges.any()
    beside = np.isin(range(32), range(13, 20)) + np.zeros((24, 1), int)
    np.testing.assert_array_equal(valid[0], beside == 0)


def test_void_stays_void_beyond_the_growth():
    labels = labels_with_a_band().at[:, :, 8:14].set(255)
    edges, valid = Shape().edges(labels, (24, 32), num_classes=3)
    assert not edges.any() and not valid[:, :, 12:15].any()


def test_growth_is_no_negative_number():
    with pytest.raises(ValueError, match="void_growth is 0 pixels or more, got -1"):
        Shape(void_growth=-1)


def test_a_void_batch_has_terms_of_zero_and_finite_gradients():
    shape, void = Shape(), jnp.full((2, 16, 16), 255)
    edges, valid = shape.edges(void, (8, 8), num_classes=3)
    assert not valid.any()
    blank = jnp.zeros((1, 6, 6))
    params = NETWORK.init(jax.random.key(0), blank, blank)["params"]

    def total(edge_logits, logits):
        terms = shape.losses(
            edge_logits,
            edges,
            valid,
            logits,
            void[:, ::2, ::2],
            transform=NETWORK,
            transform_params=params,
        )
        return shape.weighted(terms)

    given = jnp.ones((2, 8, 8)), jnp.ones((2, 8, 8, 2))
    value, slopes = jax.jit(jax.value_and_grad(total, argnums=(0, 1)))(*given)
    assert value == 0 and all((slope == 0).all() for slope in slopes)


def test_void_has_no_say_in_any_term():
    """Nothing that the network says of void cells moves a term, nor has a gradient."""
    shape = Shape(void_growth=0, least_edges=0)
    labels = jnp.zeros((1, 24, 48), int).at[:, :, 12:].set(2).at[:, :, 24:].set(255)
    edges, valid = shape.edges(labels, (24, 48), num_classes=3)
    void = np.asarray(~valid)
    assert void.any() and edges.any()
    blank = jnp.zeros((1, 6, 6))
    params = NETWORK.init(jax.random.key(0), blank, blank)["params"]
    anchors = jnp.where(labels == 255, 255, labels > 0)

    def terms(edge_logits, logits):
        return shape.losses(
            edge_logits,
            edges,
            valid,
            logits,
            anchors,
            transform=NETWORK,
            transform_params=params,
        )

    drawn = np.random.default_rng(0).normal(size=labels.shape).astype(np.float32)
    drawn = jnp.asarray(drawn)
    logits = jnp.stack([drawn, -drawn], axis=-1)
    other = jnp.where(labels == 255, -drawn, drawn)
    kept = terms(drawn, logits)
    assert set(kept) == {"edges", "attention", "transform"}
    assert all(value > 0 for value in kept.values())
    moved = terms(jnp.where(void, 5.0, drawn), jnp.stack([other, -other], axis=-1))
    for name in ("edges", "transform"):
        np.testing.assert_allclose(moved[name], kept[name], rtol=1e-6)
        slopes = jax.grad(lambda e, name=name: terms(e, logits)[name])(
            jnp.asarray(drawn)
        )
        assert (np.asarray(slopes)[void] == 0).all() and (slopes != 0).any(), name
    # Cells beside void have a class and, unlike outlines, take part in the attention.
    unlabelled = jnp.where(labels == 255, 5.0, drawn)
    attention = terms(unlabelled, jnp.stack([other, -other], axis=-1))["attention"]
    np.testing.assert_allclose(attention, kept["attention"], rtol=1e-6)
