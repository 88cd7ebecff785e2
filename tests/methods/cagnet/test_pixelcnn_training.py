import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.data.labels import IGNORE
from jaxseg.methods.cagnet.pixelcnn import PixelCNN
from jaxseg.methods.cagnet.pixelcnn_training import pixelcnn_loss, with_unseen

KEY = jax.random.key(0)
UNSEEN = (3, 4)
MODEL = PixelCNN(width=8, depth=2, kernel_size=3, dropout=0.0)
RNG = np.random.default_rng(0)
TABLE = RNG.normal(size=(5, 6)).astype(np.float32)
TABLE = jnp.asarray(TABLE / np.linalg.norm(TABLE, axis=1, keepdims=True))
PATCHES = jnp.asarray(RNG.integers(0, 3, (6, 3, 3)))


@functools.cache
def variables():
    condition = jnp.zeros((6, 1, 1), int)
    return MODEL.init(KEY, PATCHES, condition, TABLE, train=False)


@jax.jit
@functools.partial(jax.value_and_grad, has_aux=True)
def loss(params, patches):
    stats = variables()["batch_stats"]
    return pixelcnn_loss(
        params, stats, patches, TABLE, model=MODEL, unseen=UNSEEN, key=KEY
    )


def leaves(tree):
    return jax.tree.leaves(tree)


def test_the_largest_class_becomes_an_unseen_one():
    patch = jnp.asarray([[[1, 1, 2], [1, 0, IGNORE], [1, 2, 1]]])
    replaced, main = with_unseen(KEY, patch, TABLE, unseen=UNSEEN)
    assert int(main[0]) in UNSEEN
    expected = jnp.where(patch == 1, main[0], patch)
    np.testing.assert_array_equal(replaced, expected)


def test_the_replacement_is_of_similar_meaning():
    table = jnp.eye(4)[jnp.asarray([0, 1, 0, 1])]
    patches = jnp.zeros((1000, 3, 3), int).at[500:].set(1)
    _, main = with_unseen(KEY, patches, table, unseen=(2, 3), temperature=0.5)
    share = 1 / (1 + np.exp(-2))
    for found, like in ((main[:500], 2), (main[500:], 3)):
        assert abs(np.mean(found == like) - share) < 4 * np.sqrt(0.25 / 500)


def test_patches_without_a_label_change_nothing():
    empty = jnp.full((6, 3, 3), IGNORE)
    (value, stats), gradient = loss(variables()["params"], empty)
    assert value == 0 and not any(jnp.any(leaf) for leaf in leaves(gradient))
    jax.tree.map(np.testing.assert_array_equal, stats, variables()["batch_stats"])


def test_ignored_pixels_are_no_targets():
    bias = "out", "bias"
    one = jnp.full((6, 3, 3), IGNORE).at[0, 2, 2].set(1)
    (_, _), gradient = loss(variables()["params"], one)
    # The gradient by the biases sums softmax minus target, over the targets' mean.
    assert float(jnp.sum(jnp.abs(gradient[bias[0]][bias[1]]))) <= 2.0
    (value, _), _ = loss(variables()["params"], one)
    assert np.isfinite(value) and value > 0


def test_gradients_reach_all_parameters():
    _, gradient = loss(variables()["params"], PATCHES)
    assert all(np.isfinite(leaf).all() for leaf in leaves(gradient))
    assert all(jnp.any(leaf != 0) for leaf in leaves(gradient))


def test_it_learns_that_labels_repeat():
    patches = jnp.broadcast_to(jnp.arange(6)[:, None, None] % 3, (6, 3, 3))
    params = variables()["params"]
    (before, _), _ = loss(params, patches)
    for _ in range(30):
        _, gradient = loss(params, patches)
        params = jax.tree.map(lambda p, g: p - 0.1 * g, params, gradient)
    (after, _), _ = loss(params, patches)
    assert after < 0.5 * before


def test_it_needs_unseen_classes():
    with pytest.raises(ValueError, match="there are none"):
        with_unseen(KEY, PATCHES, TABLE, unseen=())
