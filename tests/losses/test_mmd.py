"""Distances of sets, against double loops in NumPy."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.losses import mmd as lib

RNG = np.random.default_rng(0)
GENERATED = RNG.normal(size=(4, 3)).astype(np.float32)
REAL = RNG.normal(size=(6, 3)).astype(np.float32) + 1
BANDWIDTHS = (2.0, 10.0)
KEY = jax.random.key(0)
mmd = functools.partial(lib.mmd, bandwidths=BANDWIDTHS, scale=0.5)


def loop(generated, real, of_generated, of_real, bandwidths=BANDWIDTHS, scale=0.5):
    """The root of a weighted sum over all pairs, in float64."""
    rows = [*np.float64(generated), *np.float64(real)]
    shares = [
        *np.float64(of_generated) / np.sum(of_generated),
        *-np.float64(of_real) / np.sum(of_real),
    ]
    total = 0.0
    for (u, a), (v, b) in itertools.product(zip(rows, shares, strict=True), repeat=2):
        square = np.sum((u - v) ** 2)
        total += a * b * sum(np.exp(-square / (2 * width)) for width in bandwidths)
    return np.sqrt(scale * total)


@pytest.mark.parametrize("scale", [0.5, 1.0])
def test_it_is_a_sum_over_all_pairs_of_sets_of_any_size(scale):
    weights = np.array([1.0, 0, 2, 1]), np.array([1.0, 1, 0, 3, 0.5, 1])
    ours = jax.jit(functools.partial(mmd, scale=scale))(GENERATED, REAL, *weights)
    wanted = loop(GENERATED, REAL, *weights, scale=scale)
    np.testing.assert_allclose(ours, wanted, rtol=1e-4)


def test_rows_without_weight_are_not_there():
    padded = np.concatenate([REAL, np.full((2, 3), 50, np.float32)])
    ours = mmd(GENERATED, padded, np.ones(4), np.array([1.0] * 6 + [0, 0]))
    np.testing.assert_allclose(
        ours, mmd(GENERATED, REAL, np.ones(4), np.ones(6)), rtol=1e-5
    )


def test_the_order_does_not_matter_and_weights_go_along():
    order = RNG.permutation(6)
    weights = np.arange(1.0, 7.0)
    ours = mmd(GENERATED, REAL[order], np.ones(4), weights[order])
    np.testing.assert_allclose(
        ours, mmd(GENERATED, REAL, np.ones(4), weights), rtol=1e-5
    )


def test_it_is_symmetric():
    one = mmd(GENERATED, REAL, np.ones(4), np.ones(6))
    other = mmd(REAL, GENERATED, np.ones(6), np.ones(4))
    np.testing.assert_allclose(one, other, rtol=1e-5)


def test_leading_dimensions_are_independent_sets():
    generated, real = np.stack([GENERATED] * 2), np.stack([REAL, REAL - 3])
    ours = mmd(generated, real, np.ones((2, 4)), np.ones((2, 6)))
    each = [mmd(GENERATED, x, np.ones(4), np.ones(6)) for x in real]
    np.testing.assert_allclose(ours, each, rtol=1e-5)


def test_the_gradient_is_that_of_the_loop_and_goes_to_generated_rows_only():
    of_generated, of_real = jax.grad(mmd, argnums=(0, 1))(
        GENERATED, REAL, np.ones(4), np.ones(6)
    )
    assert (of_real == 0).all()
    for index in [(0, 0), (2, 1), (3, 2)]:
        ends = []
        for step in (1e-4, -1e-4):
            moved = np.float64(GENERATED)
            moved[index] += step
            ends.append(loop(moved, REAL, np.ones(4), np.ones(6)))
        slope = (ends[0] - ends[1]) / 2e-4
        np.testing.assert_allclose(of_generated[index], slope, rtol=2e-3, atol=1e-5)


@pytest.mark.parametrize(
    "weights",
    [
        (np.zeros(4), np.ones(6)),
        (np.ones(4), np.zeros(6)),
        (np.zeros(4), np.zeros(6)),
    ],
)
def test_an_empty_side_gives_zero_without_gradient(weights):
    value, gradient = jax.value_and_grad(mmd)(GENERATED, REAL, *weights)
    assert value == 0 and (gradient == 0).all()


def test_equal_sets_are_at_no_distance_and_have_a_finite_gradient():
    value, gradient = jax.value_and_grad(mmd)(REAL, REAL, np.ones(6), np.ones(6))
    assert value < 1e-3 and np.isfinite(gradient).all()
    both = jnp.ones((1, 3))
    value, gradient = jax.value_and_grad(mmd)(both, both, np.ones(1), np.ones(1))
    assert value == 0 and (gradient == 0).all()


def sets(num_pixels=40, num_classes=4):
    rng = np.random.default_rng(1)
    generated, real = rng.normal(size=(2, num_pixels, 3)).astype(np.float32)
    labels = rng.choice([0, 1, 3, 255, -1], num_pixels).astype(np.int32)
    return generated, real + 0.5, labels, num_classes


def test_per_class_is_the_mean_over_present_classes_when_all_fit():
    generated, real, labels, num_classes = sets()
    ours = jax.jit(lib.mmd_per_class, static_argnames=("num_classes", "slots"))(
        KEY, generated, real, labels, num_classes=num_classes, slots=40
    )
    wanted = []
    for label in (0, 1, 3):
        own = labels == label
        ones = np.ones(own.sum())
        wanted.append(
            loop(generated[own], real[own], ones, ones, lib.CAGNET_BANDWIDTHS)
        )
    np.testing.assert_allclose(ours, np.mean(wanted), rtol=1e-4)


def test_a_class_is_represented_by_as_many_pixels_as_there_are_slots():
    generated, real, labels, num_classes = sets()

    def loss(generated):
        return lib.mmd_per_class(
            KEY, generated, real, labels, num_classes=num_classes, slots=5
        )

    touched = np.any(jax.grad(loss)(generated) != 0, axis=1)
    counts = [np.sum(touched & (labels == label)) for label in (0, 1, 3)]
    assert counts == [5, 5, 5] and touched.sum() == 15


def test_the_key_chooses_the_pixels():
    generated, real, labels, num_classes = sets()
    found = [
        lib.mmd_per_class(
            jax.random.key(seed),
            generated,
            real,
            labels,
            num_classes=num_classes,
            slots=5,
        )
        for seed in range(3)
    ]
    assert len(set(map(float, found))) == 3


@pytest.mark.parametrize("label", [255, -1, 4])
def test_without_a_class_per_class_is_zero_without_gradient(label):
    generated, real, labels, num_classes = sets()
    labels = np.full_like(labels, label)

    def loss(generated):
        return lib.mmd_per_class(
            KEY, generated, real, labels, num_classes=num_classes, slots=8
        )

    value, gradient = jax.value_and_grad(loss)(generated)
    assert value == 0 and (gradient == 0).all()


def test_runs_are_groups_of_equal_neighbours_among_the_labelled_pixels():
    generated, real, labels, num_classes = sets()
    ours, num_runs = jax.jit(lib.mmd_runs, static_argnames="num_classes")(
        generated, real, labels, num_classes=num_classes
    )
    labelled = [i for i in range(len(labels)) if 0 <= labels[i] < num_classes]
    wanted = []
    for _, group in itertools.groupby(labelled, key=lambda i: labels[i]):
        own = list(group)
        ones = np.ones(len(own))
        wanted.append(
            loop(generated[own], real[own], ones, ones, lib.CAGNET_BANDWIDTHS)
        )
    assert num_runs == len(wanted) > 8
    np.testing.assert_allclose(ours, np.mean(wanted), rtol=1e-4)


def test_sorted_labels_make_a_run_of_every_class():
    generated, real, labels, num_classes = sets()
    labels = np.sort(labels)
    runs, num_runs = lib.mmd_runs(generated, real, labels, num_classes=num_classes)
    classes = lib.mmd_per_class(
        KEY, generated, real, labels, num_classes=num_classes, slots=40
    )
    assert num_runs == 3
    np.testing.assert_allclose(runs, classes, rtol=1e-4)


def test_without_a_run_the_loss_is_zero_without_gradient():
    generated, real, labels, num_classes = sets()

    def loss(generated):
        return lib.mmd_runs(
            generated, real, np.full_like(labels, 255), num_classes=num_classes
        )

    (value, num_runs), gradient = jax.value_and_grad(loss, has_aux=True)(generated)
    assert value == 0 and num_runs == 0 and (gradient == 0).all()
