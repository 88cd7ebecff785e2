"""Nothing that training moves depends on a label of an unseen class, or its pictures.

A class "secret" is planted into some pictures: a pattern that no other class has, and
labels. Whatever these are, an inductive run's batches and updates must be the same.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.data import inputs
from jaxseg.methods.cagnet.method import CaGNet
from jaxseg.methods.cagnet.synthesis import Synthesis
from tests.methods.cagnet.setting import LABELS, SIZE, differ, make_batch, make_method
from tests.test_train import assert_same

UNSEEN = LABELS.unseen
PATTERNS = {"red": (255, 0, 0), "green": (0, 255, 0)}


@dataclasses.dataclass(frozen=True)
class Planted:
    """Pictures of seen classes; into every other one a patch is planted.

    Attributes:
        colour: of the patch.
        ids: its labels, drawn from these.
    """

    colour: tuple[int, int, int]
    ids: tuple[int, ...]
    labels = LABELS

    def source(self, split):
        del split
        return self

    def __len__(self):
        return 8

    def __getitem__(self, index):
        rng = np.random.RandomState(index)
        image = rng.randint(0, 120, (*SIZE, 3)).astype(np.uint8)
        label = rng.choice(LABELS.seen, (4, 6)).repeat(4, 0).repeat(4, 1)
        if index % 2:
            image[4:12, 8:16] = self.colour
            label[4:12, 8:16] = np.resize(self.ids, (8, 8))
        return dict(image=image, label=label.astype(np.uint8))

    def name(self, index):
        return f"picture {index}"


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
    stream = inputs.training_batches(config, planted, start_step=0)
    found = [jax.tree.map(np.asarray, dict(next(stream))) for _ in range(count)]
    stream.close()
    return found


def plant(name="red", ids=UNSEEN):
    return Planted(PATTERNS[name], ids)


@functools.cache
def ready(mixed=False):
    synthesis = Synthesis(interval=(1, 2), features_per_step=90)
    options = dict(trains_encoder=False, synthesis=synthesis) if mixed else {}
    method = make_method(scales=(1.0,), **options)
    return method, jax.jit(method.init)(jax.random.key(0), make_batch(4))


@functools.cache
def step(mixed):
    """A compiled step that is also a function of the word vectors."""
    method, _ = ready(mixed)

    @jax.jit
    def run(table, state, batch):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(CaGNet, "class_table", property(lambda self: table))
            return method.train_step(state, batch)

    return run


TABLE = jnp.asarray(LABELS.word_vectors)


def trained(planted, train_images, *, mixed=False):
    """All that three steps leave, and what they say."""
    _, state = ready(mixed)
    said = []
    for batch in batches(planted, train_images):
        state, metrics = step(mixed)(TABLE, state, batch)
        said.append(metrics)
    return state, said


@pytest.mark.parametrize("mixed", [False, True])
def test_labels_of_unseen_classes_change_nothing(mixed):
    planted = [plant(ids=ids) for ids in (UNSEEN, UNSEEN[:1], UNSEEN[1:], (255,))]
    wanted = trained(planted[0], "ignore_unseen", mixed=mixed)
    for other in planted[1:]:
        assert_same(wanted, trained(other, "ignore_unseen", mixed=mixed))


def test_a_label_of_a_seen_class_there_would_have_changed_it():
    one, other = (
        trained(plant(ids=ids), "ignore_unseen")[0].params
        for ids in (UNSEEN, LABELS.seen[:1])
    )
    assert differ(one, other)


@pytest.mark.parametrize("mixed", [False, True])
def test_with_pictures_left_out_their_pattern_changes_nothing(mixed):
    one, other = (
        trained(plant(name), "purge_unseen", mixed=mixed) for name in PATTERNS
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
    one, two = (step(False)(table, state, batch) for table in (TABLE, other))
    assert_same(one, two)
    seen = TABLE.at[jnp.asarray(LABELS.seen)].set(7.0)
    assert differ(one[0].params, step(False)(seen, state, batch)[0].params)


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
        state, _ = step(False)(TABLE, state, batch)
    after = state.params["segmentor"]["decoder"]["classifier"]
    for leaf, before in zip(
        jax.tree.leaves(after), jax.tree.leaves(equal), strict=True
    ):
        np.testing.assert_allclose(leaf[..., columns[0]], leaf[..., columns[1]])
        assert differ(leaf[..., columns], before[..., columns])
