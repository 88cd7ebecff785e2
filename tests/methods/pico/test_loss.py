import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.memory import queue as queues
from jaxseg.methods.pico.loss import none, pixel_contrast
from tests.methods.pico.vectors import unit

TEMPERATURES = dict(temperature=0.5, base_temperature=0.25)
SETS = pytest.mark.parametrize("contrast_set", ["batch", "memory", "both"])


def random_anchors(*, scale=1.0):
    """[2, 9, 3] of classes [2, 9], of which some are -1 and the 3 is there once."""
    rng = np.random.default_rng(0)
    labels = rng.integers(-1, 3, (2, 9))
    labels[:, 4] = 3, 0
    anchors = scale * unit(rng.normal(size=(2, 9, 3)))
    return jnp.asarray(anchors, jnp.float32), jnp.asarray(labels, jnp.int32)


def random_banks(*, scale=1.0, dtype="float32"):
    """Two banks of four classes, partly filled; no region of class 2, no pixel of 3."""
    rng = np.random.default_rng(1)
    banks = []
    for length, fill in ((3, [3, 1, 0, 2]), (5, [2, 5, 4, 0])):
        values = jnp.asarray(scale * unit(rng.normal(size=(4, length, 3))), dtype)
        filled = np.arange(length) < np.asarray(fill)[:, None]
        banks.append((values, jnp.asarray(filled)))
    return tuple(banks)


def examples(contrast_set, **options):
    """The arguments of `pixel_contrast` that say what anchors are compared with."""
    banks = () if contrast_set == "batch" else random_banks(**options)
    return dict(banks=banks, with_batch=contrast_set != "memory")


def reference(anchors, labels, banks=(), with_batch=True, images=None):
    """One pair after the other, in float64, as a dictionary of the results."""
    images = np.zeros_like(labels) if images is None else images
    temperature = TEMPERATURES["temperature"]
    remembered = [
        (class_id, np.float64(values[class_id, slot]))
        for values, filled in banks
        for class_id, slot in zip(*np.nonzero(filled), strict=True)
    ]
    means, cosines, tops = [], [], []
    for x, y, image in zip(
        np.float64(anchors), np.asarray(labels), images, strict=True
    ):
        losses, counting = [], np.nonzero(y >= 0)[0]
        for i in counting:
            seen = [j for j in counting if with_batch and image[j] == image[i]]
            others = [(y[j], x[j]) for j in seen if j != i]
            compared = [(class_id, x[i] @ v) for class_id, v in others + remembered]
            own = np.asarray([s for class_id, s in compared if class_id == y[i]])
            other = np.asarray([s for class_id, s in compared if class_id != y[i]])
            if len(own):
                denominator = np.logaddexp.reduce(other / temperature)  # without e^s
                pairs = np.logaddexp(0, denominator - own / temperature)
                losses.append(np.mean(pairs))
                cosines.append(np.mean(own))
                tops.extend([np.max(other)] if len(other) else [])
        means.extend([np.mean(losses)] if losses else [])
    return dict(
        loss=temperature / TEMPERATURES["base_temperature"] * np.mean(means),
        num_anchors=len(cosines),
        positive_similarity=np.mean(cosines),
        hardest_negative_similarity=np.mean(tops),
    )


def assert_equals_reference(anchors, labels, compared, rtol=1e-5):
    found = contrast(anchors, labels, **compared)
    for name, expected in reference(anchors, labels, **compared).items():
        np.testing.assert_allclose(getattr(found, name), expected, rtol, err_msg=name)


@functools.partial(jax.jit, static_argnames="with_batch")
def contrast(anchors, labels, banks=(), with_batch=True, images=None):
    compared = dict(with_batch=with_batch, images=images)
    return pixel_contrast(anchors, labels, banks, **compared, **TEMPERATURES)


@functools.partial(jax.jit, static_argnames="with_batch")
def value_and_gradient(anchors, labels, **compared):
    def loss(anchors):
        return contrast(anchors, labels, **compared).loss

    return jax.value_and_grad(loss)(anchors)


