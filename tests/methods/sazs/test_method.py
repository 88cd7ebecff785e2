"""SAZS on made-up shapes: what it learns from, what stays, what is told."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxseg import evaluate, initialization, sharding, train
from jaxseg.config import ConfigError, load
from jaxseg.data import inputs
from jaxseg.data.word_vectors import WordVectorError
from jaxseg.methods.base import from_config
from tests.methods.sazs.settings import make_config
from tests.test_train import build, lines


def load_tiny(words):
    """The config with the regression network of the settings."""
    config = load("configs/sazs_voc_mini.py", words)
    config["num_devices"] = 1
    config["method"]["transform"] = make_config()["method"]["transform"]
    return config


def start(config):
    method, mesh = build(config)
    target = initialization.describe(config, method, mesh)
    return method, initialization.fresh(config, method, target), mesh


@functools.cache
def first_batch():
    config = make_config()
    stream = inputs.training_batches(config, inputs.make_dataset(config), start_step=0)
    batch = next(stream)
    stream.close()
    return batch


@pytest.fixture(scope="module")
def setting():
    method, state, _ = start(make_config())
    return method, state, jax.tree.map(jnp.asarray, first_batch())


def steps_on(num_devices, steps):
    """The state after the first of some steps on one batch, and all losses."""
    method, state, mesh = start(make_config(num_devices=num_devices))
    batch = sharding.to_devices(first_batch(), mesh)
    step = train.compile_step(method, mesh, state, batch)
    state, metrics = step(state, batch)
    first, losses = jax.device_get(state.params), [float(metrics["loss"])]
    for _ in range(steps - 1):
        state, metrics = step(state, batch)
        losses.append(float(metrics["loss"]))
    return first, losses, metrics


def test_training_masks_keep_the_outlines_of_all_seen_classes():
    batch, labels = first_batch(), inputs.make_dataset(make_config()).labels
    shown = [np.setdiff1d(np.unique(label), [0, 255]) for label in batch["label"]]
    assert any(len(ids) > 1 for ids in shown)
    for ids, class_id in zip(shown, batch["class_id"], strict=True):
        assert class_id in ids and not set(ids) & set(labels.unseen)


def test_twenty_steps_lower_the_loss_and_devices_agree():
    one, losses, metrics = steps_on(1, 20)
    assert losses[-1] < 0.8 * losses[0]
    assert {"cross_entropy", "edges", "attention", "transform"} <= metrics.keys()
    eight, first, _ = steps_on(8, 1)
    assert first[0] == pytest.approx(losses[0], abs=1e-5)
    # A key's bias moves no output, so rounding is all that Adam sees of it.
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-3), one, eight)


def test_texts_guide_and_regression_network_stay_and_have_no_optimiser_state():
    guide = dict(name="backbones.tiny.Tiny", widths=(4, 4), depths=(0, 1))
    config = make_config(model__guide=guide)
    method, state, mesh = start(config)
    batch = sharding.to_devices(first_batch(), mesh)
    before = jax.device_get((state.params, state.memory))
    sizes = [leaf.size for leaf in jax.tree.leaves(state.opt_state["segmentor"])]
    moved = {
        key: value
        for key, value in before[0]["segmentor"].items()
        if key not in ("guide", "decoder")
    }
    adam = optax.adam(1.0).init(moved)
    assert sum(sizes) <= sum(leaf.size for leaf in jax.tree.leaves(adam)) + 4
    after, _ = train.compile_step(method, mesh, state, batch)(state, batch)
    params, memory = jax.device_get((after.params, after.memory))
    for entry in ("guide", "decoder"):
        jax.tree.map(
            np.testing.assert_array_equal,
            params["segmentor"][entry],
            before[0]["segmentor"][entry],
        )
    jax.tree.map(np.testing.assert_array_equal, memory, before[1])
    assert not np.array_equal(params["edges"]["kernel"], before[0]["edges"]["kernel"])


def test_the_texts_are_the_decoders(setting):
    method, state, _ = setting
    vectors = state.params["segmentor"]["decoder"]["class_vectors"]
    np.testing.assert_array_equal(vectors.T, method.labels.word_vectors)


def gradient_of(method, state, batch, name):
    def term(params):
        return method.loss(params, state, batch, jax.random.key(0))[1][1][name]

    return jax.jit(jax.grad(term))(state.params)


def test_the_transform_term_teaches_the_edges(setting):
    method, state, batch = setting
    grads = gradient_of(method, state, batch, "transform")
    assert np.abs(grads["edges"]["kernel"]).max() > 0


def test_the_authors_activation_teaches_nothing():
    method, state, _ = start(
        make_config(
            method__shape=dict(name="sazs.shape.Shape", activation="log_softmax")
        )
    )
    batch = jax.tree.map(jnp.asarray, first_batch())
    grads = gradient_of(method, state, batch, "transform")
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(grads))


def value_and_grad(method, state, batch):
    def loss(params):
        return method.loss(params, state, batch, jax.random.key(0))[0]

    return jax.jit(jax.value_and_grad(loss))(state.params)


def test_without_a_label_everything_is_zero(setting):
    method, state, batch = setting
    empty = batch | {"label": jnp.full_like(batch["label"], 255)}
    value, grads = value_and_grad(method, state, empty)
    assert value == 0
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(grads))


@pytest.mark.parametrize("void_as_others", [False, True])
def test_void_pixels_count_only_where_that_is_asked(void_as_others):
    method, state, _ = start(make_config(method__void_as_others=void_as_others))
    batch = jax.tree.map(jnp.asarray, first_batch())
    half = batch["label"].at[:, ::2].set(255)

    @jax.jit
    def align(label):
        shown = batch | {"label": label}
        _, (_, metrics) = method.loss(state.params, state, shown, jax.random.key(0))
        return metrics["cross_entropy"]

    others = jnp.where(half == 255, 0, half)
    same = float(align(half)) == pytest.approx(float(align(others)), abs=1e-6)
    assert same == void_as_others


def test_texts_of_unseen_classes_take_no_part_in_the_multiclass_setting():
    method, state, _ = start(load_tiny("multiclass,tiny"))
    rng = np.random.default_rng(0)
    label = rng.choice(method.labels.seen, (4, 32, 32)).astype(np.uint8)
    image = rng.integers(0, 256, (4, 32, 32, 3)).astype(np.uint8)
    batch = {"image": jnp.asarray(image), "label": jnp.asarray(label)}

    @jax.jit
    def slopes(vectors):
        def loss(vectors):
            params = jax.tree.map(lambda x: x, state.params)
            params["segmentor"]["decoder"]["class_vectors"] = vectors
            return method.loss(params, state, batch, jax.random.key(0))[0]

        return jax.grad(loss)(vectors)

    of_texts = slopes(state.params["segmentor"]["decoder"]["class_vectors"])
    unseen = list(method.labels.unseen)
    assert (of_texts[:, unseen] == 0).all() and (of_texts != 0).any()


def test_keeping_unseen_classes_is_recorded():
    config = make_config(data__train_images="keep_unseen")
    method, _, _ = start(config)
    protocol = train.zero_shot_protocol(config, method)
    assert protocol["setting"] == "labelled"


def test_only_the_class_told_is_predicted(setting):
    method, state, batch = setting
    logits = method.predict(state, batch)
    for winners, class_id in zip(
        logits.argmax(axis=-1), batch["class_id"], strict=True
    ):
        assert set(np.unique(winners)) <= {method.background, int(class_id)}
    free = method.predict(state, {"image": batch["image"]})
    assert len(np.unique(free.argmax(axis=-1))) > 2


def test_prediction_does_not_depend_on_labels(setting):
    method, state, batch = setting
    size = jnp.tile(jnp.array([32, 32]), (len(batch["image"]), 1))
    shown = {"image": batch["image"], "class_id": batch["class_id"], "size": size}
    ids = method.predict(state, shown).argmax(axis=-1)
    ours = method.refine(state, shown, ids)
    told = method.refine(state, shown | {"label": batch["label"]}, ids)
    np.testing.assert_array_equal(ours, told)


def test_one_program_serves_all_folds(setting):
    method, state, batch = setting
    traces = []

    @jax.jit
    def step(state, batch):
        traces.append(1)
        return method.train_step(state, batch)[1]["loss"]

    for fold in range(4):
        config = make_config(data__fold=fold)
        dataset = inputs.make_dataset(config)
        stream = inputs.training_batches(config, dataset, start_step=0)
        step(state, jax.tree.map(jnp.asarray, next(stream)))
        stream.close()
    assert len(traces) == 1


def test_what_cannot_be_trained_is_refused(setting):
    method, state, batch = setting
    pictures = {key: value for key, value in batch.items() if key != "class_id"}
    with pytest.raises(ValueError, match="'binary' trains on episodes"):
        method.loss(state.params, state, pictures, jax.random.key(0))
    config = make_config()
    dataset = inputs.make_dataset(config | {"word_vectors": {}})
    blank = from_config(config, dataset.labels)
    with pytest.raises(WordVectorError, match="needs a vector for every class"):
        blank.loss(state.params, state, batch, jax.random.key(0))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(method__transform=None), "needs a regression network"),
        (dict(method__setting="open"), "got 'open'"),
        (dict(method__label_mode="mean"), "got 'mean'"),
        (dict(model__decoder=None), "compares pixels with texts"),
        (dict(word_vectors=dict(name="word_vectors.drawn", size=9)), "features=9"),
    ],
)
def test_a_config_that_cannot_be_meant_is_an_error(changes, message):
    config = make_config(**changes)
    with pytest.raises(ValueError, match=message):
        start(config)


def test_a_guide_needs_weights(tmp_path):
    guide = dict(name="backbones.tiny.Tiny", widths=(4, 4), depths=(0, 1))
    with pytest.raises(ConfigError, match="would group patches by chance"):
        train.train(make_config(model__guide=guide), str(tmp_path / "chance"))
    with pytest.raises(ConfigError, match="has nothing to fill"):
        train.train(make_config(guide_from="dino.pth"), str(tmp_path / "nothing"))


def test_a_run_is_scored_from_its_checkpoint_without_texts(tmp_path):
    config = make_config()
    trained = train.train(config, str(tmp_path))
    scored = evaluate.run(config, str(tmp_path))
    assert trained["fold"]["fold_mean_iou"] == scored["fold"]["fold_mean_iou"]
    (line,) = [line for line in lines(tmp_path) if "fold_mean_iou" in line][-1:]
    assert 0 <= line["fold_mean_iou"] <= 1 and 0 <= line["fb_iou"] <= 1
