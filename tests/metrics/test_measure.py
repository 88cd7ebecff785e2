"""Laws that every measure keeps; values are in the tests of each."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg import config, sharding
from jaxseg.metrics import measure
from jaxseg.metrics.boundary import BoundaryIoU
from jaxseg.metrics.confusion import Confusion
from jaxseg.metrics.fold import FoldIoU
from jaxseg.metrics.foreground import FMeasure
from jaxseg.metrics.image_accuracy import ImageAccuracy
from jaxseg.metrics.matching import MatchedIoU
from jaxseg.metrics.object_size import BoundaryIoUBySize, IoUBySize
from tests.metrics.maps import count_all, labels, pair, sums

LABELS = labels(5, seen=(0, 1, 2), unseen=(3, 4))
MEASURES = [
    Confusion(LABELS),
    BoundaryIoU(LABELS, ratio=0.05),
    IoUBySize(LABELS),
    BoundaryIoUBySize(LABELS, ratio=0.05),
    FMeasure(LABELS),
    ImageAccuracy(LABELS),
    FoldIoU(LABELS),
    MatchedIoU(LABELS, by="pictures", background=0),
]
every = pytest.mark.parametrize("measure", MEASURES, ids=lambda m: type(m).__name__)


def assert_equal(first, second):
    jax.tree.map(np.testing.assert_array_equal, first, second)


@every
def test_splitting_a_batch_changes_nothing(measure):
    truth, prediction = pair()
    rows = [slice(i, i + 1) for i in range(4)]
    parts = [count_all(measure, truth[row], prediction[row]) for row in rows]
    assert_equal(sums(*parts), count_all(measure, truth, prediction))


@every
def test_a_filler_of_a_batch_adds_nothing(measure):
    truth, prediction = pair()
    filled = truth.copy()
    filled[2] = 255
    kept = np.delete(truth, 2, 0), np.delete(prediction, 2, 0)
    assert_equal(count_all(measure, filled, prediction), count_all(measure, *kept))


@every
def test_padding_adds_nothing(measure):
    truth, prediction = pair()
    margin = ((0, 0), (0, 6), (0, 3))
    padded = np.pad(truth, margin, constant_values=255)
    junk = np.pad(prediction, margin, constant_values=1)
    size = jnp.tile(jnp.array(truth.shape[1:]), (4, 1))
    counts = count_all(measure, padded, junk, size)
    assert_equal(counts, count_all(measure, truth, prediction))


@every
def test_eight_devices_count_as_one_does(measure):
    truth, prediction = pair(shape=(8, 11, 9))
    mesh = sharding.make_mesh(8)
    count = jax.jit(measure.count, out_shardings=sharding.replicated(mesh))
    batch = sharding.to_devices({"t": truth, "p": prediction}, mesh)
    counts = count(batch["t"], batch["p"])
    assert_equal(sums(counts), count_all(measure, truth, prediction))


@every
def test_pixels_stay_on_their_device(measure):
    mesh = sharding.make_mesh(8)
    truth, prediction = pair(shape=(8, 11, 9))
    batch = sharding.to_devices({"t": truth, "p": prediction}, mesh)
    count = jax.jit(measure.count, out_shardings=sharding.replicated(mesh))
    program = count.lower(batch["t"], batch["p"]).compile().as_text()
    assert "all-reduce" in program
    assert "all-gather" not in program and "all-to-all" not in program


@every
def test_compiled_counts_are_those_of_eager_code_and_integers(measure):
    truth, prediction = pair()
    counts = measure.count(truth, prediction)
    assert_equal(sums(counts), count_all(measure, truth, prediction))
    assert all(leaf.dtype == jnp.int32 for leaf in jax.tree.leaves(counts))


@every
def test_a_perfect_prediction_scores_one(measure):
    truth, _ = pair(ignored=0)
    scores = measure.scores(count_all(measure, truth, truth))
    shares = ("seen_freq", "unseen_freq", "harmonic_freq")  # parts of one sum
    numbers = [
        value
        for name, value in scores.items()
        if np.ndim(value) == 0 and not name.startswith(shares)
    ]
    assert numbers
    np.testing.assert_allclose([n for n in numbers if not np.isnan(n)], 1)


@every
def test_bytes_count_like_integers(measure):
    truth, prediction = pair()
    counts = count_all(measure, jnp.uint8(truth), jnp.uint8(prediction))
    assert_equal(counts, count_all(measure, truth, prediction))


@every
def test_permuting_the_foreground_classes_keeps_the_means(measure):
    truth, prediction = pair()
    order = np.array([0, 2, 1, 4, 3] + [255] * 251)
    totals = count_all(measure, truth, prediction)
    permuted = count_all(measure, order[truth], order[prediction])
    scores, others = measure.scores(totals), measure.scores(permuted)
    for name, value in scores.items():
        # Groups are {0, 1, 2} and {3, 4}: what is seen changes with the ids.
        grouped = name.split("_")[0] in ("seen", "unseen", "harmonic", "fold")
        if np.ndim(value) == 0 and not grouped:
            np.testing.assert_allclose(others[name], value)


@every
def test_nothing_labelled_is_no_error(measure, recwarn):
    nothing = np.full((2, 6, 7), 255)
    scores = measure.scores(count_all(measure, nothing, np.ones_like(nothing)))
    means = {k: v for k, v in scores.items() if k.startswith(("mean", "matched_mean"))}
    assert all(np.isnan(value) for value in means.values())
    assert not recwarn.list


@pytest.mark.parametrize(
    "kind", [type(m) for m in MEASURES if not isinstance(m, FoldIoU)]
)
def test_one_class_is_enough(kind):
    zeros = np.zeros((1, 4, 5), int)
    measure = kind(labels(1))
    assert measure.scores(count_all(measure, zeros, zeros))


@every
def test_classes_beyond_255_have_ids_of_their_own(measure):
    truth, prediction = pair()
    # The same classes are unseen: a fold counts nothing else.
    many = types.SimpleNamespace(num_classes=920, seen=(0,), unseen=(511, 919))
    far = type(measure)(many)
    shift = np.array([0, 255, 256, 511, 919] + [-1] * 251)
    shifted = sums(jax.jit(far.count)(shift[truth], shift[prediction]))
    plain = count_all(type(measure)(LABELS), truth, prediction)
    for ours, theirs in zip(*map(jax.tree.leaves, (shifted, plain)), strict=True):
        assert ours.sum() == theirs.sum() > 0


@every
def test_other_shapes_are_refused(measure):
    with pytest.raises(ValueError, match="same shape"):
        measure.count(jnp.zeros((1, 2, 2), int), jnp.zeros((1, 2, 3), int))


def test_all_scores_have_names_of_their_own():
    truth, prediction = pair()
    names = [
        name
        for each in MEASURES
        for name in each.scores(count_all(each, truth, prediction))
    ]
    assert len(names) == len(set(names))


def test_a_config_names_a_measure():
    spec = dict(name="boundary.BoundaryIoU", ratio=0.02)
    made = config.make("metrics", spec, labels=LABELS)
    assert made == BoundaryIoU(LABELS, ratio=0.02)


def test_ids_outside_the_classes_are_not_labelled():
    truth = jnp.array([-1, 0, 4, 5, 255])
    is_labelled = measure.labelled(truth, num_classes=5)
    np.testing.assert_array_equal(is_labelled, [False, True, True, False, False])