@SETS
def test_equals_a_loop_over_all_pairs(contrast_set):
    assert_equals_reference(*random_anchors(), examples(contrast_set))


IMAGES = jnp.asarray([[0, 0, 1, 0, 1, 1, 2, 2, 0], [3, 3, 3, 4, 3, 3, 4, 4, 4]])


@SETS
def test_within_images_it_equals_a_loop_over_the_pairs_of_each(contrast_set):
    compared = examples(contrast_set) | dict(images=IMAGES)
    assert_equals_reference(*random_anchors(), compared)


def test_within_images_anchors_of_other_images_get_no_gradient():
    anchors, labels = random_anchors()
    image_3 = (IMAGES == 3)[:, :, None]

    def loss(anchors):
        # All labels but those of one image are of no class.
        only = jnp.where(image_3[..., 0], labels, -1)
        return contrast(anchors, only, images=IMAGES).loss

    def both(anchors):
        return contrast(anchors[1:], labels[1:], images=IMAGES[1:]).loss

    alone, together = (jax.jit(jax.grad(f))(anchors) for f in (loss, both))
    assert np.any(alone[1]) and not np.any(jnp.where(image_3, 0, alone))
    # The mean is over more anchors; each image's own part keeps its direction.
    ours, theirs = (x[1][image_3[1, :, 0]] for x in (alone, together))
    scale = np.sum(ours * theirs) / np.sum(ours * ours)
    np.testing.assert_allclose(theirs, scale * ours, atol=1e-6)


def test_one_image_for_all_changes_nothing():
    alone = contrast(*random_anchors())
    same = contrast(*random_anchors(), images=jnp.full((2, 9), 7))
    jax.tree.map(np.testing.assert_array_equal, alone, same)


@SETS
def test_equals_a_loop_where_exponentials_would_overflow(contrast_set):
    compared = examples(contrast_set, scale=30)
    assert_equals_reference(*random_anchors(scale=30), compared, rtol=1e-4)


def test_one_bank_in_bfloat16_equals_a_loop_over_rounded_numbers():
    anchors, labels = random_anchors()
    rounded = anchors.astype(jnp.bfloat16).astype(jnp.float32)
    compared = dict(banks=random_banks(dtype="bfloat16")[1:], with_batch=True)
    assert_equals_reference(rounded, labels, compared)


@SETS
def test_the_gradient_agrees_with_differences_of_the_loop(contrast_set):
    anchors, labels = (array[:1] for array in random_anchors())
    compared = examples(contrast_set)
    _, gradient = value_and_gradient(anchors, labels, **compared)
    differences = np.zeros(anchors.shape)
    for at in np.ndindex(anchors.shape):
        step = np.zeros(anchors.shape)
        step[at] = 1e-5
        above, below = np.float64(anchors) + step, np.float64(anchors) - step
        above, below = (reference(x, labels, **compared) for x in (above, below))
        differences[at] = (above["loss"] - below["loss"]) / 2e-5
    np.testing.assert_allclose(gradient, differences, atol=1e-5)


def test_two_anchors_and_a_negative_by_hand():
    anchors = jnp.asarray([[[1.0, 0.0], [0.6, 0.8]]])
    bank = jnp.asarray([[[0.0, 0.0]], [[0.0, 1.0]]]), jnp.asarray([[False], [True]])
    found = pixel_contrast(
        anchors, jnp.zeros((1, 2), jnp.int32), (bank,), **TEMPERATURES
    )
    # Cosines 0.6 with each other, 0 and 0.8 with the negative; temperature 1/2.
    losses = math.log(1 + math.exp(0 - 1.2)), math.log(1 + math.exp(1.6 - 1.2))
    np.testing.assert_allclose(found.loss, 2 * sum(losses) / 2, rtol=1e-6)
    assert found.num_anchors == 2
    np.testing.assert_allclose(found.positive_similarity, 0.6, rtol=1e-6)
    np.testing.assert_allclose(found.hardest_negative_similarity, 0.4, rtol=1e-6)


