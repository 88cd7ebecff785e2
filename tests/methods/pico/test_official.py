import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.memory.queue import Queue
from jaxseg.methods.pico import official
from jaxseg.methods.pico.memory import Memory
from tests.methods.pico.vectors import random_unit

TEMPERATURES = dict(temperature=0.1, base_temperature=0.07)


def queue(values, pointer=None):
    zeros = jnp.zeros(len(values), jnp.int32)
    pointer = zeros if pointer is None else jnp.asarray(pointer, jnp.int32)
    return Queue(values=jnp.asarray(values), pointer=pointer, fill=zeros)


@pytest.fixture
def anchors():
    """Two groups of 7 slots: 3 pairs of 2 views and an empty slot; 1 pair of 4."""
    x = random_unit(np.random.default_rng(0), 2, 7, 6)
    labels = jnp.array([[0, 0, 2, 2, 1, 1, -1], [3, 3, 3, 3, -1, -1, -1]])
    return jnp.asarray(x), labels, jnp.array([2, 4])


@pytest.fixture
def memory():
    """Of 4 classes, with 2 regions and 3 pixels each."""
    rng = np.random.default_rng(1)
    return Memory(
        region=queue(random_unit(rng, 4, 2, 6)), pixel=queue(random_unit(rng, 4, 3, 6))
    )


contrast = jax.jit(functools.partial(official.contrast, **TEMPERATURES))
update = jax.jit(official.update)


def loss_of_group(anchors, labels, views, memory):
    """The authors' steps, one anchor after the other, in float64."""
    bank = np.concatenate([memory.region.values, memory.pixel.values], axis=1)
    num_classes, length, dim = bank.shape
    columns = np.zeros((num_classes * length, dim))
    columns[:-length] = bank[1:].reshape(-1, dim)
    of_column = np.repeat([*range(1, num_classes), 0], length)
    real = np.flatnonzero(labels >= 0).reshape(-1, views)
    losses = []
    for row, i in enumerate(real.T.ravel()):  # all first views, all second views, ...
        scores = columns @ np.asarray(anchors[i], np.float64) / 0.1
        positive = of_column == labels[i]
        negatives = np.exp(scores[~positive]).sum()
        positive[row] = False
        kept = np.exp(scores[positive])
        losses.append(np.mean(-np.log(kept / (kept + negatives))))
    return np.mean(losses) * 0.1 / 0.07


def test_contrast_equals_the_authors_matrix(anchors, memory):
    expected = np.mean(
        [
            loss_of_group(*(np.asarray(array[g]) for array in anchors), memory)
            for g in range(2)
        ]
    )
    found = contrast(*anchors, memory)
    np.testing.assert_allclose(found.loss, expected, rtol=1e-5)
    assert found.num_anchors == 10


def test_gradient_equals_differences(anchors, memory):
    x, labels, views = (np.asarray(array[0]) for array in anchors)

    def loss(x):
        return contrast(x[None], labels[None], jnp.array([views]), memory).loss

    grad = jax.grad(loss)(jnp.asarray(x))
    for at in [(0, 0), (3, 5), (5, 2)]:
        step = np.zeros(x.shape)
        step[at] = 1e-5
        above, below = (
            loss_of_group(x + sign * step, labels, views, memory) for sign in (1, -1)
        )
        np.testing.assert_allclose(grad[at], (above - below) / 2e-5, rtol=1e-4)
    assert not np.any(grad[6])


def test_class_zero_of_the_memory_is_never_read(anchors, memory):
    other = jax.tree.map(lambda x: x.at[0].multiply(-3), memory)
    assert contrast(*anchors, other).loss == contrast(*anchors, memory).loss


def test_a_row_loses_the_positive_in_its_own_column():
    entries = jnp.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    memory = Memory(
        region=queue(entries[:, None]), pixel=None
    )  # columns: class 1, 2, 3, 0
    x = jnp.array([[[1.0, 0.0], [1.0, 0.0]]])
    # Row 0 loses its only positive, row 1 keeps class 1 against classes 2, 3 and 0.
    found = contrast(x, jnp.array([[1, 1]]), jnp.array([1]), memory)
    assert found.num_anchors == 1
    expected = np.log(1 + (1 + np.exp(10) + 1) / np.exp(10)) / 0.7
    np.testing.assert_allclose(found.loss, expected, rtol=1e-6)


