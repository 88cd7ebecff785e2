import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.ops.scales import labels_at, largest, scaled, shrink


def drawn(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("scale", [1.0, 0.5, 0.75, 0.3])
def test_shrinking_equals_torch(torch, scale):
    image = drawn(2, 21, 30, 3)
    shape = int(21 * scale), int(30 * scale)
    wanted = torch.nn.functional.interpolate(
        torch.from_numpy(np.moveaxis(image, -1, 1).copy()),
        shape,
        mode="bilinear",
        align_corners=False,
    )
    ours = shrink(jnp.asarray(image), scale)
    np.testing.assert_allclose(ours, np.moveaxis(wanted.numpy(), 1, -1), atol=1e-5)


def test_shrinking_whole_numbers_gives_fractions():
    image = jnp.array([0, 1, 2, 5], jnp.uint8).reshape(1, 2, 2, 1)
    np.testing.assert_allclose(shrink(image, 0.5).ravel(), [2.0])


def test_the_largest_is_at_the_size_of_the_first():
    first, second = jnp.asarray(drawn(2, 5, 5, 4)), jnp.full((2, 3, 2, 4), -0.25)
    np.testing.assert_array_equal(largest([first, second]), np.maximum(first, -0.25))


def test_the_largest_of_one_is_itself():
    maps = jnp.asarray(drawn(1, 3, 4, 2))
    np.testing.assert_array_equal(largest([maps]), maps)


def test_the_largest_of_none_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        largest([])


def test_compiled_or_not_is_the_same():
    maps = [jnp.asarray(drawn(2, *size, 3)) for size in ((7, 9), (4, 5))]
    np.testing.assert_allclose(jax.jit(largest)(maps), largest(maps), atol=1e-6)


@pytest.mark.parametrize("size", [(6, 6), (16, 16), (5, 9)])
def test_labels_are_picked_as_a_loop_picks_them(size):
    labels = np.random.default_rng(1).integers(0, 256, (2, 11, 13)).astype(np.int32)
    wanted = [
        [
            [image[i * 11 // size[0], j * 13 // size[1]] for j in range(size[1])]
            for i in range(size[0])
        ]
        for image in labels
    ]
    np.testing.assert_array_equal(labels_at(jnp.asarray(labels), size), wanted)


def test_sides_are_truncated_as_fractions_are():
    assert [scaled(321, s) for s in (1, 0.5, 0.75)] == [321, 160, 240]
    assert scaled(10, 0.7) == 7  # float64 says 7.000000000000001 here, 6.99 elsewhere
    assert scaled(100, 0.29) == 29
    assert scaled(1, 0.5) == 1
