import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.losses.cross_entropy import cross_entropy, ohem_cross_entropy


@pytest.fixture
def batch() -> tuple[np.ndarray, np.ndarray]:
    """Logits [2, 5, 7, 4] and labels of which about a third do not count."""
    rng = np.random.default_rng(0)
    labels = rng.choice([0, 1, 2, 3, -1, 4, 255], size=(2, 5, 7))
    return rng.normal(size=(2, 5, 7, 4)).astype(np.float32) * 3, labels


def pixel_losses(logits, labels):
    """(class, loss) of every labelled pixel, in float64, one by one."""
    num_classes = logits.shape[-1]
    rows = zip(
        logits.reshape(-1, num_classes).astype(float), labels.ravel(), strict=True
    )
    return [
        (t, np.log(np.sum(np.exp(row))) - row[t])
        for row, t in rows
        if 0 <= t < num_classes
    ]


def test_value_worked_out_by_hand():
    logits = jnp.log(jnp.array([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]]))
    loss = cross_entropy(logits, jnp.array([0, 2]))
    np.testing.assert_allclose(loss, (np.log(2) + np.log(1.25)) / 2, rtol=1e-6)


def test_weighted_mean_equals_a_loop(batch):
    weights = np.array([0.5, 1.0, 2.0, 0.1])
    losses = pixel_losses(*batch)
    expected = sum(weights[t] * x for t, x in losses) / sum(
        weights[t] for t, _ in losses
    )
    np.testing.assert_allclose(
        cross_entropy(*batch, class_weights=weights), expected, rtol=1e-6
    )


def test_value_and_gradient_equal_torch(torch, batch):
    logits, labels = batch
    weights = np.array([0.5, 1.0, 2.0, 0.1], np.float32)
    loss, grad = jax.value_and_grad(cross_entropy)(
        logits, labels, class_weights=weights
    )

    theirs = torch.tensor(logits, requires_grad=True)
    known = torch.tensor(np.where((labels < 0) | (labels > 3), 255, labels))
    their_loss = torch.nn.functional.cross_entropy(
        theirs.permute(0, 3, 1, 2), known, torch.tensor(weights), ignore_index=255
    )
    their_loss.backward()
    np.testing.assert_allclose(loss, their_loss.item(), rtol=1e-6)
    np.testing.assert_allclose(grad, theirs.grad.numpy(), rtol=1e-5, atol=1e-8)


def test_unlabelled_pixels_get_no_gradient(batch):
    grad = jax.grad(cross_entropy)(*batch)
    unlabelled = (batch[1] < 0) | (batch[1] > 3)
    assert not np.any(grad[unlabelled])
    assert np.all(np.any(grad[~unlabelled] != 0, axis=-1))


def test_more_unlabelled_pixels_change_nothing(batch):
    logits, labels = (np.concatenate([x, x]) for x in batch)
    labels[2:] = 255
    np.testing.assert_allclose(
        cross_entropy(logits, labels), cross_entropy(*batch), rtol=1e-6
    )


def test_permuting_classes_changes_nothing(batch):
    logits, labels = batch
    order = np.array([2, 0, 3, 1])
    known = (labels >= 0) & (labels < 4)
    permuted = np.where(known, np.argsort(order)[np.where(known, labels, 0)], 255)
    np.testing.assert_allclose(
        cross_entropy(logits[..., order], permuted), cross_entropy(*batch), rtol=1e-6
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
def test_nothing_labelled_gives_zero_and_zero_gradient(dtype):
    labels = np.full((2, 3), 255, dtype)
    loss, grad = jax.value_and_grad(cross_entropy)(jnp.ones((2, 3, 4)), labels)
    assert loss == 0 and not np.any(grad)


def test_classes_of_weight_zero_alone_give_zero():
    loss, grad = jax.value_and_grad(cross_entropy)(
        jnp.ones((5, 2)), jnp.zeros(5, int), class_weights=(0.0, 1.0)
    )
    assert loss == 0 and not np.any(grad)


def test_jit_equals_eager(batch):
    np.testing.assert_allclose(
        jax.jit(cross_entropy)(*batch), cross_entropy(*batch), rtol=1e-6
    )


def test_bfloat16_logits_are_computed_in_float32(batch):
    logits = jnp.asarray(batch[0], jnp.bfloat16)
    loss = cross_entropy(logits, batch[1])
    exact = cross_entropy(logits.astype(jnp.float32), batch[1])
    assert loss.dtype == jnp.float32 and loss == exact


def test_logits_that_overflow_exp_stay_finite():
    logits = jnp.array([[1e4, 0.0], [0.0, 1e4]])
    loss, grad = jax.value_and_grad(cross_entropy)(logits, jnp.array([1, 1]))
    assert loss == 5e3 and np.all(np.isfinite(grad))


def test_sizes_that_do_not_go_together_are_named():
    with pytest.raises(ValueError, match=r"\(1, 2, 2, 3\) and labels \(1, 4, 4\)"):
        cross_entropy(jnp.ones((1, 2, 2, 3)), jnp.zeros((1, 4, 4), int))
    with pytest.raises(ValueError, match="each of the 3 classes"):
        cross_entropy(jnp.ones((2, 3)), jnp.zeros(2, int), class_weights=(1.0, 1.0))


@pytest.mark.parametrize("threshold, min_kept", [(0.7, 3), (0.01, 20), (0.5, 10_000)])
def test_hard_pixels_equal_a_loop(batch, threshold, min_kept):
    weights = np.array([0.5, 1.0, 2.0, 0.1])
    losses = pixel_losses(*batch)
    ascending = sorted(np.exp(-x) for _, x in losses)
    limit = max(threshold, ascending[min(min_kept, len(ascending) - 1)])
    kept = [weights[t] * x for t, x in losses if np.exp(-x) < limit - 1e-9]
    ours = jax.jit(ohem_cross_entropy, static_argnames=("threshold", "min_kept"))(
        *batch, threshold=threshold, min_kept=min_kept, class_weights=weights
    )
    np.testing.assert_allclose(ours, np.mean(kept), rtol=1e-5)


def test_easy_pixels_get_no_gradient(batch):
    logits, labels = batch
    grad = jax.grad(ohem_cross_entropy)(logits, labels, threshold=0.5, min_kept=0)
    probability = np.asarray(jax.nn.softmax(logits))
    for row, p, t in zip(
        np.asarray(grad).reshape(-1, 4),
        probability.reshape(-1, 4),
        labels.flat,
        strict=True,
    ):
        assert np.any(row) == (0 <= t < 4 and p[t] < 0.5)


@pytest.mark.parametrize("label", [255, 0])
def test_no_hard_pixel_gives_zero_and_zero_gradient(label):
    logits = jnp.array([[9.0, 0.0], [9.0, 0.0]])
    loss, grad = jax.value_and_grad(ohem_cross_entropy)(
        logits, jnp.full(2, label), threshold=0.5, min_kept=0
    )
    assert loss == 0 and not np.any(grad)
