import dataclasses
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxseg import config as config_lib
from jaxseg import sharding, train
from jaxseg.data import zero_shot
from jaxseg.data.word_vectors import WordVectorError
from jaxseg.methods.base import Method
from tests.methods.zs3net import settings
from tests.methods.zs3net.settings import assert_same, differs, make, make_batch, run

CONFIGS = pathlib.Path(__file__).parents[3] / "configs"
STAGES = ("segmentation", "generator", "self_training")


@pytest.fixture(scope="module")
def batch():
    return make_batch()


@pytest.fixture(scope="module")
def learnt(batch):
    """The stage "generator" with graph context: before, and after two steps."""
    method = make(graph_context=True)
    before = settings.start(method, batch)
    return before, *run(method, batch, steps=2)


def test_the_generators_stage_moves_classifier_and_generators_only(learnt):
    before, after, _ = learnt
    frozen, trained = dict(before.params["segmentor"]), dict(after.params["segmentor"])
    assert differs(frozen.pop("classifier"), trained.pop("classifier"))
    assert_same(frozen, trained)
    assert_same(before.batch_stats, after.batch_stats)
    for name in ("generator", "graph_generator"):
        assert differs(before.params[name], after.params[name])
    assert int(after.step) == 2


def test_every_player_has_an_optimiser_state(learnt):
    _, after, _ = learnt
    assert set(after.opt_state) == {"classifier", "generator", "graph_generator"}


def test_metrics_are_finite_and_of_both_players(learnt):
    metrics = learnt[-1]
    names = {"loss", "cross_entropy", "mmd", "node_mmd", "node_cross_entropy"}
    assert names < set(metrics)
    assert all(np.isfinite(value) and value.shape == () for value in metrics.values())
    assert metrics["mmd"] > 0 and 0 < metrics["generated_share"] < 1


def test_the_classifiers_rate_moves_no_generator(batch):
    slow, _ = run(make(), batch)
    fast, _ = run(make(optimizer=optax.sgd(1.0)), batch)
    assert_same(slow.params["generator"], fast.params["generator"])
    assert differs(
        slow.params["segmentor"]["classifier"], fast.params["segmentor"]["classifier"]
    )


@pytest.mark.slow
def test_the_generators_rate_moves_the_classifier_by_its_features_only(batch):
    options = dict(region_share=0.0)  # no generated feature reaches the classifier
    slow, _ = run(make(generator_rate=1e-4, **options), batch)
    fast, _ = run(make(generator_rate=1e-1, **options), batch)
    assert differs(slow.params["generator"], fast.params["generator"])
    assert_same(slow.params["segmentor"], fast.params["segmentor"])


@pytest.mark.parametrize("stage", STAGES)
def test_a_planted_unseen_label_changes_nothing(stage):
    revealed = make_batch(seed=3, unseen=True)
    label = settings.hidden(np.asarray(revealed["label"]))
    assert (label != revealed["label"]).any()
    method = make(stage)
    with_labels, metrics = run(method, revealed)
    without, _ = run(method, revealed | {"label": jnp.asarray(label)})
    assert_same(with_labels, without)


def test_pixels_of_unseen_classes_give_the_segmentation_no_gradient(batch):
    method = make("segmentation")
    state = settings.start(method, batch)

    def loss(kernel):
        params = jax.tree.map(lambda x: x, state.params)
        params["segmentor"]["classifier"]["kernel"] = kernel
        return method.loss(params, state, batch, jax.random.key(0))[0]

    grad = jax.jit(jax.grad(loss))(state.params["segmentor"]["classifier"]["kernel"])
    unseen = np.asarray(settings.labels().unseen)
    assert not np.any(grad[..., unseen]) and np.all(np.any(grad[0, 0] != 0, axis=0)[:2])


