import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

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


def compiled(**options):
    """With these options, as a new function, so that no compilation is reused."""
    return jax.jit(lambda *images: sampling.choose_anchors(*images, **options))


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


def test_jit_equals_eager():
    options = dict(num_classes=4, max_samples=40, max_views=6, group_size=2)
    images = [jnp.asarray(array) for array in random_images(3)]
    eager = sampling.choose_anchors(*images, **options)
    jax.tree.map(np.testing.assert_array_equal, choose(*images, **options), eager)


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


@pytest.mark.parametrize("nothing", [-1, 4, 255])
def test_without_a_labelled_pixel_there_is_no_anchor(nothing):
    labels = np.full((4, 8, 9), nothing)
    _, predictions, priority = random_images(0)
    options = dict(num_classes=4, max_samples=8, max_views=3, group_size=2)
    anchors, pairs = choose(labels, predictions, priority, **options)
    assert as_list(anchors, 0) == as_list(anchors, 1) == []
    assert not np.any(pairs.qualified) and not np.any(pairs.num_hard + pairs.num_easy)


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


def test_permuting_the_images_of_a_group_permutes_only_the_order():
    images = random_images(1)
    options = dict(num_classes=4, max_samples=40, max_views=6, group_size=0)
    before, _ = choose(*images, **options)
    permutation = np.asarray([2, 0, 3, 1])
    after, _ = choose(*(array[permutation] for array in images), **options)
    pixels = images[0][0].size
    moved = [
        (permutation[position // pixels] * pixels + position % pixels, *rest)
        for position, *rest in as_list(after, 0)
    ]
    assert sorted(moved) == sorted(as_list(before, 0)) != moved


def test_half_of_the_anchors_are_hard_where_both_are_plentiful():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, (4, 20, 20))
    predictions = np.where(rng.random(labels.shape) < 0.3, 2 - labels, labels)
    predictions = np.where(labels == 1, rng.integers(0, 2, labels.shape), predictions)
    priority = sampling.draw_priority(jax.random.key(0), labels.shape)
    options = dict(num_classes=3, max_samples=128, max_views=20, group_size=2)
    anchors, pairs = choose(labels, predictions, priority, **options)
    assert np.all(pairs.views == 20) and np.all(anchors.labels[:, :120] >= 0)
    assert np.sum(anchors.hard) == np.sum(anchors.labels >= 0) / 2


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


@pytest.mark.parametrize("num_devices", [1, 2, 4, 8])
def test_any_number_of_devices_chooses_the_same_pixels(num_devices):
    labels, predictions, _ = random_images(6, shape=(8, 8, 9))

    def step(rng, labels, predictions):
        priority = sampling.draw_priority(rng, labels.shape)
        options = dict(num_classes=4, max_samples=64, max_views=8, group_size=4)
        chosen = choose(labels, predictions, priority, **options)
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
    jax.tree.map(np.testing.assert_array_equal, found, step(rng, labels, predictions))
