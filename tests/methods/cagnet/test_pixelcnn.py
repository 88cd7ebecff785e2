import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.methods.cagnet.pixelcnn import PixelCNN, causal_mask

RNG = np.random.default_rng(0)
TABLE = jnp.asarray(RNG.normal(size=(5, 6)), jnp.float32)
LABELS = jnp.asarray(RNG.integers(0, 5, (2, 3, 3)))
CONDITION = jnp.asarray([[[1]], [[4]]])
MODEL = PixelCNN(width=4, depth=3, kernel_size=7)


@functools.cache
def variables():
    return MODEL.init(jax.random.key(0), LABELS, CONDITION, TABLE, train=False)


APPLY = jax.jit(functools.partial(MODEL.apply, train=False))


def logits(labels, condition=CONDITION):
    return APPLY(variables(), labels, condition, TABLE)


def test_masks_hide_what_comes_later():
    assert causal_mask(3, with_centre=False).tolist() == [[1, 1, 1], [1, 0, 0], [0] * 3]
    assert causal_mask(3, with_centre=True).tolist() == [[1, 1, 1], [1, 1, 0], [0] * 3]


@pytest.mark.parametrize("position", range(9))
def test_a_label_moves_only_what_comes_after_it(position):
    index = (0, *divmod(position, 3))
    changed = LABELS.at[index].set((LABELS[index] + 1) % 5)
    moved = jnp.any(logits(LABELS) != logits(changed), axis=-1)
    assert not jnp.any(moved[0].ravel()[: position + 1])
    assert jnp.any(moved[0]) == (position < 8) and not jnp.any(moved[1])


def test_a_condition_may_be_given_for_each_pixel():
    of_pixels = jnp.broadcast_to(CONDITION, LABELS.shape)
    np.testing.assert_allclose(logits(LABELS), logits(LABELS, of_pixels), atol=1e-6)


def test_the_condition_matters():
    other = (CONDITION + 1) % 5
    assert jnp.all(jnp.any(logits(LABELS) != logits(LABELS, other), axis=(1, 2, 3)))


def test_ignored_labels_are_zero_vectors():
    # A class more, with a zero vector, takes the place of the ignored label.
    table = jnp.concatenate([TABLE, jnp.zeros((1, 6))])
    model = PixelCNN(width=4, depth=2, kernel_size=3)
    of_model = model.init(jax.random.key(0), LABELS, CONDITION, table, train=False)
    run = jax.jit(functools.partial(model.apply, of_model, train=False))
    ignored, zero = LABELS.at[0, 0, 0].set(255), LABELS.at[0, 0, 0].set(5)
    np.testing.assert_allclose(
        run(ignored, CONDITION, table), run(zero, CONDITION, table), atol=1e-6
    )


def test_a_window_needs_a_centre():
    with pytest.raises(ValueError, match="must be odd"):
        PixelCNN(kernel_size=4).init(
            jax.random.key(0), LABELS, CONDITION, TABLE, train=False
        )