def test_slots_count_whether_written_or_not(anchors, memory):
    full = memory.replace(region=memory.region.replace(fill=jnp.full(4, 2)))
    assert contrast(*anchors, full).loss == contrast(*anchors, memory).loss


def test_similarities_are_those_of_the_authors_examples(anchors, memory):
    x, labels, views = (array[1:] for array in anchors)  # one pair, of class 3
    bank = np.concatenate([memory.region.values, memory.pixel.values], axis=1)
    cosines = np.asarray(x[0, :4]) @ bank.reshape(-1, 6).T
    found = contrast(x, labels, views, memory)
    # Columns 0 to 3 are of class 1, so that no row loses one of its own.
    np.testing.assert_allclose(
        found.positive_similarity, cosines[:, 15:].mean(), rtol=1e-5
    )
    hardest = np.maximum(cosines[:, 5:15].max(axis=1), 0.0)  # or a zero vector
    np.testing.assert_allclose(
        found.hardest_negative_similarity, hardest.mean(), rtol=1e-5
    )


def test_a_group_without_anchors_does_not_count(anchors, memory):
    x, labels, views = anchors
    alone = contrast(x[:1], labels[:1], views[:1], memory)
    both = contrast(x, labels.at[1].set(-1), views, memory)
    np.testing.assert_allclose(both.loss, alone.loss, rtol=1e-6)


def test_no_anchor_gives_zero_and_zero_gradient(anchors, memory):
    x, labels, views = anchors
    loss, grad = jax.value_and_grad(
        lambda x: contrast(x, jnp.full_like(labels, -1), views, memory).loss
    )(x)
    assert loss == 0 and not np.any(grad)


def test_one_class_alone_gives_zero_and_a_finite_gradient(anchors):
    memory = Memory(queue(np.ones((1, 2, 6))), queue(np.ones((1, 3, 6))))
    x, labels, views = anchors
    loss, grad = jax.value_and_grad(
        lambda x: contrast(x, jnp.zeros_like(labels), views, memory).loss
    )(x)
    assert loss == 0 and not np.any(grad)


def test_picks_are_the_first_positions_of_the_map():
    labels = jnp.array([[[2, 9, 1, 1], [2, 2, 0, 255]]])
    priority = jnp.array([[[0.3, 0.1, 0.2, 0.0], [0.0, 0.0, 0.0, 0.0]]])
    picks = official.pick_pixels(labels, priority, num_classes=4, num_picks=2)
    # Of class 1 with two pixels a permutation of 0, 1; of class 2 two of 0, 1, 2.
    np.testing.assert_array_equal(picks, [[[-1, -1], [1, 0], [1, 2], [-1, -1]]])


def test_every_order_of_picks_is_as_likely():
    labels = jnp.full((3_000, 1, 3), 1)
    priority = jax.random.uniform(jax.random.key(0), labels.shape)
    picks = official.pick_pixels(labels, priority, num_classes=2, num_picks=3)[:, 1]
    _, counts = np.unique(np.asarray(picks), axis=0, return_counts=True)
    assert len(counts) == 6 and np.all(np.abs(counts - 500) < 100)  # 5 sigma


def update_by_loops(memory, embeddings, labels, picks):
    region, pixel = (
        [np.array(values) for values in (queue.values, queue.pointer)]
        for queue in (memory.region, memory.pixel)
    )
    for x, of_pixel, of_image in zip(embeddings, labels, picks, strict=True):
        x, of_pixel = x.reshape(-1, x.shape[-1]), of_pixel.ravel()
        for c in range(1, len(of_image)):
            chosen = x[of_image[c][of_image[c] >= 0]]
            if not np.any(of_pixel == c):
                continue
            mean = x[of_pixel == c].mean(axis=0)
            region[0][c, region[1][c]] = mean / np.linalg.norm(mean)
            region[1][c] = (region[1][c] + 1) % region[0].shape[1]
            if pixel[1][c] + len(chosen) >= pixel[0].shape[1]:
                pixel[0][c, -len(chosen) :] = chosen
                pixel[1][c] = 0
            else:
                pixel[0][c, pixel[1][c] :][: len(chosen)] = chosen
                pixel[1][c] += 1
    return *region, *pixel