def test_the_segmentations_softmax_is_over_seen_classes(batch):
    method = make("segmentation")
    state = settings.start(method, batch)
    loss, _ = method.loss(state.params, state, batch, jax.random.key(0))
    outputs, _ = method.forward(state.params, state, batch["image"])
    logits, label = np.asarray(outputs.logits, np.float64), np.asarray(batch["label"])
    total = np.log(np.exp(logits[..., list(method.labels.seen)]).sum(-1))
    labelled = label < 10
    picked = np.take_along_axis(logits, np.where(labelled, label, 0)[..., None], -1)
    expected = (total - picked[..., 0])[labelled].mean()
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_the_classifier_restarts_from_0_to_1_once(batch):
    method = make()
    state = settings.start(method, batch)
    restart = jax.jit(method.restarted)
    classifier = restart(state, jax.random.key(1)).params["segmentor"]["classifier"]
    kernel = np.asarray(classifier["kernel"])
    assert kernel.min() >= 0 and kernel.max() < 1 and kernel.std() > 0.2
    later = state.replace(step=state.step + 1)
    assert_same(restart(later, jax.random.key(1)).params, state.params)
    kept = make(restart_classifier=False).restarted(state, jax.random.key(1))
    assert_same(kept.params, state.params)


@pytest.mark.parametrize("updates", ["batch", "pair"])
def test_without_a_label_nothing_moves_the_generators(updates):
    empty = make_batch()
    empty["label"] = jnp.full_like(empty["label"], 255)
    method = make(generator_updates=updates, graph_context=True)
    warm, _ = run(method, make_batch(), steps=2)
    after, metrics = run(method, empty, state=warm)
    for name in ("generator", "graph_generator"):
        assert_same(warm.params[name], after.params[name])
        assert_same(warm.opt_state[name], after.opt_state[name])
    assert metrics["mmd"] == metrics["cross_entropy"] == 0
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(after.params))


@pytest.mark.parametrize("stage", STAGES)
def test_without_a_label_all_stays_finite(stage):
    empty = make_batch()
    empty["label"] = jnp.full_like(empty["label"], 255)
    after, metrics = run(make(stage), empty)
    leaves = [*jax.tree.leaves(after.params), *metrics.values()]
    assert all(np.isfinite(leaf).all() for leaf in leaves)


def test_pairs_in_turn_are_steps_of_their_own(batch):
    after, _ = run(make(generator_updates="pair"), batch)
    count = after.opt_state["generator"][0].count
    assert int(count) == 2 * 3  # pictures, and classes of each: max_classes
    once, _ = run(make(), batch)
    assert int(once.opt_state["generator"][0].count) == 1


@pytest.mark.slow
def test_a_step_lowers_the_distance_to_real_features(batch):
    method = make(generator_rate=1e-2, dropout=0.0, samples=32)
    state, first = run(method, batch)
    _, last = run(method, batch, steps=80, state=state)
    assert last["mmd"] < 0.8 * first["mmd"]


def test_the_ground_truth_layout_generates_whole_pictures_with_unseen_classes():
    batch = make_batch(seed=3, unseen=True)
    label = np.asarray(batch["label"]).copy()
    label[0] = np.where(np.isin(label[0], settings.labels().unseen), 0, label[0])
    batch["label"] = jnp.asarray(label)
    method = make(layout="gt")
    assert method.reads_unseen_labels and not make().reads_unseen_labels
    _, metrics = run(method, batch)
    assert metrics["generated_share"] == 0.5  # one of two pictures
    assert metrics["mmd"] > 0  # the generator learns from the other


def test_self_training_labels_by_the_weights_of_its_first_step(batch):
    method = make("self_training", pseudo_percent=100)
    before = settings.start(method, batch)
    assert method.self_training and not make("segmentation").self_training
    # As after `init_from`: other weights than those that `init` remembered.
    kernel = before.params["segmentor"]["classifier"]["kernel"]
    unseen = jnp.asarray(method.labels.unseen)
    bias = before.params["segmentor"]["classifier"]["bias"].at[unseen].set(9.0)
    classifier = {"kernel": kernel, "bias": bias}
    params = {"segmentor": {**before.params["segmentor"], "classifier": classifier}}
    first, metrics = run(method, batch, state=before.replace(params=params))
    remembered = first.memory["params"]["segmentor"]["classifier"]
    assert_same(remembered, classifier)
    assert metrics["pseudo_labelled"] == 1  # all candidates, and all are
    second, _ = run(method, batch, state=first)
    assert_same(second.memory, first.memory)
    assert differs(second.params, first.params)


