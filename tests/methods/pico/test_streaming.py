import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxseg.methods.pico import streaming
from jaxseg.methods.pico.streaming import LOW

TEMPERATURE = 0.2
CASES = ["partly filled", "full", "empty class", "empty bank", "one class", "large"]


@pytest.fixture(params=[(2048, 64), (5, 4), (1, 1), (12, 16)])
def sizes(request, monkeypatch):
    """As they are, dividing nothing, the smallest, and just not the whole."""
    monkeypatch.setattr(streaming, "BLOCK", request.param[0])
    monkeypatch.setattr(streaming, "TILE", request.param[1])


def random_inputs(case="partly filled"):
    """Anchors [17, 6], labels [17] of which some are -1, and a bank [4, 13, 6]."""
    rng = np.random.default_rng(0)
    anchors, values = rng.normal(size=(17, 6)), rng.normal(size=(4, 13, 6))
    for array in (anchors, values):
        norms = np.linalg.norm(array, axis=-1, keepdims=True)
        array *= (30 if case == "large" else 1) / norms
    labels = rng.integers(-1, 4, 17)
    fill = [13, 4, 9, 1]
    if case == "one class":
        labels[:] = 2
    elif case == "full":
        fill = [13] * 4
    elif case == "empty class":
        fill = [13, 0, 9, 1]
    elif case == "empty bank":
        fill = [0] * 4
    filled = np.arange(13) < np.asarray(fill)[:, None]
    return (
        jnp.asarray(anchors, jnp.float32),
        jnp.asarray(labels, jnp.int32),
        jnp.asarray(values, jnp.float32),
        jnp.asarray(filled),
    )


def rounded_inputs():
    """Anchors that bfloat16 holds without a loss, and a bank of it."""
    anchors, labels, values, filled = random_inputs()
    rounded = anchors.astype(jnp.bfloat16).astype(jnp.float32)
    return rounded, labels, values.astype(jnp.bfloat16), filled


def some_weights():
    """Of the anchors, so that each has a gradient of its own."""
    return jnp.asarray(np.random.default_rng(1).normal(size=17), jnp.float32)


def dense_scores(anchors, labels, values, filled):
    """In float64: the scores [A, C, M], and which are of the own and other classes."""
    scores = np.einsum("ad,cmd->acm", np.float64(anchors), np.float64(values))
    own = (np.asarray(labels)[:, None] == np.arange(len(values)))[..., None]
    return scores / TEMPERATURE, own & np.asarray(filled), ~own & np.asarray(filled)


def dense_negatives(anchors, labels, values, filled):
    """Log-sum-exp and top score of the negatives, and the gradient of the former."""
    scores, _, negative = dense_scores(anchors, labels, values, filled)
    scores = np.where(negative, scores, -np.inf)
    lse = np.maximum(np.logaddexp.reduce(scores, axis=(1, 2)), LOW)
    slope = np.exp(scores - lse[:, None, None])
    gradient = np.einsum("acm,cmd->ad", slope, np.float64(values)) / TEMPERATURE
    return lse, np.max(scores, axis=(1, 2), initial=LOW), gradient


def dense_positives(anchors, labels, lse, values, filled):
    """Sums of losses and scores, and the gradients of the losses: anchors, lse."""
    scores, positive, _ = dense_scores(anchors, labels, values, filled)
    margin = np.float64(lse)[:, None, None] - scores
    losses = np.where(positive, np.logaddexp(0, margin), 0)
    slope = np.where(positive, (1 + np.tanh(margin / 2)) / 2, 0)
    of_anchors = -np.einsum("acm,cmd->ad", slope, np.float64(values)) / TEMPERATURE
    sums = (losses, positive * scores, slope)
    losses, scores, of_lse = (np.sum(array, axis=(1, 2)) for array in sums)
    return losses, scores, of_anchors, of_lse


def contrast(anchors, labels, values, filled):
    """The sum of all losses, the one function after the other."""
    bank = (values, filled, TEMPERATURE)
    lse, _ = streaming.negatives(anchors, labels, *bank)
    return jnp.sum(streaming.positives(anchors, labels, lse, *bank)[0])


def negatives(anchors, labels, values, filled, weights):
    """What the function gives, and the gradient of its weighted sum."""

    def total(anchors, labels, values, filled):
        lse, top = streaming.negatives(anchors, labels, values, filled, TEMPERATURE)
        return jnp.vdot(weights, lse), (lse, top)

    gradient = jax.jit(jax.grad(total, has_aux=True))
    of_anchors, (lse, top) = gradient(anchors, labels, values, filled)
    return lse, top, of_anchors


def positives(anchors, labels, lse, values, filled, weights):
    """What the function gives, and the gradients of its weighted sum."""

    def total(anchors, lse, labels, values, filled):
        losses, scores = streaming.positives(
            anchors, labels, lse, values, filled, TEMPERATURE
        )
        return jnp.vdot(weights, losses), (losses, scores)

    gradient = jax.grad(total, argnums=(0, 1), has_aux=True)
    inputs = (anchors, lse, labels, values, filled)
    (of_anchors, of_lse), (losses, scores) = jax.jit(gradient)(*inputs)
    return losses, scores, of_anchors, of_lse


def assert_close(ours, dense, tolerance):
    """Equal where there is nothing; elsewhere to a share of the largest number."""
    ours, nothing = np.float64(ours), dense == LOW
    assert np.all(np.isfinite(ours))
    np.testing.assert_array_equal(ours[nothing], np.float32(LOW))
    largest = np.max(np.abs(dense[~nothing]), initial=0)
    np.testing.assert_allclose(
        ours[~nothing], dense[~nothing], rtol=0, atol=tolerance * largest
    )