@pytest.mark.parametrize("pointer", [0, 3, 6])
def test_update_equals_loops(pointer):
    rng = np.random.default_rng(pointer)
    memory = Memory(
        region=queue(random_unit(rng, 5, 4, 6), [pointer % 4] * 5),
        pixel=queue(random_unit(rng, 5, 7, 6), [pointer] * 5),
    )
    embeddings = np.asarray(random_unit(rng, 6, 3, 4, 6))
    labels = rng.integers(-1, 6, (6, 3, 4))
    picks = official.pick_pixels(
        jnp.asarray(labels), rng.random((6, 3, 4)), num_classes=5, num_picks=3
    )
    after = update(memory, embeddings, labels, picks)
    ours = [(q.values, q.pointer) for q in (after.region, after.pixel)]
    expected = update_by_loops(memory, embeddings, labels, np.asarray(picks))
    for array, other in zip(sum(ours, ()), expected, strict=True):
        np.testing.assert_allclose(array, other, atol=1e-6)
    assert not np.array_equal(after.pixel.values[1], memory.pixel.values[1])


def test_class_zero_is_never_written(memory):
    embeddings = random_unit(np.random.default_rng(0), 2, 2, 2, 6)
    picks = jnp.zeros((2, 4, 1), jnp.int32).at[:, 1:].set(-1)
    after = update(memory, embeddings, jnp.zeros((2, 2, 2), int), picks)
    jax.tree.map(np.testing.assert_array_equal, after, memory)


def test_the_pixel_pointer_moves_by_one_and_the_next_image_overwrites():
    memory = Memory(queue(np.zeros((2, 4, 1))), queue(np.zeros((2, 4, 1))))
    embeddings = np.arange(1.0, 5.0).reshape(2, 2, 1, 1)  # 1, 2 and then 3, 4
    labels, picks = np.ones((2, 2, 1), int), np.array([[[-1, -1], [0, 1]]] * 2)
    after = update(memory, jnp.asarray(embeddings), labels, picks)
    np.testing.assert_array_equal(after.pixel.values[1, :, 0], [1, 3, 4, 0])
    assert after.pixel.pointer[1] == 2
    # Now two more would end at the last slot: written there, and from the start again.
    after = update(after, jnp.asarray(embeddings[:1]), labels[:1], picks[:1])
    np.testing.assert_array_equal(after.pixel.values[1, :, 0], [1, 3, 1, 2])
    assert after.pixel.pointer[1] == 0


def test_of_more_picks_than_slots_the_last_are_written():
    memory = Memory(queue(np.zeros((2, 2, 1))), queue(np.zeros((2, 2, 1))))
    embeddings = jnp.arange(1.0, 4.0).reshape(1, 3, 1, 1)
    picks = np.array([[[-1, -1, -1], [0, 1, 2]]])
    after = update(memory, embeddings, np.ones((1, 3, 1), int), picks)
    np.testing.assert_array_equal(after.pixel.values[1, :, 0], [2, 3])


@pytest.mark.slow
def test_jit_equals_eager(anchors, memory):
    eager = official.contrast(*anchors, memory, **TEMPERATURES)
    close = functools.partial(np.testing.assert_allclose, rtol=1e-5)
    jax.tree.map(close, contrast(*anchors, memory), eager)


def test_a_random_memory_is_full_of_unit_vectors():
    memory = official.random_memory(
        jax.random.key(0), 3, region_size=4, pixel_size=5, dim=8, dtype="bfloat16"
    )
    for queue, length in ((memory.region, 4), (memory.pixel, 5)):
        assert queue.values.shape == (3, length, 8)
        assert queue.values.dtype == jnp.bfloat16
        norms = np.linalg.norm(np.asarray(queue.values, np.float32), axis=-1)
        np.testing.assert_allclose(norms, 1, atol=1e-2)
        np.testing.assert_array_equal(queue.fill, length)
        np.testing.assert_array_equal(queue.pointer, 0)
    assert not np.array_equal(memory.region.values, memory.pixel.values[:, :4])
