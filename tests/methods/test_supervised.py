import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.methods.supervised import Supervised
from tests.test_train import build, make_config


@pytest.fixture(scope="module")
def setting():
    method, _ = build(make_config())
    rng = np.random.default_rng(0)
    label = rng.integers(0, method.labels.num_classes, (2, 32, 64))
    label[0, :4] = 255
    batch = {
        "image": jnp.asarray(rng.integers(0, 256, (2, 32, 64, 3)), jnp.uint8),
        "label": jnp.asarray(label, jnp.int32),
        "valid": jnp.ones(2, bool),
    }
    return method, jax.jit(method.init)(jax.random.key(0), batch), batch


def numpy_loss(method, state, batch, weights):
    """Mean negative log probability of the labelled pixels, by hand."""
    outputs, _ = method.forward(state.params, state, batch["image"])
    logits = np.asarray(outputs.logits, np.float64)
    label = np.asarray(batch["label"])
    log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    picked = np.take_along_axis(log_probs, label[..., None] % logits.shape[-1], -1)
    weight = np.where(label == 255, 0, weights[label % logits.shape[-1]])
    return -(picked[..., 0] * weight).sum() / weight.sum()


def test_the_loss_is_the_mean_over_labelled_pixels(setting):
    method, state, batch = setting
    loss, _ = method.loss(state.params, state, batch, jax.random.key(0))
    ones = np.ones(method.labels.num_classes)
    np.testing.assert_allclose(loss, numpy_loss(*setting, ones), rtol=1e-5)


def test_class_weights_weigh_the_mean(setting):
    method, state, batch = setting
    weights = np.linspace(0.5, 2.0, method.labels.num_classes)
    weighted = Supervised(
        segmentor=method.segmentor,
        optimizer=method.optimizer,
        labels=method.labels,
        class_weights=tuple(weights),
    )
    loss, _ = weighted.loss(state.params, state, batch, jax.random.key(0))
    np.testing.assert_allclose(loss, numpy_loss(*setting, weights), rtol=1e-5)
