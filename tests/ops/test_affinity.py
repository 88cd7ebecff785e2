import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.ops.affinity import affinity, colour_neighbours


def drawn(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def picture(h, w):
    return np.random.default_rng(1).uniform(size=(h, w, 3)).astype(np.float32)


def slow_neighbours(colours):
    h, w, _ = colours.shape
    y, x = np.meshgrid(np.linspace(0, 1, h), np.linspace(0, 1, w), indexing="ij")
    counts = np.zeros((h * w, h * w))
    for k, scale in ((20, 2.0), (10, 0.1)):
        points = np.dstack([colours, scale * x, scale * y]).reshape(h * w, 5)
        for i, point in enumerate(points):
            for j in np.argsort(np.sum((points - point) ** 2, axis=1))[:k]:
                counts[i, j] += 1
                counts[j, i] += 1
    return counts


def test_weights_are_cosines_above_zero():
    features = drawn(3, 4, 6)
    rows = features.reshape(12, 6)
    cosine = [[a @ b / np.sqrt((a @ a) * (b @ b)) for b in rows] for a in rows]
    np.testing.assert_allclose(affinity(features), np.maximum(cosine, 0), atol=1e-6)


@pytest.mark.parametrize("side", [25, 26, 32])  # one strip of the product, two, three
def test_weights_are_numpys_however_many_strips_there_are(side):
    features = drawn(side, side, 5)
    rows = features.reshape(-1, 5).astype(np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    expected = np.maximum(rows @ rows.T, 0)
    np.testing.assert_allclose(affinity(features), expected, atol=1e-6)


def test_lengths_of_features_do_not_matter():
    features = drawn(4, 5, 8)
    lengths = np.random.default_rng(2).uniform(1e-3, 1e3, (4, 5, 1))
    scaled = affinity(features * lengths.astype(np.float32))
    np.testing.assert_allclose(scaled, affinity(features), atol=1e-6)


def test_a_vector_of_zeros_is_like_no_other():
    weights = affinity(np.where(np.arange(5)[:, None] == 2, 0, drawn(1, 5, 4)))
    assert np.all(np.isfinite(weights))
    assert not np.any(weights[2]) and not np.any(weights[:, 2])


def test_neighbours_equal_a_loop():
    colours = picture(5, 7)
    np.testing.assert_array_equal(colour_neighbours(colours), slow_neighbours(colours))


def test_a_small_grid_has_fewer_neighbours():
    counts = colour_neighbours(picture(2, 3))
    np.testing.assert_array_equal(counts, np.full((6, 6), 4))


def test_neighbours_are_added_with_their_weight():
    features, colours = drawn(3, 4, 6), picture(3, 4)
    both = affinity(features, colours=colours, colour_weight=10.0)
    expected = affinity(features) + 10 * slow_neighbours(colours)
    np.testing.assert_allclose(both, expected, atol=1e-5)


def test_padding_has_no_weight_and_changes_none():
    features, colours = drawn(4, 6, 8), picture(4, 6)
    valid = np.arange(6) < 4
    padded = affinity(
        np.where(valid[:, None], features, 9.0),
        colours=np.where(valid[:, None], colours, 0.5),
        colour_weight=1.0,
        valid=np.broadcast_to(valid, (4, 6)),
    ).reshape(4, 6, 4, 6)
    assert not np.any(padded[:, 4:]) and not np.any(padded[:, :, :, 4:])
    # Places are those of the whole grid, so only features compare with the cut one.
    alone = affinity(features[:, :4]).reshape(4, 4, 4, 4)
    counts = padded[:, :4, :, :4] - alone
    np.testing.assert_allclose(counts, np.round(counts), atol=1e-5)
    assert np.all(counts[np.arange(4), 0, np.arange(4), 0] > 3.9)


def test_another_order_of_nodes_is_another_order_of_weights():
    features = drawn(1, 9, 5)
    order = np.random.default_rng(3).permutation(9)
    np.testing.assert_allclose(
        affinity(features[:, order]), affinity(features)[order][:, order], atol=1e-6
    )


def test_compiled_or_not_is_the_same():
    features, colours = drawn(3, 5, 6), picture(3, 5)

    def weights(features, colours):
        return affinity(features, colours=colours, colour_weight=2.0)

    eager = weights(features, colours)
    np.testing.assert_allclose(jax.jit(weights)(features, colours), eager, atol=1e-6)


def test_nothing_is_differentiated():
    gradient = jax.grad(lambda x: jnp.sum(affinity(x)))(jnp.asarray(drawn(2, 3, 4)))
    assert not np.any(gradient)


def test_an_empty_map_has_no_nodes():
    assert affinity(np.zeros((0, 3, 4), np.float32)).shape == (0, 0)


@pytest.mark.parametrize(
    "wrong", [dict(colours=np.zeros((4, 6, 3))), dict(valid=np.ones((2, 2), bool))]
)
def test_another_grid_is_refused(wrong):
    with pytest.raises(ValueError, match="resize it to the map"):
        affinity(drawn(2, 3, 4), **wrong)
