import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.metrics.confusion import confusion_matrix


def test_value_worked_out_by_hand():
    truth, predicted = (
        jnp.array([[0, 0, 1], [1, 2, 2]]),
        jnp.array([[0, 1, 1], [1, 0, 2]]),
    )
    counts = confusion_matrix(truth, predicted, num_classes=3)
    assert counts.dtype == jnp.int32
    np.testing.assert_array_equal(counts, [[1, 1, 0], [0, 2, 0], [1, 0, 1]])


@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
def test_equals_a_loop_and_drops_ids_outside_the_classes(dtype):
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 60, (2, 9, 11)).astype(dtype)
    predicted = rng.integers(0, 60, (2, 9, 11)).astype(dtype)
    truth[0, 0] = 255
    expected = np.zeros((50, 50), int)
    for t, p in zip(truth.flat, predicted.flat, strict=True):
        if t < 50 and p < 50:
            expected[t, p] += 1
    count = jax.jit(confusion_matrix, static_argnames="num_classes")
    np.testing.assert_array_equal(count(truth, predicted, num_classes=50), expected)


def test_negative_ids_do_not_wrap_around():
    counts = confusion_matrix(jnp.array([-1, 1]), jnp.array([1, -1]), num_classes=2)
    assert not np.any(counts)


def test_no_pixels_give_zeros():
    counts = confusion_matrix(jnp.zeros((0,), int), jnp.zeros((0,), int), num_classes=2)
    np.testing.assert_array_equal(counts, np.zeros((2, 2)))


def test_different_shapes_are_refused():
    with pytest.raises(ValueError, match="same shape"):
        confusion_matrix(jnp.zeros((2, 2), int), jnp.zeros((4,), int), num_classes=2)
