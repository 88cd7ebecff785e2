"""That every way to choose anchors and examples is followed, and teaches."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.methods.pico import chosen, sampling
from jaxseg.methods.pico import memory as memories
from jaxseg.methods.pico.rule import ExampleRule
from tests.methods.pico.test_contrast_of_method import (
    CLASSES,
    DIM,
    GRID,
    make_method,
    make_state,
    random_maps,
)
from tests.methods.pico.vectors import unit

EXAMPLES = dict(
    example_mode="semi_hard",
    semi_hard_fraction=0.5,
    num_positives=2,
    num_negatives=6,
    bank_columns=0,
    num_mixed_negatives=4,
    num_anchor_mixes=3,
)
TEMPERATURES = dict(temperature=0.5, base_temperature=0.2)
ANCHORS = pytest.mark.parametrize("anchor_mode", ["hard", "random", "per_class"])


def contrast(method, maps, state, seed=3):
    anchor_rng, example_rng = jax.random.key(seed), jax.random.key(seed + 1)
    return jax.jit(method.contrast)(*maps, state, anchor_rng, example_rng)


@ANCHORS
def test_anchors_are_those_of_the_mode(anchor_mode):
    method = make_method(anchor_mode=anchor_mode, anchors_per_class=7)
    _, labels, predictions = random_maps()
    rng = jax.random.key(3)
    rule, budget = {
        "hard": (sampling.choose_anchors, dict(max_samples=25, max_views=4)),
        "random": (sampling.choose_random_anchors, dict(max_samples=25, max_views=4)),
        "per_class": (sampling.choose_anchors_per_class, dict(anchors_per_class=7)),
    }[anchor_mode]
    maps = labels, predictions, sampling.draw_priority(rng, labels.shape)
    expected = rule(*maps, num_classes=CLASSES, group_size=2, **budget)
    found = method.choose_anchors(labels, predictions, rng)
    jax.tree.map(np.testing.assert_array_equal, found, expected)


@pytest.mark.parametrize("contrast_set", ["memory", "both"])
def test_examples_are_those_of_the_rule(contrast_set):
    method, state = make_method(contrast_set=contrast_set, **EXAMPLES), make_state()
    embeddings, labels, predictions = random_maps()
    found, metrics = contrast(method, (embeddings, labels, predictions), state)
    picked, _ = method.choose_anchors(labels, predictions, jax.random.key(3))
    pixels = embeddings.reshape(2, -1, DIM)
    rule = EXAMPLES | dict(mode=EXAMPLES["example_mode"])
    del rule["example_mode"]
    compare = functools.partial(
        chosen.chosen_contrast,
        rule=ExampleRule(**rule),
        with_batch=contrast_set == "both",
        **TEMPERATURES,
    )
    expected = jax.jit(compare)(
        jnp.take_along_axis(pixels, picked.positions[..., None], axis=1),
        picked.labels,
        memories.banks(state.memory),
        jax.random.key(4),
    )
    np.testing.assert_allclose(found, expected.loss, rtol=1e-5)
    wanted = expected.hardest_negative_similarity
    np.testing.assert_allclose(
        metrics["hardest_negative_similarity"], wanted, rtol=1e-5
    )


@functools.cache
def contrast_with(**changes):
    return contrast(make_method(**EXAMPLES | changes), random_maps(), make_state())[0]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("example_mode", "all"),
        ("example_mode", "random"),
        ("example_mode", "hardest"),
        ("semi_hard_fraction", 0.2),
        ("semi_hard_band", (0.2, 0.7)),
        ("num_positives", 1),
        ("num_negatives", 3),
        ("bank_columns", 40),
        ("num_mixed_negatives", 0),
        ("num_anchor_mixes", 0),
        ("mix_pairs", "per_class"),
    ],
)
def test_every_option_changes_the_contrast(key, value):
    base, changed = contrast_with(), contrast_with(**{key: value})
    assert np.isfinite(changed) and abs(changed - base) > 1e-4 * base


@ANCHORS
def test_only_anchors_get_a_gradient(anchor_mode):
    method = make_method(anchor_mode=anchor_mode, anchors_per_class=7, **EXAMPLES)
    embeddings, *maps = random_maps()
    rng, state = jax.random.key(3), make_state()

    def loss(embeddings):
        return method.contrast(embeddings, *maps, state, rng, rng)[0]

    moved = np.any(jax.jit(jax.grad(loss))(embeddings), axis=-1)
    picked, _ = method.choose_anchors(*maps, rng)
    expected = np.zeros((2, moved.size // 2), bool)
    for group, (positions, labels) in enumerate(
        zip(picked.positions, picked.labels, strict=True)
    ):
        expected[group, positions[labels >= 0]] = True
    np.testing.assert_array_equal(moved.reshape(2, -1), expected)
    assert 0 < np.sum(moved) < moved.size


def test_with_an_empty_memory_the_batch_is_left():
    state = make_state()
    empty = jax.tree.map(jnp.zeros_like, state.memory)
    both = make_method(**EXAMPLES)
    alone = make_method(contrast_set="batch")
    found, _ = contrast(both, random_maps(), state.replace(memory=empty))
    expected, _ = contrast(alone, random_maps(), state.replace(memory=None))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    only = make_method(contrast_set="memory", **EXAMPLES)
    found, _ = contrast(only, random_maps(), state.replace(memory=empty))
    assert found == 0


def similarities(embeddings, labels):
    """Mean cosine of pixels of one class, and of pixels of two."""
    x, y = embeddings.reshape(-1, DIM), labels.ravel()
    cosines, same = np.asarray(x @ x.T), y[:, None] == y
    return np.mean(cosines[same]), np.mean(cosines[~same])


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        dict(anchor_mode="hard", **EXAMPLES),
        dict(anchor_mode="per_class", **EXAMPLES | dict(mix_pairs="per_class")),
        dict(
            anchor_mode="random",
            contrast_set="memory",
            **EXAMPLES | dict(example_mode="hardest"),
        ),
        dict(contrast_set="batch", contrast_scope="intra"),
    ],
)
def test_classes_gather_and_part_and_the_contrast_falls(changes):
    method = make_method(anchors_per_class=7, warmup_steps=0, **changes)
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (4, *GRID))
    predictions = rng.integers(0, 2, labels.shape)
    free = jnp.asarray(rng.normal(size=(4, *GRID, DIM)), jnp.float32)
    state = make_state().replace(memory=method.init_memory())

    def embed(free):
        return free / jnp.linalg.norm(free, axis=-1, keepdims=True)

    def step(carry, key):
        free, state = carry

        def loss(free):
            keys = jax.random.split(key)
            return method.contrast(embed(free), labels, predictions, state, *keys)[0]

        value, gradient = jax.value_and_grad(loss)(free)
        memory = method.remember(state.memory, embed(free), labels, key)
        return (free - 5 * gradient, state.replace(memory=memory)), value

    keys = jax.random.split(jax.random.key(0), 50)
    (trained, _), values = jax.jit(lambda c: jax.lax.scan(step, c, keys))((free, state))
    within, between = similarities(unit(free), labels)
    new_within, new_between = similarities(unit(trained), labels)
    assert new_within > within + 0.2 and new_between < between - 0.1
    assert np.mean(values[-5:]) < 0.8 * np.mean(values[1:6])
