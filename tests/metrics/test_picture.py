import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.metrics import picture

TRUTH = jnp.array([[[-1, 3]], [[-1, -1]], [[-1, -1]]])
SIZE = jnp.array([[1, 2], [1, 2], [0, 0]])


@pytest.mark.parametrize("size", [None, SIZE])
def test_a_labelled_pixel_makes_a_picture(size):
    counts = picture.scored(TRUTH, size, with_unlabelled=False)
    np.testing.assert_array_equal(counts, [True, False, False])


def test_a_size_makes_a_picture_if_unlabelled_ones_count():
    counts = picture.scored(TRUTH, SIZE, with_unlabelled=True)
    np.testing.assert_array_equal(counts, [True, True, False])


def test_unlabelled_pictures_without_sizes_are_refused():
    with pytest.raises(ValueError, match="with_unlabelled=False"):
        picture.scored(TRUTH, None, with_unlabelled=True)
