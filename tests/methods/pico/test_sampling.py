import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from jaxseg import sharding
from jaxseg.methods.pico import sampling
from jaxseg.ops.sampling import smallest_in_groups


def random_images(seed, shape=(4, 8, 9), num_classes=4, mistakes=0.4):
    """Labels, of which -1 and 255 are none; predictions; priorities without ties."""
    rng = np.random.default_rng(seed)
    ids = np.asarray([*range(num_classes), -1, 255])
    labels = rng.choice(ids, shape, p=rng.dirichlet(np.ones(len(ids))))
    guesses = rng.integers(0, num_classes, shape)
    predictions = np.where(rng.random(shape) < mistakes, guesses, labels)
    priority = rng.permutation(labels.size).reshape(shape) / labels.size
    return labels, predictions, priority.astype(np.float32)


def compiled(rule=sampling.choose_anchors, **options):
    """With these options, as a new function, so that no compilation is reused."""
    return jax.jit(lambda *images: rule(*images, **options))


def choose(labels, predictions, priority, **options):
    return compiled(**options)(labels, predictions, priority)


def reference(labels, predictions, priority, num_classes, max_samples, max_views):
    """One group, as the paper's sampling is told: (position, label, hard) in order."""
    pixels = labels[0].size
    labels, predictions, priority = (
        array.reshape(-1, pixels) for array in (labels, predictions, priority)
    )
    pairs = [
        (image, class_id)
        for image, class_id in np.ndindex(len(labels), num_classes)
        if np.sum(labels[image] == class_id) > max_views
    ]
    anchors = []
    for image, class_id in pairs[:max_samples]:
        views = max(1, min(max_samples // len(pairs), max_views))
        order = np.argsort(priority[image], kind="stable")
        members = order[labels[image, order] == class_id]
        wrong = predictions[image, members] != class_id
        hard, easy = members[wrong], members[~wrong]
        keep_hard = views // 2
        if len(hard) < views / 2:
            keep_hard = len(hard)
        elif len(easy) < views / 2:
            keep_hard = views - len(easy)
        anchors += [(image * pixels + i, class_id, True) for i in hard[:keep_hard]]
        keep_easy = views - keep_hard
        anchors += [(image * pixels + i, class_id, False) for i in easy[:keep_easy]]
    return anchors


def as_list(anchors, group):
    """The filled slots of a group; the others must come last and be blank."""
    positions, labels, hard = (
        np.asarray(array[group])
        for array in (anchors.positions, anchors.labels, anchors.hard)
    )
    num_anchors = np.sum(labels >= 0)
    assert not np.any(positions[num_anchors:]) and not np.any(hard[num_anchors:])
    assert np.all(labels[num_anchors:] == -1)
    filled = (array[:num_anchors].tolist() for array in (positions, labels, hard))
    return list(zip(*filled, strict=True))


def random_reference(
    labels, predictions, priority, num_classes, max_samples, max_views
):
    """As `reference`, without a hard share: the first pixels of every pair."""
    pixels = labels[0].size
    labels, predictions, priority = (
        array.reshape(-1, pixels) for array in (labels, predictions, priority)
    )
    pairs = [
        (image, class_id)
        for image, class_id in np.ndindex(len(labels), num_classes)
        if np.sum(labels[image] == class_id) > max_views
    ]
    anchors = []
    for image, class_id in pairs[:max_samples]:
        views = max(1, min(max_samples // len(pairs), max_views))
        order = np.argsort(priority[image], kind="stable")
        drawn = order[labels[image, order] == class_id][:views]
        anchors += [
            (image * pixels + i, class_id, wrong)
            for wrong in (True, False)
            for i in drawn
            if (predictions[image, i] != class_id) == wrong
        ]
    return anchors


def per_class_reference(labels, predictions, priority, num_classes, anchors_per_class):
    """One group: random pixels, then hard ones, then random ones in their place."""
    labels, predictions, priority = (
        array.ravel() for array in (labels, predictions, priority)
    )
    anchors = []
    for class_id in range(num_classes):
        order = np.argsort(priority, kind="stable")
        members = order[labels[order] == class_id].tolist()
        drawn = members[: -(-anchors_per_class // 2)]
        left = members[len(drawn) :]
        wrong = [i for i in left if predictions[i] != class_id]
        drawn += wrong[: anchors_per_class // 2]
        left = [i for i in left if i not in drawn]
        drawn += left[: anchors_per_class - len(drawn)]
        drawn = sorted(drawn, key=lambda i: (predictions[i] == class_id, priority[i]))
        anchors += [(i, class_id, predictions[i] != class_id) for i in drawn]
    return anchors


def filled_slots(anchors, group):
    """The filled slots of a group, (position, label, hard) each."""
    labels = np.asarray(anchors.labels[group])
    there = labels >= 0
    columns = (np.asarray(x[group])[there] for x in (anchors.positions, anchors.hard))
    positions, hard = (column.tolist() for column in columns)
    return list(zip(positions, labels[there].tolist(), hard, strict=True))


RULES = {
    "hard": (sampling.choose_anchors, reference),
    "random": (sampling.choose_random_anchors, random_reference),
    "per_class": (sampling.choose_anchors_per_class, per_class_reference),
}
BUDGETS = {
    "hard": dict(max_samples=40, max_views=6),
    "random": dict(max_samples=40, max_views=6),
    "per_class": dict(anchors_per_class=9),
}
MODES = pytest.mark.parametrize("mode", RULES)


@pytest.mark.parametrize(
    ("mode", "budget", "group_size"),
    [
        ("random", dict(max_samples=20, max_views=6), 2),
        ("random", dict(max_samples=64, max_views=1), 0),
        ("random", dict(max_samples=5, max_views=3), 0),
        ("random", dict(max_samples=37, max_views=100), 1),
        ("per_class", dict(anchors_per_class=1), 1),
        ("per_class", dict(anchors_per_class=2), 0),
        ("per_class", dict(anchors_per_class=11), 2),
        ("per_class", dict(anchors_per_class=90), 1),
    ],
)
def test_the_other_rules_equal_a_loop(mode, budget, group_size):
    rule, loop = RULES[mode]
    choose_them = compiled(rule, num_classes=4, group_size=group_size, **budget)
    for seed, mistakes in enumerate([0.0, 0.1, 0.4, 1.0]):
        images = random_images(seed, mistakes=mistakes)
        anchors, pairs = choose_them(*images)
        size = group_size or 4
        assert len(anchors.labels) == 4 // size
        for group in range(4 // size):
            members = slice(group * size, (group + 1) * size)
            expected = loop(*(x[members] for x in images), num_classes=4, **budget)
            found = filled_slots(anchors, group)
            assert found == expected
            assert np.sum(pairs.keep_hard[group]) == sum(hard for *_, hard in found)
            assert np.sum(pairs.keep_easy[group] + pairs.keep_hard[group]) == len(found)


def test_slots_per_class_are_the_same_whatever_the_images_show():
    labels = np.random.default_rng(0).choice([0, 2, 3, -1], (4, 8, 9))
    labels[:2][labels[:2] == 2] = -1
    labels[0, 0, :3] = 2  # a rare class of the first group
    _, predictions, priority = random_images(0)
    options = dict(num_classes=4, anchors_per_class=20, group_size=2)
    choose_them = compiled(sampling.choose_anchors_per_class, **options)
    anchors, pairs = choose_them(labels, predictions, priority)
    assert anchors.labels.shape == (2, 80)
    counts = [np.bincount(row[row >= 0]) for row in np.asarray(anchors.labels)]
    np.testing.assert_array_equal(counts, [[20, 0, 3, 20], [20, 0, 20, 20]])
    np.testing.assert_array_equal(pairs.qualified, [[[1, 0, 1, 1]], [[1, 0, 1, 1]]])


# Few slots, many, one, more than pixels; one view, several, more than pixels.
@pytest.mark.parametrize(
    ("max_samples", "max_views"),
    [(20, 6), (64, 5), (1, 3), (3, 1), (500, 7), (64, 1), (30, 100), (37, 15)],
)
@pytest.mark.parametrize("group_size", [0, 1, 2])
def test_equals_a_loop_over_images_and_classes(group_size, max_samples, max_views):
    budget = dict(num_classes=4, max_samples=max_samples, max_views=max_views)
    choose_them = compiled(**budget, group_size=group_size)
    for seed, mistakes in enumerate([0.1, 0.4, 0.9, 1.0]):
        images = random_images(seed, mistakes=mistakes)
        anchors, _ = choose_them(*images)
        assert anchors.labels.shape == (4 // (group_size or 4), max_samples)
        for group in range(len(anchors.labels)):
            size = group_size or 4
            members = slice(group * size, (group + 1) * size)
            expected = reference(*(array[members] for array in images), **budget)
            assert as_list(anchors, group) == expected


def test_sorting_chooses_the_same_as_selecting(monkeypatch):
    options = dict(num_classes=4, max_samples=40, max_views=6, group_size=2)
    expected = choose(*random_images(0), **options)
    by_sorting = functools.partial(smallest_in_groups, formulation="sort")
    monkeypatch.setattr(sampling, "smallest_in_groups", by_sorting)
    found = choose(*random_images(0), **options)
    jax.tree.map(np.testing.assert_array_equal, found, expected)


@MODES
def test_jit_equals_eager(mode):
    rule, _ = RULES[mode]
    options = dict(num_classes=4, group_size=2, **BUDGETS[mode])
    images = [jnp.asarray(array) for array in random_images(3)]
    found, eager = compiled(rule, **options)(*images), rule(*images, **options)
    jax.tree.map(np.testing.assert_array_equal, found, eager)


def test_counts_say_what_every_pair_has_and_gives():
    labels = np.asarray([[[0, 0, 0, 0, 0, 1, 1, 1, 2, -1]]])
    predictions = np.asarray([[[0, 0, 0, 1, 1, 1, 0, 0, 2, 0]]])
    priority = np.linspace(0, 0.9, 10, dtype=np.float32).reshape(1, 1, 10)
    options = dict(num_classes=3, max_samples=5, max_views=2, group_size=1)
    _, pairs = choose(labels, predictions, priority, **options)
    np.testing.assert_array_equal(pairs.num_hard, [[[2, 2, 0]]])
    np.testing.assert_array_equal(pairs.num_easy, [[[3, 1, 1]]])
    np.testing.assert_array_equal(pairs.qualified, [[[True, True, False]]])
    np.testing.assert_array_equal(pairs.views, [2])
    np.testing.assert_array_equal(pairs.keep_hard, [[[1, 1, 0]]])
    np.testing.assert_array_equal(pairs.keep_easy, [[[1, 1, 0]]])


@MODES
def test_without_a_labelled_pixel_there_is_no_anchor(mode):
    _, predictions, priority = random_images(0)
    options = dict(num_classes=4, group_size=2, **BUDGETS[mode])
    choose_them = compiled(RULES[mode][0], **options)
    for nothing in (-1, 4, 255):
        labels = np.full((4, 8, 9), nothing)
        anchors, pairs = choose_them(labels, predictions, priority)
        assert as_list(anchors, 0) == as_list(anchors, 1) == []
        assert not np.any(pairs.qualified)
        assert not np.any(pairs.num_hard + pairs.num_easy)


def test_a_class_must_have_more_pixels_than_views():
    labels = np.asarray([[[0, 0, 0, 1, 1, 1, 1]]])
    options = dict(num_classes=2, max_samples=9, max_views=3, group_size=1)
    anchors, _ = choose(labels, labels, np.zeros((1, 1, 7), np.float32), **options)
    assert as_list(anchors, 0) == [(3, 1, False), (4, 1, False), (5, 1, False)]


def test_of_more_pairs_than_slots_the_first_give_one_anchor_each():
    labels = np.broadcast_to(np.repeat(np.arange(4), 3), (2, 1, 12))
    predictions = np.where(labels == 1, 0, labels)
    priority = np.tile(np.linspace(0.9, 0, 12, dtype=np.float32), (2, 1, 1))
    options = dict(num_classes=4, max_samples=5, max_views=2, group_size=0)
    anchors, pairs = choose(labels, predictions, priority, **options)
    expected = [(2, 0, False), (5, 1, True), (8, 2, False), (11, 3, False)]
    assert as_list(anchors, 0) == [*expected, (14, 0, False)]
    assert np.sum(pairs.qualified) == 5 and pairs.views[0] == 1


def test_one_class_takes_every_slot():
    labels = np.zeros((2, 8, 9), int)
    _, predictions, priority = random_images(0, labels.shape, num_classes=2)
    options = dict(num_classes=1, max_samples=21, max_views=50, group_size=0)
    anchors, _ = choose(labels, predictions, priority, **options)
    assert as_list(anchors, 0) == reference(labels, predictions, priority, 1, 21, 50)
    assert len(as_list(anchors, 0)) == 20


@MODES
def test_permuting_the_images_of_a_group_permutes_only_the_order(mode):
    images = random_images(1)
    options = dict(num_classes=4, group_size=0, **BUDGETS[mode])
    choose_them = compiled(RULES[mode][0], **options)
    before, _ = choose_them(*images)
    permutation = np.asarray([2, 0, 3, 1])
    after, _ = choose_them(*(array[permutation] for array in images))
    pixels = images[0][0].size
    moved = [
        (permutation[position // pixels] * pixels + position % pixels, *rest)
        for position, *rest in filled_slots(after, 0)
    ]
    assert sorted(moved) == sorted(filled_slots(before, 0)) != filled_slots(after, 0)


def many_draws(mode, num_draws=600, **budget):
    """Draws from a picture of 20 hard and 40 easy pixels of one class.

    Returns:
        [60] how often each pixel was drawn (hard ones first), and [draws] how many hard
        ones and how many pixels each draw has.
    """
    labels = np.zeros((num_draws, 6, 10), int)
    predictions = np.broadcast_to((np.arange(60) < 20).reshape(6, 10), labels.shape)
    priority = sampling.draw_priority(jax.random.key(0), labels.shape)
    options = dict(num_classes=1, group_size=1, **budget)
    anchors, _ = compiled(RULES[mode][0], **options)(
        labels, predictions.astype(int), priority
    )
    there = np.asarray(anchors.labels) >= 0
    counts = np.bincount(np.asarray(anchors.positions)[there], minlength=60)
    return counts, np.sum(anchors.hard, axis=1), np.sum(there, axis=1)


def assert_uniform(counts):
    assert scipy.stats.chisquare(counts).pvalue > 1e-3


def test_half_of_the_anchors_are_hard_and_each_half_is_uniform():
    counts, hard, num_anchors = many_draws("hard", max_samples=12, max_views=12)
    assert np.all(hard == 6) and np.all(num_anchors == 12)
    assert_uniform(counts[:20])
    assert_uniform(counts[20:])


def test_random_anchors_are_uniform_in_the_pair():
    counts, hard, num_anchors = many_draws("random", max_samples=12, max_views=12)
    assert np.all(num_anchors == 12)
    assert_uniform(counts)
    np.testing.assert_allclose(np.mean(hard), 12 / 3, rtol=0.1)
    assert len(np.unique(hard)) > 4  # by chance, not by a share


def test_of_a_class_half_the_anchors_are_random_and_half_are_hard():
    counts, hard, num_anchors = many_draws("per_class", anchors_per_class=12)
    assert np.all(num_anchors == 12) and np.all(hard >= 6)
    # Of the six random ones a third is hard, as in the picture.
    np.testing.assert_allclose(np.mean(hard - 6), 6 / 3, rtol=0.1)
    assert_uniform(counts[:20])
    assert_uniform(counts[20:])


def test_any_integer_type_of_labels_will_do():
    labels, predictions, priority = random_images(2)
    labels, predictions = (np.where(x < 0, 255, x) for x in (labels, predictions))
    high = [np.where(x < 4, x + 140, x) for x in (labels, predictions)]
    options = dict(num_classes=150, max_samples=40, max_views=6, group_size=2)
    expected, _ = choose(*high, priority, **options)
    found, _ = choose(*(x.astype(np.uint8) for x in high), priority, **options)
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_a_bad_group_size_names_the_batch_and_the_size():
    options = dict(num_classes=4, max_samples=8, max_views=3)
    for group_size in (3, -2, 8):
        message = f"batch of 4 does not split into groups of {group_size} images"
        with pytest.raises(ValueError, match=message):
            choose(*random_images(0), **options, group_size=group_size)


def test_priorities_belong_to_the_image_not_to_the_batch():
    rng = jax.random.key(3)
    small = sampling.draw_priority(rng, (4, 5, 6))
    large = sampling.draw_priority(rng, (8, 5, 6))
    np.testing.assert_array_equal(small, large[:4])
    alone = jax.random.uniform(jax.random.fold_in(rng, 2), (5, 6))
    np.testing.assert_array_equal(small[2], alone)
    assert small.dtype == jnp.float32 and np.all(small >= 0) and np.all(small < 1)
    assert len(np.unique(large)) > 0.99 * large.size


def test_picked_pixels_are_distinct_and_of_their_class():
    labels, _, _ = random_images(5)
    priority = sampling.draw_priority(jax.random.key(0), labels.shape)
    options = dict(num_classes=4, num_picks=12)
    picks = np.asarray(sampling.pick_pixels(labels, priority, **options))
    assert picks.shape == (4, 4, 12)
    for b, c in np.ndindex(4, 4):
        picked = picks[b, c][picks[b, c] >= 0]
        assert len(picked) == min(np.sum(labels[b] == c), 12) == len(np.unique(picked))
        assert np.all(labels[b].ravel()[picked] == c)


@pytest.mark.parametrize(
    ("mode", "num_devices"),
    [("hard", n) for n in (1, 2, 4, 8)] + [("random", 8), ("per_class", 8)],
)
def test_any_number_of_devices_chooses_the_same_pixels(mode, num_devices):
    labels, predictions, _ = random_images(6, shape=(8, 8, 9))
    options = dict(num_classes=4, group_size=4, **BUDGETS[mode])

    def step(rng, labels, predictions):
        priority = sampling.draw_priority(rng, labels.shape)
        chosen = RULES[mode][0](labels, predictions, priority, **options)
        picks = sampling.pick_pixels(labels, priority, num_classes=4, num_picks=3)
        return chosen, picks

    rng, mesh = jax.random.key(1), sharding.make_mesh(num_devices)
    whole, split = sharding.replicated(mesh), sharding.batched(mesh)
    images = jax.device_put((labels, predictions), split)
    with jax.set_mesh(mesh):
        compiled = jax.jit(
            step, in_shardings=(whole, split, split), out_shardings=whole
        )
        found = compiled(jax.device_put(rng, whole), *images)
    expected = jax.jit(step)(rng, labels, predictions)
    jax.tree.map(np.testing.assert_array_equal, found, expected)