@pytest.mark.parametrize("case", CASES)
@pytest.mark.usefixtures("sizes")
def test_negatives_equal_a_dense_version_in_float64(case):
    inputs, weights = random_inputs(case), some_weights()
    lse, top, gradient = dense_negatives(*inputs)
    dense = (lse, top, gradient * np.asarray(weights)[:, None])
    counts = np.asarray(inputs[1]) >= 0
    for ours, theirs in zip(negatives(*inputs, weights), dense, strict=True):
        assert np.all(np.isfinite(ours))
        assert_close(ours[counts], theirs[counts], 1e-5 if case != "large" else 1e-3)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.usefixtures("sizes")
def test_positives_equal_a_dense_version_in_float64(case):
    anchors, labels, values, filled = random_inputs(case)
    lse = dense_negatives(anchors, labels, values, filled)[0].astype(np.float32)
    inputs, weights = (anchors, labels, lse, values, filled), some_weights()
    losses, scores, of_anchors, of_lse = dense_positives(*inputs)
    w = np.asarray(weights)
    dense = (losses, scores, of_anchors * w[:, None], of_lse * w)
    for ours, theirs in zip(positives(*inputs, weights), dense, strict=True):
        assert_close(ours, theirs, 1e-5 if case != "large" else 1e-3)


@pytest.mark.usefixtures("sizes")
def test_negatives_in_bfloat16_are_summed_in_float32():
    inputs = rounded_inputs()
    found, dense = negatives(*inputs, jnp.ones(17)), dense_negatives(*inputs)
    counts = np.asarray(inputs[1]) >= 0
    # Only the gradient's weights are rounded too.
    for ours, theirs, tolerance in zip(found, dense, (1e-5, 1e-5, 1e-2), strict=True):
        assert ours.dtype == jnp.float32
        assert_close(ours[counts], theirs[counts], tolerance)


@pytest.mark.usefixtures("sizes")
def test_positives_in_bfloat16_are_summed_in_float32():
    anchors, labels, values, filled = rounded_inputs()
    inputs = (anchors, labels, jnp.linspace(-3, 3, 17), values, filled)
    found, dense = positives(*inputs, jnp.ones(17)), dense_positives(*inputs)
    tolerances = (1e-5, 1e-5, 1e-2, 1e-5)
    for ours, theirs, tolerance in zip(found, dense, tolerances, strict=True):
        assert ours.dtype == jnp.float32
        assert_close(ours, theirs, tolerance)


@pytest.mark.usefixtures("sizes")
def test_gradients_agree_with_finite_differences():
    anchors, labels, values, filled = random_inputs()
    labels = jnp.maximum(labels, 0)  # one without class is compared with anything

    @jax.jit
    def loss(anchors):
        return contrast(anchors, labels, values, filled)

    check_grads(loss, (anchors,), order=1, modes=["rev"], atol=1e-2, rtol=1e-2)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_gradients_have_the_anchors_dtype_and_the_bank_has_none(dtype):
    anchors, labels, values, filled = random_inputs()
    gradient = jax.jit(jax.grad(contrast, argnums=(0, 2)))
    anchors = anchors.astype(dtype)
    of_anchors, of_values = gradient(anchors, labels, values, filled)
    assert of_anchors.dtype == dtype and np.any(of_anchors)
    assert not np.any(of_values)


def test_an_anchor_of_no_class_of_the_bank_has_no_positives():
    anchors, _, values, filled = random_inputs()
    labels = jnp.asarray([-1, 3, 4])[jnp.arange(17) % 3]
    inputs = (anchors, labels, jnp.zeros(17), values, filled, jnp.ones(17))
    for array in positives(*inputs):
        found = np.any(np.reshape(array, (17, -1)), axis=1)
        np.testing.assert_array_equal(found, labels == 3)


def test_scores_are_constants_for_the_gradient():
    anchors, labels, values, filled = random_inputs()

    def watched(anchors):
        bank = (values, filled, TEMPERATURE)
        lse, top = streaming.negatives(anchors, labels, *bank)
        _, scores = streaming.positives(anchors, labels, lse, *bank)
        return jnp.sum(top) + jnp.sum(scores)

    assert not np.any(jax.jit(jax.grad(watched))(anchors))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_no_matrix_of_anchors_times_entries_is_in_the_program(dtype):
    a, c, m, d = 512, 8, 8192, 16
    shapes = (
        jax.ShapeDtypeStruct((a, d), "float32"),
        jax.ShapeDtypeStruct((a,), "int32"),
        jax.ShapeDtypeStruct((c, m, d), dtype),
        jax.ShapeDtypeStruct((c, m), "bool"),
    )
    compiled = jax.jit(jax.value_and_grad(contrast)).lower(*shapes).compile()
    matrix = a * c * m * 4
    assert compiled.memory_analysis().temp_size_in_bytes < matrix / 4


def test_no_copy_of_a_bank_in_float32_is_in_the_program():
    a, c, m, d = 8, 64, 1024, 64
    shapes = (
        jax.ShapeDtypeStruct((a, d), "float32"),
        jax.ShapeDtypeStruct((a,), "int32"),
        jax.ShapeDtypeStruct((c, m, d), "bfloat16"),
        jax.ShapeDtypeStruct((c, m), "bool"),
    )
    compiled = jax.jit(jax.value_and_grad(contrast)).lower(*shapes).compile()
    in_float32 = c * m * d * 4
    assert compiled.memory_analysis().temp_size_in_bytes < 0.75 * in_float32
