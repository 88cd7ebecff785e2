"""That PiCo contrasts the right pixels with the right ones: against slow loops."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.memory.queue import Queue
from jaxseg.methods.pico import PiCo, sampling
from jaxseg.methods.pico.loss import pixel_contrast
from jaxseg.methods.pico.memory import Memory
from jaxseg.models.heads.projection import Projection
from jaxseg.models.segmentor import Outputs
from jaxseg.state import TrainState
from tests.methods.pico.vectors import unit
from tests.test_train import build, make_config

CLASSES, DIM = 10, 4  # the scenes' classes
SIZE, GRID, COARSE = (15, 20), (5, 6), (3, 4)  # of images, embeddings, logits
METHOD = dict(
    name="pico.PiCo",
    warmup_steps=5,
    temperature=0.5,
    base_temperature=0.2,
    max_samples=25,
    max_views=4,
    embedding_dim=DIM,
    region_size=3,
    pixel_size=5,
    pixel_picks=2,
    example_mode="all",  # the loops look at every example, and mix none
    num_mixed_negatives=0,
    num_anchor_mixes=0,
)


def make_method(segmentor=None, **changes):
    model = make_config()["model"] | (segmentor or {})
    method, _ = build(make_config(method=METHOD | changes, model=model))
    return method


def random_queue(rng, length, fill):
    return Queue(
        values=jnp.asarray(unit(rng.normal(size=(CLASSES, length, DIM))), jnp.float32),
        pointer=jnp.zeros(CLASSES, jnp.int32),
        fill=jnp.asarray(fill, jnp.int32),
    )


def make_state(*, step=METHOD["warmup_steps"], filled=True):
    """A state of the given step; class 0 has no region, class 1 no pixel."""
    rng = np.random.default_rng(7)
    memory = Memory(
        region=random_queue(rng, 3, np.arange(CLASSES) % 4),
        pixel=random_queue(rng, 5, (np.arange(CLASSES) + 5) % 6),
    )
    return TrainState(
        step=jnp.asarray(step, jnp.int32),
        rng=jax.random.key(0),
        params={},
        batch_stats={},
        memory=memory if filled else None,
    )


def random_maps(seed=0):
    """Embeddings, labels and predictions of four images; a third of these is wrong."""
    rng = np.random.default_rng(seed)
    embeddings = unit(rng.normal(size=(4, *GRID, DIM))).astype(np.float32)
    labels = rng.choice([0, 1, 2, 3, 255], (4, *GRID)).astype(np.int32)
    wrong = rng.random(labels.shape) < 0.33
    return embeddings, labels, np.where(wrong, (labels + 1) % CLASSES, labels)


def pairs_by_hand(labels, max_views):
    """(image of the group, class) of all that have more pixels than `max_views`."""
    return [
        (image, class_id)
        for image in range(len(labels))
        for class_id in range(CLASSES)
        if np.sum(labels[image] == class_id) > max_views
    ]


def anchors_by_hand(labels, predictions, priority, method):
    """(image, row, column, hard) of the anchors of a group of images."""
    chosen, pairs = [], pairs_by_hand(labels, method.max_views)
    views = min(method.max_samples // max(len(pairs), 1), method.max_views)
    for image, class_id in pairs:
        kinds = {True: [], False: []}
        for row, column in np.argwhere(labels[image] == class_id):
            hard = predictions[image, row, column] != class_id
            kinds[hard].append((priority[image, row, column], image, row, column, hard))
        num_hard, num_easy = len(kinds[True]), len(kinds[False])
        keep = num_hard
        if 2 * num_hard >= views:
            keep = views // 2 if 2 * num_easy >= views else views - num_easy
        best = sorted(kinds[True])[:keep] + sorted(kinds[False])[: views - keep]
        chosen += [place for _, *place in best]
    return chosen


def remembered_by_hand(memory):
    queues = () if memory is None else (memory.region, memory.pixel)
    return [
        (class_id, np.float64(queue.values[class_id, slot]))
        for queue in queues
        for class_id in range(CLASSES)
        for slot in range(int(queue.fill[class_id]))
    ]


def contrast_by_hand(embeddings, labels, predictions, memory, priority, method):
    """`PiCo.contrast` with loops over groups of two images, anchors and examples."""
    means, cosines, tops, hard, num_pairs = [], [], [], [], 0
    for first in range(0, len(labels), method.group_size):
        group = slice(first, first + method.group_size)
        places = anchors_by_hand(
            labels[group], predictions[group], priority[group], method
        )
        num_pairs += len(pairs_by_hand(labels[group], method.max_views))
        hard += [place[-1] for place in places]
        anchors = [
            (labels[group][i, y, x], np.float64(embeddings[group][i, y, x]))
            for i, y, x, _ in places
        ]
        losses = []
        for number, (class_id, anchor) in enumerate(anchors):
            others = [
                anchors[other]
                for other in range(len(anchors))
                if other != number
                and (
                    method.contrast_scope == "inter"
                    or places[other][0] == places[number][0]
                )
            ]
            examples = others if method.contrast_set != "memory" else []
            examples = examples + remembered_by_hand(memory)
            own = [anchor @ x for example, x in examples if example == class_id]
            other = [anchor @ x for example, x in examples if example != class_id]
            scores = np.asarray(own) / method.temperature
            denominator = np.sum(np.exp(np.asarray(other) / method.temperature))
            losses.append(np.mean(np.log1p(denominator / np.exp(scores))))
            cosines.append(np.mean(own))
            tops.append(np.max(other))
        means.append(np.mean(losses))
    scale = method.temperature / method.base_temperature
    return scale * np.mean(means), dict(
        qualified_pairs=num_pairs,
        valid_anchors=len(hard),
        contrasted_anchors=len(cosines),
        hard_share=np.mean(hard),
        positive_similarity=np.mean(cosines),
        hardest_negative_similarity=np.mean(tops),
    )


def assert_equals_hand(method, maps, state):
    rng = jax.random.key(3)
    priority = np.asarray(sampling.draw_priority(rng, maps[1].shape))
    contrast, metrics = jax.jit(method.contrast)(*maps, state, rng, rng)
    expected, wanted = contrast_by_hand(*maps, state.memory, priority, method)
    np.testing.assert_allclose(contrast, expected, rtol=1e-5)
    assert all(value.dtype == jnp.float32 for value in metrics.values())
    for name, value in wanted.items():
        np.testing.assert_allclose(metrics[name], value, rtol=1e-5, err_msg=name)


@pytest.mark.parametrize(
    ("contrast_set", "group_size"),
    [("batch", 2), ("memory", 2), ("both", 2), ("batch", 1), ("batch", 4)],
)
def test_the_contrast_is_that_of_the_chosen_pixels(contrast_set, group_size):
    method = make_method(contrast_set=contrast_set, group_size=group_size)
    state = make_state(filled=contrast_set != "batch")
    assert_equals_hand(method, random_maps(), state)


@pytest.mark.parametrize("group_size", [2, 4])
def test_within_images_only_pixels_of_the_same_image_are_examples(group_size):
    method = make_method(
        contrast_set="batch", contrast_scope="intra", group_size=group_size
    )
    assert_equals_hand(method, random_maps(), make_state(filled=False))


def test_each_group_contrasts_its_own_pixels():
    # The first group has nothing to contrast: what is left is the other one's.
    embeddings, labels, predictions = random_maps()
    method, rng = make_method(contrast_set="batch"), jax.random.key(3)
    labels[:2] = 255
    state = make_state(filled=False)
    found, metrics = jax.jit(method.contrast)(
        embeddings, labels, predictions, state, rng, rng
    )
    priority = np.asarray(sampling.draw_priority(rng, labels.shape))
    half = (maps[2:] for maps in (embeddings, labels, predictions))
    wanted, alone = contrast_by_hand(*half, None, priority[2:], method)
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    assert metrics["valid_anchors"] == alone["valid_anchors"] > 0


def test_hard_anchors_are_those_that_the_head_has_wrong():
    embeddings, labels, _ = random_maps()
    method = make_method(contrast_set="batch", max_views=3)
    state, rng = make_state(filled=False), jax.random.key(3)
    contrast = jax.jit(method.contrast)
    for predictions, share in ((labels, 0), (labels + 1, 1)):
        _, metrics = contrast(embeddings, labels, predictions, state, rng, rng)
        assert metrics["hard_share"] == share and metrics["valid_anchors"] > 0


def test_there_is_no_contrast_before_the_warm_up_ends():
    method, maps = make_method(), random_maps()
    last = make_state(step=METHOD["warmup_steps"] - 1)
    rng = jax.random.key(3)
    contrast, metrics = jax.jit(method.contrast)(*maps, last, rng, rng)
    assert contrast == 0 and metrics["valid_anchors"] > 0


def enlarged(coarse, size, *, align_corners):
    """Linear enlargement of [B, h, w, C], one row or column after the other."""
    for axis, new in enumerate(size, start=1):
        old = coarse.shape[axis]
        if align_corners:
            position = np.linspace(0, old - 1, new)
        else:
            position = (np.arange(new) + 0.5) * old / new - 0.5
        coarse = np.apply_along_axis(
            lambda row, at=position: np.interp(at, np.arange(len(row)), row),
            axis,
            coarse,
        )
    return coarse


def random_outputs(rng, batch=4):
    def normal(*shape):
        return jnp.asarray(rng.normal(size=(batch, *shape)), jnp.float32)

    return Outputs(
        logits=normal(*SIZE, CLASSES),
        features=normal(*COARSE, 2),
        stages=(),
        coarse=normal(*COARSE, CLASSES),
        auxiliary=normal(*SIZE, CLASSES),
    )


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("grid", [COARSE, (5, 6), (9, 7)])
def test_predictions_are_the_classes_of_the_enlarged_logits(grid, align_corners):
    method = make_method(segmentor=dict(align_corners=align_corners))
    outputs = random_outputs(np.random.default_rng(1))
    logits = np.float64(outputs.coarse)
    expected = np.argmax(enlarged(logits, grid, align_corners=align_corners), -1)
    np.testing.assert_array_equal(method.predictions(outputs, grid), expected)


class Stub(PiCo):
    """PiCo with random numbers in place of what its network says."""

    def forward(self, params, state, image, *, rng=None, method=None):
        generator = np.random.default_rng(2)
        embeddings = unit(generator.normal(size=(4, *GRID, DIM)))
        outputs = random_outputs(generator)
        return (outputs, jnp.asarray(embeddings, jnp.float32)), state


def entropy_by_hand(logits, labels, weights):
    log_probs = np.float64(logits)
    log_probs -= np.log(np.sum(np.exp(log_probs), axis=-1, keepdims=True))
    total = norm = 0.0
    for class_id, weight in enumerate(weights):
        there = labels == class_id
        total -= weight * np.sum(log_probs[there][:, class_id])
        norm += weight * np.sum(there)
    return total / norm


WEIGHTS = tuple(np.linspace(0.2, 3.0, CLASSES))


@pytest.mark.parametrize(
    "changes",
    [
        dict(),
        dict(class_weights=WEIGHTS),
        dict(auxiliary_weight=2.0),
        dict(base_temperature=0.9),
        dict(temperature=0.1, contrast_weight=3.0),
    ],
)
def test_the_loss_is_cross_entropy_and_auxiliary_and_contrast(monkeypatch, changes):
    rng = np.random.default_rng(4)
    priority = rng.random((4, *GRID), np.float32)
    monkeypatch.setattr(sampling, "draw_priority", lambda rng, shape: priority)
    labels = rng.choice([0, 1, 2, 255], (4, *SIZE), p=[0.3, 0.3, 0.3, 0.1])
    batch = dict(image=None, label=jnp.asarray(labels, jnp.int32))
    method, state = make_method(**dict(contrast_weight=0.5) | changes), make_state()
    fields = {f.name: getattr(method, f.name) for f in dataclasses.fields(method)}
    stub = Stub(**fields)
    found, (_, metrics) = jax.jit(stub.loss)({}, state, batch, jax.random.key(0))

    (outputs, embeddings), _ = stub.forward({}, state, None)
    weights = method.class_weights or np.ones(CLASSES)
    entropy = entropy_by_hand(outputs.logits, labels, weights)
    auxiliary = entropy_by_hand(outputs.auxiliary, labels, weights)
    entropy += changes.get("auxiliary_weight", 0.4) * auxiliary
    logits = enlarged(np.float64(outputs.coarse), GRID, align_corners=False)
    maps = (embeddings, labels[:, ::3, [0, 3, 6, 10, 13, 16]], np.argmax(logits, -1))
    contrast, _ = contrast_by_hand(*maps, state.memory, priority, method)
    np.testing.assert_allclose(metrics["cross_entropy"], entropy, rtol=1e-5)
    expected = entropy + method.contrast_weight * contrast
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    np.testing.assert_allclose(metrics["loss"], expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("stages", "linear"), [((), False), ((-1,), True), ((0, -1), False)]
)
def test_the_embeddings_are_of_the_named_map(stages, linear):
    method = make_method(embedding_stages=stages, linear_projection=linear)
    rng = np.random.default_rng(5)
    image = jnp.asarray(rng.integers(0, 256, (2, 32, 64, 3)), jnp.uint8)
    state = jax.jit(method.init)(jax.random.key(0), dict(image=image))
    assert ("hidden" in state.params["projection"]) != linear

    forward = jax.jit(lambda state: method.forward(state.params, state, image)[0])
    outputs, embeddings = forward(state)
    first, last = outputs.stages
    deep = enlarged(np.asarray(last), first.shape[1:3], align_corners=True)
    joined = np.concatenate([first, deep], axis=-1).astype(np.float32)
    wanted = {(): outputs.features, (-1,): last, (0, -1): joined}[stages]
    variables = {"params": state.params["projection"], "batch_stats": {}}
    expected, _ = Projection(DIM, linear=linear).apply(
        variables, wanted, train=True, mutable=["batch_stats"]
    )
    np.testing.assert_allclose(embeddings, expected, atol=1e-5)


@functools.partial(jax.jit, static_argnames="with_batch")
def value_and_gradient(anchors, labels, banks, with_batch):
    def loss(anchors):
        temperatures = dict(temperature=0.1, base_temperature=0.07)
        return pixel_contrast(
            anchors, labels, banks, with_batch=with_batch, **temperatures
        ).loss

    return jax.value_and_grad(loss)(anchors)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("slots", [1, 4])
@pytest.mark.parametrize("contrast_set", ["batch", "memory", "both"])
def test_one_anchor_gives_finite_values_and_gradients(contrast_set, slots, dtype):
    rng = np.random.default_rng(6)
    anchor = jnp.asarray(unit(rng.normal(size=(1, 1, DIM))), dtype)
    values = jnp.asarray(unit(rng.normal(size=(3, slots, DIM))), dtype)
    for fill in (0, 1, slots):
        filled = jnp.broadcast_to(jnp.arange(slots) < fill, (3, slots))
        banks = () if contrast_set == "batch" else ((values, filled),)
        for label in (-1, 2, 255):
            labels = jnp.full((1, 1), label, jnp.int32)
            loss, gradient = value_and_gradient(
                anchor, labels, banks, contrast_set != "memory"
            )
            assert np.isfinite(loss) and np.isfinite(np.float32(gradient)).all()
            has_positive = label == 2 and fill and banks
            assert (loss > 0) == bool(has_positive)
            assert gradient.astype(jnp.float32).any() == bool(has_positive)
