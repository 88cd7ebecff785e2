"""Nothing that training moves depends on a label of an unseen class, or its pictures.

A class "secret" is planted into some pictures: a pattern that no other class has, and
labels. Whatever these are, an inductive run's batches and updates must be the same.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxseg.methods.cagnet import patch_network
from jaxseg.methods.cagnet.method import CaGNet
from jaxseg.methods.cagnet.patch_network import PatchNetwork
from jaxseg.methods.cagnet.pixelcnn import PixelCNN
from jaxseg.methods.cagnet.synthesis import Synthesis
from tests.methods.cagnet.setting import LABELS, SIZE, differ, make_batch, make_method
from tests.planted import PATTERNS, Planted, first_batches
from tests.test_train import assert_same

UNSEEN = LABELS.unseen


def batches(planted, train_images, count=3):
    """The first batches of a run, as it trains on them."""
    config = dict(
        seed=0,
        data=dict(
            name="scenes.Scenes",
            batch_size=4,
            crop=SIZE,
            train_images=train_images,
            scale=(0.75, 1.5),
            flip=0.5,
        ),
        model=dict(name="segmentor.Segmentor"),
    )
    return first_batches(config, planted, count)


def plant(name="red", ids=UNSEEN):
    return Planted(labels=LABELS, size=SIZE, colour=PATTERNS[name], ids=ids)


def mixed(**options):
    """Steps on pictures that leave the encoder, and two without after each."""
    synthesis = dict(interval=(1, 2), features_per_step=90) | options
    return dict(trains_encoder=False, synthesis=Synthesis(**synthesis))


STAGES = {
    "step1": {},
    "mixed": mixed(),
    "patches": mixed(patch=3, patch_prior="empirical", pure_share=0.5),
    "pixelcnn": mixed(patch=3, patch_prior="pixelcnn")
    | dict(
        patch_network=PatchNetwork(
            model=PixelCNN(width=4, depth=2), optimizer=optax.sgd(0.1)
        )
    ),
}


@functools.cache
def ready(stage="step1"):
    method = make_method(scales=(1.0,), **STAGES[stage])
    return method, jax.jit(method.init)(jax.random.key(0), make_batch(4))


@functools.cache
def step(stage):
    """A compiled step that is also a function of the word vectors."""
    method, _ = ready(stage)

    @jax.jit
    def run(table, state, batch):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(CaGNet, "class_table", property(lambda self: table))
            return method.train_step(state, batch)

    return run


TABLE = jnp.asarray(LABELS.word_vectors)


def trained(planted, train_images, *, stage="step1"):
    """All that three steps leave, and what they say."""
    _, state = ready(stage)
    said = []
    for batch in batches(planted, train_images):
        state, metrics = step(stage)(TABLE, state, batch)
        said.append(metrics)
    return state, said


@pytest.mark.parametrize("stage", STAGES)
def test_labels_of_unseen_classes_change_nothing(stage):
    planted = [plant(ids=ids) for ids in (UNSEEN, UNSEEN[:1], UNSEEN[1:], (255,))]
    wanted = trained(planted[0], "ignore_unseen", stage=stage)
    for other in planted[1:]:
        assert_same(wanted, trained(other, "ignore_unseen", stage=stage))


@pytest.mark.parametrize("stage", STAGES)
def test_a_label_of_a_seen_class_there_would_have_changed_it(stage):
    one, other = (
        trained(plant(ids=ids), "ignore_unseen", stage=stage)[0]
        for ids in (UNSEEN, LABELS.seen[:1])
    )
    assert differ(one.params, other.params)
    if stage == "patches":
        assert differ(one.memory, other.memory)
    if stage == "pixelcnn":
        name = patch_network.NAME
        assert differ(one.params[name], other.params[name])


@pytest.mark.parametrize("stage", ["step1", "mixed"])
def test_with_pictures_left_out_their_pattern_changes_nothing(stage):
    one, other = (
        trained(plant(name), "purge_unseen", stage=stage) for name in PATTERNS
    )
    assert_same(one, other)


def test_with_pictures_kept_the_pattern_is_context():
    one, other = (trained(plant(name), "ignore_unseen")[0].params for name in PATTERNS)
    assert differ(one, other)


def test_no_loss_is_taken_at_a_hidden_pixel():
    """A code's divergence, a generated feature or a logit there has no gradient."""
    method, state = ready()
    batch = jax.tree.map(jnp.asarray, batches(plant(), "ignore_unseen", 1)[0])
    hidden = method.encoder_of(state, batch, jax.random.key(0))[1][0] == 255
    assert hidden.any()

    def critic_loss(generated):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                "jaxseg.methods.cagnet.method.synthesise",
                lambda *args, **options: generated,
            )
            return method.seen_step(state, batch, jax.random.key(0))[1]["loss"]

    generated = jnp.full((*hidden.shape, 6), 0.5)
    gradient = jnp.any(jax.jit(jax.grad(critic_loss))(generated) != 0, axis=-1)
    assert not gradient[hidden].any() and gradient[~hidden].mean() > 0.5


def test_steps_on_pictures_do_not_read_the_vectors_of_unseen_classes():
    _, state = ready()
    batch = batches(plant(), "ignore_unseen", 1)[0]
    other = TABLE.at[jnp.asarray(UNSEEN)].set(7.0)
    one, two = (step("step1")(table, state, batch) for table in (TABLE, other))
    assert_same(one, two)
    seen = TABLE.at[jnp.asarray(LABELS.seen)].set(7.0)
    assert differ(one[0].params, step("step1")(seen, state, batch)[0].params)


def test_the_classifiers_columns_of_unseen_classes_learn_the_same():
    """Were labels of one of them known, its column would move by itself."""
    _, state = ready()
    decoder = state.params["segmentor"]["decoder"]
    columns = jnp.asarray(UNSEEN)
    equal = jax.tree.map(
        lambda x: x.at[..., columns].set(x[..., columns[:1]]), decoder["classifier"]
    )
    segmentor = {
        **state.params["segmentor"],
        "decoder": {**decoder, "classifier": equal},
    }
    state = state.replace(params={**state.params, "segmentor": segmentor})
    for batch in batches(plant(ids=UNSEEN[:1]), "ignore_unseen"):
        state, _ = step("step1")(TABLE, state, batch)
    after = state.params["segmentor"]["decoder"]["classifier"]
    for leaf, before in zip(
        jax.tree.leaves(after), jax.tree.leaves(equal), strict=True
    ):
        np.testing.assert_allclose(leaf[..., columns[0]], leaf[..., columns[1]])
        assert differ(leaf[..., columns], before[..., columns])