@pytest.mark.parametrize("stage", STAGES)
def test_one_and_eight_devices_agree(stage):
    batch = make_batch(size=8)
    method = make(stage)
    state = settings.start(method, batch)
    results = []
    for number in (1, 8):
        mesh = sharding.make_mesh(number)
        placed = jax.device_put(batch, sharding.batched(mesh))
        here = jax.device_put(state, sharding.replicated(mesh))
        with jax.set_mesh(mesh):
            results.append(settings.compiled(method)[1](here, placed))
    (one, metrics), (many, others) = results
    for a, b in zip(
        jax.tree.leaves((one.params, metrics)),
        jax.tree.leaves((many.params, others)),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_steps_share_one_compilation(batch):
    method, traces = make(), []

    @jax.jit
    def step(state, batch):
        traces.append(1)
        return method.train_step(state, batch)

    state = settings.start(method, batch)
    for seed in range(3):
        state, _ = step(state, make_batch(seed=seed))
    assert len(traces) == 1


def test_a_step_twice_is_the_same(learnt, batch):
    _, after, _ = learnt
    assert_same(run(make(graph_context=True), batch, steps=2)[0], after)


def test_prediction_needs_no_word_vectors_and_training_says_so(batch):
    method = make(word_vectors=False)
    state = settings.start(method, batch)
    assert set(state.params) == {"segmentor"}
    logits = method.predict(state, {"image": batch["image"]})
    assert logits.shape == (2, *settings.SIZE, 10)
    with pytest.raises(WordVectorError, match="config.word_vectors"):
        method.train_step(state, batch)


def test_the_method_is_its_segmentor_when_it_predicts(batch):
    method = make()
    state = settings.start(method, batch)
    expected = Method.predict(method, state, batch)
    np.testing.assert_array_equal(method.predict(state, batch), expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(stage="generation"), "stage is 'generation'; use one of segmentation"),
        (dict(layout="truth"), "layout is 'truth'"),
        (dict(layout="iid", graph_context=True), "needs regions"),
        (dict(samples=0), "samples must be 1 or more"),
        (dict(pseudo_percent=101), "pseudo_percent is from 0 to 100"),
        (dict(region_share=-0.1), "region_share is from 0 to 1"),
        (dict(bandwidths=()), "bandwidths must be positive"),
    ],
)
def test_a_bad_option_is_explained(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


def test_classes_without_a_split_are_refused():
    plain = dataclasses.replace(settings.labels(), seen=(), unseen=())
    with pytest.raises(ValueError, match="config.data.unseen"):
        dataclasses.replace(make(), labels=plain)


def test_networks_without_a_classifier_alone_are_refused():
    segmentor = settings.segmentor().clone(size_divisor=4)
    with pytest.raises(ValueError, match="size_divisor"):
        dataclasses.replace(make(), segmentor=segmentor)


def tiny(**method):
    config = config_lib.load(CONFIGS / "zs3net_voc.py", "generator", "tiny")
    config["method"] |= method
    return config | {"num_devices": 1}


def test_the_authors_layout_is_refused_where_unseen_labels_are_hidden(tmp_path):
    with pytest.raises(config_lib.ConfigError, match="set 'keep_unseen'"):
        train.train(tiny(layout="gt"), str(tmp_path))


def test_the_authors_layout_is_trained_and_recorded_as_what_it_is(tmp_path):
    config = tiny(layout="gt")
    config["data"]["train_images"] = "keep_unseen"
    scores = train.train(config, str(tmp_path))
    assert np.isfinite(scores["val"]["mean_iou"])
    recorded = json.loads((tmp_path / "config.json").read_text())
    assert recorded["protocol"]["setting"] == "labelled"


def test_unseen_labels_reach_no_other_layout(tmp_path):
    config = tiny()
    config["data"]["train_images"] = "keep_unseen"
    with pytest.raises(zero_shot.UnseenLabelError, match="unseen classes"):
        train.train(config, str(tmp_path))
