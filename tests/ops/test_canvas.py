"""Which places of a canvas are of the picture, against slices."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxseg.ops.canvas import inside


def test_pictures_are_at_the_top_left():
    size = jnp.array([[2, 3], [4, 1], [0, 5], [9, 9]])
    wanted = np.zeros((4, 4, 5), bool)
    for mask, (height, width) in zip(wanted, np.asarray(size), strict=True):
        mask[:height, :width] = True
    for function in (inside, jax.jit(inside, static_argnums=1)):
        np.testing.assert_array_equal(function(size, (4, 5)), wanted)
