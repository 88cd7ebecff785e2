import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.ops.convolution import (
    atrous_conv,
    depthwise_conv,
    native_conv,
    pointwise_conv,
)

EXPLICIT = ((2, 1), (0, 3))


def arrays(*shapes):
    rng = np.random.default_rng(0)
    return [jnp.asarray(rng.normal(size=shape), jnp.float32) for shape in shapes]


def values_and_gradients(function, x, kernel):
    """The result, and the gradients of its product with fixed numbers."""

    @jax.jit
    def run(x, kernel):
        y, pull = jax.vjp(function, x, kernel)
        return y, *pull(jnp.cos(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape))

    return run(x, kernel)


def assert_same(one, other, x, kernel):
    ours = values_and_gradients(one, x, kernel)
    wanted = values_and_gradients(other, x, kernel)
    for a, b in zip(ours, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [(8, 10), (7, 9)])
@pytest.mark.parametrize("padding", ["SAME", EXPLICIT])
@pytest.mark.parametrize("strides, dilation", [(1, 1), (2, 1), (1, 2), (2, 2)])
def test_depthwise_shifts_equal_the_compilers(size, padding, strides, dilation):
    x, kernel = arrays((2, *size, 6), (3, 3, 1, 6))
    one, other = (
        functools.partial(
            depthwise_conv,
            strides=strides,
            dilation=dilation,
            padding=padding,
            formulation=formulation,
        )
        for formulation in ("shifts", "native")
    )
    assert_same(one, other, x, kernel)


@pytest.mark.parametrize(
    "dilation, padding",
    [(1, "SAME"), (3, "SAME"), (6, "SAME"), (12, "SAME"), (3, ((6, 7), (9, 5)))],
)
def test_atrous_shifts_equal_the_compilers(dilation, padding):
    x, kernel = arrays((2, 6, 9, 4), (3, 3, 4, 5))
    one, other = (
        functools.partial(
            atrous_conv, dilation=dilation, padding=padding, formulation=formulation
        )
        for formulation in ("shifts", "native")
    )
    assert_same(one, other, x, kernel)


@pytest.mark.parametrize("strides", [1, 2])
def test_pointwise_equals_the_compilers(strides):
    x, kernel = arrays((2, 7, 8, 4), (1, 1, 4, 5))
    assert_same(
        functools.partial(pointwise_conv, strides=strides),
        functools.partial(native_conv, strides=strides),
        x,
        kernel,
    )


def test_depthwise_by_hand():
    x = jnp.arange(1.0, 10.0).reshape(1, 3, 3, 1)
    kernel = jnp.zeros((3, 3, 1, 1)).at[0, 0].set(1.0).at[1, 1].set(10.0)
    y = depthwise_conv(x, kernel, formulation="shifts")
    np.testing.assert_array_equal(
        y[0, :, :, 0], [[10, 20, 30], [40, 51, 62], [70, 84, 95]]
    )


def test_many_rows_are_summed_in_parts():
    x, kernel = arrays((2, 30, 64, 256), (3, 3, 1, 256))
    one = functools.partial(depthwise_conv, formulation="shifts")
    _, _, gradient = values_and_gradients(one, x, kernel)
    y = jnp.cos(jnp.arange(x.size, dtype=x.dtype)).reshape(x.shape)
    corner = np.einsum("bhwd,bhwd->d", np.float64(x[:, :-1, :-1]), y[:, 1:, 1:])
    np.testing.assert_allclose(gradient[0, 0, 0], corner, atol=1e-2)


def test_unknown_formulation_names_the_known_ones():
    x, kernel = arrays((1, 4, 4, 2), (3, 3, 1, 2))
    with pytest.raises(ValueError, match="'auto', 'native' or 'shifts'"):
        depthwise_conv(x, kernel, formulation="fast")
