"""SPNet on small scenes, of whose ten classes two are unseen."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg import evaluate, initialization, predict, sharding, train
from jaxseg.config import ConfigError
from jaxseg.data import inputs
from jaxseg.data.word_vectors import WordVectorError
from jaxseg.losses.cross_entropy import seen_cross_entropy
from jaxseg.methods import spnet
from jaxseg.methods.base import from_config
from jaxseg.ops.pseudo_labels import PseudoLabels
from jaxseg.ops.scales import labels_at
from tests.test_train import assert_same, build, lines, make_config, stop_after

UNSEEN = ("car", "tree")
FEATURES = 6


def spnet_config(**changes):
    method = {
        key.removeprefix("method__"): changes.pop(key)
        for key in list(changes)
        if key.startswith("method__")
    }
    config = make_config(
        data__unseen=UNSEEN,
        model__head=dict(
            name="heads.deeplabv2.DeepLabV2", features=FEATURES, rates=(1, 2)
        ),
        model__decoder=dict(name="heads.word_vectors.WordVectorClassifier"),
        optimizer__weight_decay=0.1,
        **changes,
    )
    config["word_vectors"] = dict(name="word_vectors.drawn", size=FEATURES)
    return config | {"method": {"name": "spnet.SPNet", **method}}


def start(config):
    """A method, its first state, and the mesh they are on."""
    method, mesh = build(config)
    target = initialization.describe(config, method, mesh)
    return method, initialization.fresh(config, method, target), mesh


@functools.cache
def first_batch():
    config = spnet_config()
    stream = inputs.training_batches(config, inputs.make_dataset(config), start_step=0)
    batch = next(stream)
    stream.close()
    return batch


@pytest.fixture(scope="module")
def setting():
    method, state, _ = start(spnet_config())
    return method, state, jax.tree.map(jnp.asarray, first_batch())


def steps_on(num_devices, steps):
    """The parameters after the first of some steps on one batch, and all losses."""
    method, state, mesh = start(spnet_config(num_devices=num_devices))
    batch = sharding.to_devices(first_batch(), mesh)
    step = train.compile_step(method, mesh, state, batch)
    state, metrics = step(state, batch)
    params, losses = jax.device_get(state.params), [float(metrics["loss"])]
    for _ in range(steps - 1):
        state, metrics = step(state, batch)
        losses.append(float(metrics["loss"]))
    return params, losses


def logits_of(labels):
    rng = np.random.default_rng(1)
    return rng.normal(size=(*labels.shape, 5)).astype(np.float32)


LABELS = np.array([[0, 3, 2, 255, 1, -1], [4, 0, 0, 2, 1, 3]])
SEEN = (0, 2, 4)


def test_only_seen_classes_take_part_in_the_loss():
    logits = logits_of(LABELS)
    wanted = []
    for index in np.ndindex(LABELS.shape):
        if LABELS[index] in SEEN:
            exponentials = np.exp(logits[index][list(SEEN)].astype(np.float64))
            own = np.exp(np.float64(logits[index][LABELS[index]]))
            wanted.append(-np.log(own / exponentials.sum()))
    ours = seen_cross_entropy(jnp.asarray(logits), jnp.asarray(LABELS), SEEN)
    np.testing.assert_allclose(ours, np.mean(wanted), rtol=1e-5)


def test_unseen_logits_have_no_gradient():
    gradient = jax.grad(seen_cross_entropy)(
        jnp.asarray(logits_of(LABELS)), jnp.asarray(LABELS), SEEN
    )
    assert (gradient[..., [1, 3]] == 0).all() and (gradient[0, 0, [0, 2, 4]] != 0).all()


def test_without_a_labelled_pixel_loss_and_gradient_are_zero():
    loss, gradient = jax.value_and_grad(seen_cross_entropy)(
        jnp.asarray(logits_of(LABELS)), jnp.full(LABELS.shape, 255), SEEN
    )
    assert loss == 0 and (gradient == 0).all()


def test_the_loss_is_the_sum_over_the_scales_and_their_maximum(setting):
    method, state, batch = setting

    def resized(x, h, w):
        b, _, _, d = x.shape
        return jax.image.resize(x, (b, h, w, d), "bilinear", antialias=False)

    @jax.jit
    def maps_of(state, image):
        variables = dict(
            params=state.params["segmentor"],
            batch_stats=state.batch_stats["segmentor"],
        )
        maps = []
        for size in ((32, 64), (16, 32), (24, 48)):
            shown = resized(image.astype(jnp.float32), *size)
            outputs = method.segmentor.apply(variables, shown, train=False)
            maps.append(outputs.coarse)
        _, h, w, _ = maps[0].shape
        same_size = [resized(x, h, w) for x in maps]
        return [*maps, functools.reduce(jnp.maximum, same_size)]

    wanted = 0.0
    for logits in maps_of(state, batch["image"]):
        _, h, w, _ = logits.shape
        rows, columns = np.arange(h) * 32 // h, np.arange(w) * 64 // w
        labels = np.asarray(batch["label"])[:, rows][:, :, columns]
        wanted += seen_cross_entropy(logits, labels, method.labels.seen)
    loss, (_, metrics) = jax.jit(method.loss)(state.params, state, batch, state.rng)
    np.testing.assert_allclose(loss, wanted, rtol=1e-4)
    assert metrics["loss"] == loss > metrics["cross_entropy"] > 0


def test_a_batch_without_labels_teaches_nothing_and_breaks_nothing(setting):
    method, state, batch = setting
    blank = {**batch, "label": jnp.full_like(batch["label"], 255)}
    gradient = jax.jit(jax.grad(method.loss, has_aux=True))
    grads, (_, metrics) = gradient(state.params, state, blank, state.rng)
    assert metrics["loss"] == 0
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(grads))


def test_the_classifier_is_the_word_vectors(setting):
    method, state, _ = setting
    vectors = state.params["segmentor"]["decoder"]["class_vectors"]
    np.testing.assert_array_equal(vectors, method.labels.word_vectors.T)


def test_nothing_moves_word_vectors_and_normalisations(setting):
    method, state, batch = setting
    step = jax.jit(method.train_step)
    after, _ = step(*step(state, batch)[:1], batch)
    assert_same(state.batch_stats, after.batch_stats)
    before, after = state.params["segmentor"], after.params["segmentor"]
    assert_same(before["decoder"], after["decoder"])
    for name, layer in before["backbone"].items():
        assert_same(layer["norm"], after["backbone"][name]["norm"])
        moved = layer["conv"]["kernel"] != after["backbone"][name]["conv"]["kernel"]
        assert moved.any()
    assert (before["head"]["rate_1"]["bias"] != after["head"]["rate_1"]["bias"]).all()


def test_one_and_eight_devices_do_the_same_and_the_loss_falls():
    one, losses = steps_on(1, 20)
    assert losses[-1] < 0.8 * losses[0]
    eight, losses_of_eight = steps_on(8, 1)
    np.testing.assert_allclose(losses_of_eight, losses[:1], rtol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), one, eight)


def test_self_training_learns_all_classes_from_calibrated_answers(setting):
    method, state, batch = setting
    variables = dict(
        params=state.params["segmentor"], batch_stats=state.batch_stats["segmentor"]
    )
    apply = jax.jit(lambda image: method.segmentor.apply(variables, image, train=False))
    logits = np.asarray(apply(batch["image"]).coarse, np.float64)
    _, h, w, num_classes = logits.shape
    probabilities = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    unseen = np.isin(np.arange(num_classes), method.labels.unseen)
    of_group = [probabilities[..., group].max(-1) for group in (~unseen, unseen)]
    seen_lead = of_group[0] - of_group[1]
    rows, columns = np.arange(h) * 32 // h, np.arange(w) * 64 // w
    label = np.asarray(batch["label"])[:, rows][:, :, columns].astype(int)
    unlabelled = label == 255
    gamma = float(np.median(seen_lead[unlabelled]))
    taken = unlabelled & (seen_lead < gamma)
    assert 0 < taken.sum() < unlabelled.sum()
    best = np.argmax(np.where(unseen, probabilities, 0), -1)
    label = np.where(taken, best, label)
    taught = np.nonzero(label != 255)
    entropies = -np.log(probabilities[(*taught, label[taught])])
    pseudo_labels = PseudoLabels(calibration=gamma)
    method = dataclasses.replace(method, scales=(1.0,), pseudo_labels=pseudo_labels)
    loss, (_, metrics) = jax.jit(method.loss)(state.params, state, batch, state.rng)
    np.testing.assert_allclose(loss, 2 * np.mean(entropies), rtol=1e-5)
    share = taken.sum() / unlabelled.sum()
    np.testing.assert_allclose(metrics["pseudo_labelled"], share, atol=0.01)
    assert method.self_training


def test_self_training_that_finds_nothing_says_so(setting):
    method, state, batch = setting
    method = dataclasses.replace(
        method, pseudo_labels=PseudoLabels(min_probability=0.999)
    )
    _, (_, metrics) = jax.jit(method.loss)(state.params, state, batch, state.rng)
    means = {key: float(value) for key, value in metrics.items()}
    assert means["pseudo_labelled"] == 0
    (said,) = method.warnings(20, 100, means)
    assert "pseudo_labels of config.method" in said
    assert not method.warnings(20, 100, means | {"pseudo_labelled": 0.1})


def test_pseudo_labels_are_of_the_picture_at_its_own_size_whatever_the_scales(setting):
    method, state, batch = setting
    method = dataclasses.replace(
        method,
        scales=(0.5, 1.0),
        predict_scales=(0.5,),
        pseudo_labels=PseudoLabels(top_p=10),
    )
    completed, share = jax.jit(method._completed)(state, batch)
    logits = method._outputs(state.params, state, batch["image"]).coarse
    unseen = jnp.asarray(method.labels.unseen)
    best = unseen[jnp.argmax(logits[..., unseen], axis=-1)]
    given = labels_at(batch["label"], completed.shape[1:3])
    np.testing.assert_array_equal(completed, jnp.where(given == 255, best, given))
    assert share == 1
    loss, _ = jax.jit(method.loss)(state.params, state, batch, state.rng)
    assert np.isfinite(loss)


def test_gamma_comes_off_the_probability_of_seen_classes():
    probabilities = np.array([[0.5, 0.1, 0.4], [0.2, 0.3, 0.5]], np.float32)
    scores = spnet.calibrated(jnp.asarray(probabilities), (0, 2), 0.35)
    np.testing.assert_allclose(scores, probabilities - [0.35, 0, 0.35], atol=1e-7)


def test_with_a_gamma_of_one_no_seen_class_is_left():
    logits = jnp.asarray(logits_of(LABELS))
    ours = jnp.argmax(spnet.calibrated(jax.nn.softmax(logits), SEEN, 1.0), axis=-1)
    np.testing.assert_array_equal(ours, jnp.argmax(spnet.unseen_only(logits, SEEN), -1))
    assert np.isin(ours, [1, 3]).all()


def test_unseen_classes_are_told_apart_however_improbable():
    logits = jnp.array([200.0, 1.0, 0.0, 2.0, 0.0])
    assert jnp.argmax(spnet.unseen_only(logits, SEEN)) == 3


def test_without_calibration_the_largest_logit_wins(setting):
    method, state, batch = setting
    scores = jax.jit(method.predict)(state, batch)
    logits = method.logits(state, batch)
    assert scores.shape == (8, 32, 64, 10) and scores.dtype == jnp.float32
    np.testing.assert_array_equal(jnp.argmax(scores, -1), jnp.argmax(logits, -1))


def test_prediction_at_several_scales_takes_the_largest_logits(setting):
    method, state, batch = setting
    several = dataclasses.replace(method, predict_scales=(1.0, 0.5))
    once = method.logits(state, batch)
    both = several.logits(state, batch)
    assert both.shape == once.shape and (both != once).any()
    again = dataclasses.replace(method, predict_scales=(1.0, 1.0))
    np.testing.assert_allclose(again.logits(state, batch), once, atol=1e-5)


@pytest.mark.parametrize(
    "changes, message",
    [
        (dict(method__scales=()), "scales are one or more"),
        (dict(method__predict_scales=(0.0,)), "predict_scales are one or more"),
        (dict(method__gamma=1.5), "gamma is a probability"),
        (dict(method__gamma=0.5, method__zero_label=True), "set one of the two"),
        (dict(model__decoder=None), "config.model.decoder="),
    ],
)
def test_bad_settings_are_refused(changes, message):
    config = spnet_config() | {}
    for key, value in changes.items():
        section, name = key.split("__")
        config[section] = {**config[section], name: value}
    with pytest.raises(ConfigError, match=message):
        build(config)


def test_a_split_is_needed():
    config = spnet_config()
    labels = dataclasses.replace(inputs.make_dataset(config).labels, seen=(), unseen=())
    with pytest.raises(ConfigError, match="config.data.unseen"):
        from_config(config, labels)


def test_vectors_of_another_size_are_refused():
    config = spnet_config()
    config["word_vectors"]["size"] = 7
    with pytest.raises(ValueError, match="features=7"):
        start(config)


def test_without_vectors_it_refuses_to_train():
    config = spnet_config()
    del config["word_vectors"]
    method, state, _ = start(config)
    batch = jax.tree.map(jnp.asarray, first_batch())
    with pytest.raises(WordVectorError, match="config.word_vectors"):
        method.train_step(state, batch)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("spnet")
    return workdir, train.train(spnet_config(), str(workdir))


def test_a_resumed_run_equals_one_that_was_not_stopped(finished, tmp_path, monkeypatch):
    workdir, scores = finished
    with monkeypatch.context() as context:
        stop_after(context, 3)
        train.train(spnet_config(), str(tmp_path))
    resumed = train.train(spnet_config(), str(tmp_path))
    assert resumed["val"]["mean_iou"] == scores["val"]["mean_iou"]
    losses = [[x["loss"] for x in lines(w) if "loss" in x] for w in (workdir, tmp_path)]
    assert losses[0][-1] == losses[1][-1]


def test_a_folder_predicts_what_was_scored(finished):
    workdir, scores = finished
    predicted, labels = predict.load(str(workdir), exact=True)
    assert len(labels.unseen) == 2
    source = inputs.make_dataset(spnet_config()).source("val")
    right = total = 0
    for index in range(len(source)):
        example = source[index]
        labelled = example["label"] != 255
        ids = predicted(example["image"])
        right += (ids == example["label"])[labelled].sum()
        total += labelled.sum()
    np.testing.assert_allclose(right / total, scores["val"]["pixel_accuracy"])


def test_gamma_moves_predictions_of_a_finished_run_to_unseen_classes(finished):
    workdir, _ = finished
    config = spnet_config(method__gamma=1.0)
    scores = evaluate.run(config, str(workdir))["val"]
    assert scores["seen_iou"] == 0
