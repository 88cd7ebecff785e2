import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxseg.losses.mask_classification import mask_classification_loss
from jaxseg.methods.mask_classification import MaskClassification
from jaxseg.models.backbones.tiny import Tiny
from jaxseg.models.heads.fcn import FCN
from jaxseg.models.heads.maskformer import MaskFormerDecoder, PixelDecoder
from jaxseg.models.segmentor import Segmentor
from tests.test_train import build, make_config

SEGMENTOR = Segmentor(
    Tiny((8, 8, 16), (1, 0, 0)),
    PixelDecoder(16, mask_features=8, num_groups=4),
    num_classes=3,
    decoder=MaskFormerDecoder(
        num_queries=5, width=16, depth=2, num_heads=2, hidden=32, dropout=0.0
    ),
)


@pytest.fixture(scope="module")
def labels():
    method, _ = build(make_config())
    return method.labels


@pytest.fixture(scope="module")
def setting(labels):
    """Two pictures whose colours say the class, a corner unlabelled."""
    method = MaskClassification(
        segmentor=SEGMENTOR, optimizer=optax.adam(3e-3), labels=labels
    )
    label = np.random.default_rng(0).integers(0, 3, (2, 4, 4)).repeat(8, 1).repeat(8, 2)
    image = np.eye(3)[label] * 200 + 20
    label[0, :5, :5] = 255
    batch = {
        "image": jnp.asarray(image, jnp.uint8),
        "label": jnp.asarray(label, jnp.int32),
        "valid": jnp.ones(2, bool),
    }
    return method, jax.jit(method.init)(jax.random.key(0), batch), batch


def test_the_loss_is_that_of_the_queries_of_all_layers(setting):
    method, state, batch = setting
    loss, (_, metrics) = jax.jit(method.loss)(
        state.params, state, batch, jax.random.key(1)
    )
    outputs, _ = method.forward(state.params, state, batch["image"])
    class_logits, mask_logits = (
        outputs.queries.class_logits,
        outputs.queries.mask_logits,
    )
    assert class_logits.shape == (2, 2, 5, 4)
    wanted, terms = mask_classification_loss(class_logits, mask_logits, batch["label"])
    np.testing.assert_allclose(loss, wanted, rtol=1e-4)
    np.testing.assert_allclose(metrics["loss"], sum(terms.values()), rtol=1e-4)


def test_weights_reach_the_loss(setting):
    method, state, batch = setting
    other = MaskClassification(
        segmentor=SEGMENTOR,
        optimizer=method.optimizer,
        labels=method.labels,
        class_weight=0.0,
        focal_weight=0.0,
        dice_weight=2.0,
    )
    loss, (_, metrics) = other.loss(state.params, state, batch, jax.random.key(1))
    assert metrics["class"] == metrics["focal"] == 0
    assert loss == metrics["dice"] > 0


@pytest.mark.slow
def test_steps_lower_the_loss_and_find_the_classes(setting):
    method, state, batch = setting
    step = jax.jit(method.train_step)
    losses = []
    for _ in range(60):
        state, metrics = step(state, batch)
        losses.append(float(metrics["loss"]))
    assert np.mean(losses[-5:]) < 0.6 * np.mean(losses[:5])
    right = jnp.argmax(method.predict(state, batch), axis=-1) == batch["label"]
    assert np.mean(right) > 0.8


def test_a_segmentor_without_queries_is_refused(setting, labels):
    method, _, batch = setting
    plain = MaskClassification(
        segmentor=Segmentor(Tiny((4,), (0,)), FCN(4), 3),
        optimizer=method.optimizer,
        labels=labels,
    )
    state = plain.init(jax.random.key(0), batch)
    with pytest.raises(ValueError, match="MaskFormerDecoder"):
        plain.loss(state.params, state, batch, jax.random.key(1))