@SETS
def test_jit_equals_eager(contrast_set):
    compared = examples(contrast_set)
    compiled = contrast(*random_anchors(), **compared)
    eager = pixel_contrast(*random_anchors(), **compared, **TEMPERATURES)
    for ours, theirs in zip(
        jax.tree.leaves(eager), jax.tree.leaves(compiled), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_a_group_without_an_anchor_that_counts_leaves_the_mean():
    anchors, labels = random_anchors()
    alone, _ = value_and_gradient(anchors[:1], labels[:1])
    lonely = jnp.full(9, -1).at[3].set(2)
    both, _ = value_and_gradient(anchors, jnp.stack([labels[0], lonely]))
    np.testing.assert_allclose(both, alone, rtol=1e-6)


@SETS
def test_groups_do_not_see_each_other(contrast_set):
    anchors, labels = random_anchors()
    compared = examples(contrast_set)
    each = [
        value_and_gradient(anchors[g : g + 1], labels[g : g + 1], **compared)[0]
        for g in range(2)
    ]
    together, _ = value_and_gradient(anchors, labels, **compared)
    np.testing.assert_allclose(together, np.mean(each), rtol=1e-6)


def test_an_anchor_without_positives_is_only_a_negative():
    anchors, labels = random_anchors()
    assert np.sum(labels[0] == 3) == 1  # the only one of its class
    others = labels[:1].at[0, 4].set(-1)
    without = contrast(anchors[:1], others)
    with_it = contrast(anchors[:1], labels[:1])
    assert with_it.num_anchors == without.num_anchors
    assert with_it.loss > without.loss
    assert with_it.positive_similarity == without.positive_similarity


def test_an_anchor_without_positives_in_the_memory_gets_no_gradient():
    anchors, labels = random_anchors()
    banks = random_banks()[1:]  # without an entry of class 3
    _, gradient = value_and_gradient(anchors, labels, banks=banks, with_batch=False)
    is_moved = np.any(np.asarray(gradient) != 0, axis=-1)
    np.testing.assert_array_equal(is_moved, (labels >= 0) & (labels < 3))


@SETS
def test_without_negatives_the_loss_and_its_gradient_are_zero(contrast_set):
    anchors, _ = random_anchors()
    compared = examples(contrast_set)
    only = jnp.asarray([True, False, False, False])[:, None]
    compared["banks"] = [
        (values, filled & only) for values, filled in compared["banks"]
    ]
    labels = jnp.zeros((2, 9), jnp.int32)
    loss, gradient = value_and_gradient(anchors, labels, **compared)
    assert loss == 0 and not np.any(gradient)
    found = contrast(anchors, labels, **compared)
    assert found.num_anchors == 18 and found.hardest_negative_similarity == 0


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("nothing", ["anchors", "banks"])
def test_with_nothing_to_compare_the_loss_and_its_gradient_are_zero(nothing, dtype):
    anchors, labels = random_anchors()
    anchors, banks = anchors.astype(dtype), random_banks(dtype=dtype)
    if nothing == "anchors":
        labels = jnp.full_like(labels, -1)
    else:
        banks = [(values, jnp.zeros_like(filled)) for values, filled in banks]
    compared = dict(banks=banks, with_batch=nothing == "anchors")
    loss, gradient = value_and_gradient(anchors, labels, **compared)
    assert gradient.dtype == dtype and loss == 0 and not np.any(gradient)
    found = contrast(anchors, labels, **compared)
    jax.tree.map(np.testing.assert_array_equal, found, none())


def test_beside_the_batch_an_empty_memory_changes_nothing():
    banks = [(values, jnp.zeros_like(filled)) for values, filled in random_banks()]
    alone = value_and_gradient(*random_anchors())
    beside = value_and_gradient(*random_anchors(), banks=banks)
    for ours, theirs in zip(alone, beside, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-7)


def test_joining_the_banks_to_one_changes_nothing():
    banks = random_banks()
    joined = [tuple(jnp.concatenate(both, axis=1) for both in zip(*banks, strict=True))]
    apart = value_and_gradient(*random_anchors(), banks=banks)
    together = value_and_gradient(*random_anchors(), banks=joined)
    for ours, theirs in zip(apart, together, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


@SETS
def test_permuting_classes_or_anchors_changes_nothing(contrast_set):
    anchors, labels = random_anchors()
    compared = examples(contrast_set)
    expected, _ = value_and_gradient(anchors, labels, **compared)
    order, new_ids = (
        np.random.default_rng(2).permutation(9),
        np.asarray([2, 0, 3, 1, -1]),
    )
    old_ids = np.argsort(new_ids[:4])
    compared["banks"] = [
        (values[old_ids], filled[old_ids]) for values, filled in compared["banks"]
    ]
    labels = jnp.asarray(new_ids[labels])
    found, _ = value_and_gradient(anchors[:, order], labels[:, order], **compared)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_base_temperature_only_scales():
    anchors, labels = random_anchors()
    ours = pixel_contrast(anchors, labels, temperature=0.1, base_temperature=0.07)
    paper = pixel_contrast(anchors, labels, temperature=0.1, base_temperature=0.1)
    np.testing.assert_allclose(ours.loss, paper.loss / 0.7, rtol=1e-6)
    assert ours.positive_similarity == paper.positive_similarity


def test_pixels_that_are_no_anchors_get_no_gradient():
    embeddings = jnp.asarray(unit(np.random.default_rng(3).normal(size=(1, 30, 3))))
    positions = jnp.asarray([[4, 9, 17, 25, 0, 0]])  # the last two slots are empty
    labels = jnp.asarray([[0, 0, 1, 1, -1, -1]])

    def loss(embeddings):
        anchors = jnp.take_along_axis(embeddings, positions[..., None], axis=1)
        return contrast(anchors, labels, random_banks()).loss

    gradient = np.asarray(jax.jit(jax.grad(loss))(embeddings))[0]
    np.testing.assert_array_equal(
        np.nonzero(np.any(gradient, axis=1))[0], [4, 9, 17, 25]
    )


def test_banks_are_constants_for_the_gradient():
    (regions, there), pixels = random_banks()

    def loss(values):
        banks = ((values, there), pixels)
        return contrast(*random_anchors(), banks).loss

    assert not np.any(jax.jit(jax.grad(loss))(regions))


@pytest.mark.parametrize("with_memory", [False, True])
def test_classes_gather_and_part_within_fifty_steps(with_memory):
    labels = jnp.repeat(jnp.arange(2), 32)
    free = jax.random.normal(jax.random.key(0), (64, 16))
    own = (labels[:, None] == labels) & ~np.eye(64, dtype=bool)

    def embed(free):
        return free / jnp.linalg.norm(free, axis=-1, keepdims=True)

    def loss(free, queue):
        banks = [(queue.values, queues.filled(queue))] if with_memory else []
        x = embed(free)
        found = contrast(x[None], labels[None], banks)
        return found.loss, queues.push(
            queue, x.reshape(2, 32, 16), np.ones((2, 32), bool)
        )

    @jax.jit
    def step(free, queue):
        gradient, queue = jax.grad(loss, has_aux=True)(free, queue)
        return free - 5 * gradient, queue

    def similarities(free):
        cosines = np.asarray(embed(free) @ embed(free).T)
        return np.mean(cosines[own]), np.mean(cosines[labels[:, None] != labels])

    within, between = similarities(free)
    queue = queues.empty(2, 50, 16)
    for _ in range(50):
        free, queue = step(free, queue)
    new_within, new_between = similarities(free)
    assert new_within > within + 0.2 and new_between < between - 0.1
