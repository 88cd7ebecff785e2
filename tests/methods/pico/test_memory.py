import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg import sharding
from jaxseg.memory import queue as queues
from jaxseg.methods.pico import memory as memories
from jaxseg.methods.pico import sampling
from jaxseg.methods.pico.memory import Memory

NUM_CLASSES = 5
COLLECTIVE = re.compile(
    r"= (.+?) (?:all-|reduce-scatter|collective-)\S*\("  # the shapes that it gives
)


def random_batch(seed, *, shape=(8, 6, 7), dim=4, num_picks=3):
    """Unit embeddings, labels with ids outside and absent classes, and picks."""
    rng = np.random.default_rng(seed)
    embeddings = rng.normal(size=(*shape, dim))
    embeddings /= np.linalg.norm(embeddings, axis=-1, keepdims=True)
    labels = rng.integers(-1, NUM_CLASSES + 1, shape)
    labels[labels == seed % NUM_CLASSES] = 255  # absent from the batch
    labels[1, rng.random(shape[1:]) < 0.9] = 1  # most others absent from an image
    labels[2] = -1
    priority = sampling.draw_priority(jax.random.key(seed), shape)
    options = dict(num_classes=NUM_CLASSES, num_picks=num_picks)
    picks = sampling.pick_pixels(jnp.asarray(labels), priority, **options)
    return embeddings.astype(np.float32), labels.astype(np.int32), np.asarray(picks)


def empty(*, region_size=11, pixel_size=17, dim=4, dtype="float32"):
    sizes = dict(region_size=region_size, pixel_size=pixel_size, dim=dim)
    return memories.empty(NUM_CLASSES, **sizes, dtype=dtype)


def append(queue, class_id, entry):
    """Writes one entry into a queue of NumPy arrays."""
    at = queue.pointer[class_id]
    queue.values[class_id, at] = entry
    queue.pointer[class_id] = (at + 1) % queue.values.shape[1]
    queue.fill[class_id] = min(queue.fill[class_id] + 1, queue.values.shape[1])


def reference(memory, embeddings, labels, picks):
    """Image by image, class by class."""
    memory = jax.tree.map(np.array, memory)
    for pixels, image_labels, image_picks in zip(
        embeddings.reshape(len(labels), -1, embeddings.shape[-1]),
        labels.reshape(len(labels), -1),
        picks,
        strict=True,
    ):
        for class_id in range(NUM_CLASSES):
            members = np.float64(pixels[image_labels == class_id])
            if len(members):
                mean = np.mean(members, axis=0)
                append(memory.region, class_id, mean / np.linalg.norm(mean))
            for pick in image_picks[class_id]:
                if pick >= 0:
                    append(memory.pixel, class_id, pixels[pick])
    return memory


def assert_same(ours, theirs, *, atol=1e-6):
    """Counts and pixels to the bit; means to rounding."""
    np.testing.assert_allclose(ours.region.values, theirs.region.values, atol=atol)
    np.testing.assert_array_equal(ours.pixel.values, theirs.pixel.values)
    for queue, expected in ((ours.region, theirs.region), (ours.pixel, theirs.pixel)):
        np.testing.assert_array_equal(queue.pointer, expected.pointer)
        np.testing.assert_array_equal(queue.fill, expected.fill)


# Never full; full after some batches; less than a batch brings; one slot.
@pytest.mark.parametrize("sizes", [(100, 300), (11, 17), (5, 7), (1, 1)])
def test_equals_appending_image_by_image(sizes):
    update = jax.jit(memories.update)
    ours = theirs = empty(region_size=sizes[0], pixel_size=sizes[1])
    for seed in range(4):
        batch = random_batch(seed)
        ours, theirs = update(ours, *batch), reference(theirs, *batch)
        assert_same(ours, theirs)
    assert (ours.pixel.fill.max() == sizes[1]) == (sizes[1] < 300)


def test_jit_equals_eager():
    batch = [jnp.asarray(array) for array in random_batch(0)]
    ours = jax.jit(memories.update)(empty(), *batch)
    assert_same(ours, memories.update(empty(), *batch))


def test_a_batch_without_labels_changes_nothing():
    before = reference(empty(), *random_batch(0))
    embeddings, labels, picks = random_batch(1)
    nothing = np.full_like(labels, 255), np.full_like(picks, -1)
    after = jax.jit(memories.update)(before, embeddings, *nothing)
    jax.tree.map(np.testing.assert_array_equal, after, before)


def test_entries_are_in_the_order_of_the_images():
    """Every image has one class and one direction of its own."""
    embeddings = np.broadcast_to(
        np.eye(4, dtype=np.float32)[:, None, None], (4, 1, 2, 4)
    )
    labels = np.full((4, 1, 2), 3)
    picks = np.full((4, NUM_CLASSES, 2), -1)
    picks[:, 3] = 0, 1
    after = memories.update(empty(), jnp.asarray(embeddings), labels, picks)
    np.testing.assert_array_equal(after.region.values[3, :4], np.eye(4))
    np.testing.assert_array_equal(
        after.pixel.values[3, :8], np.eye(4).repeat(2, axis=0)
    )
    np.testing.assert_array_equal(after.pixel.fill, [0, 0, 0, 8, 0])


def test_region_means_equal_a_loop():
    embeddings, labels, _ = random_batch(3)
    pixels, labels = embeddings.reshape(8, -1, 4), labels.reshape(8, -1)
    means, present = memories.region_means(pixels, labels, NUM_CLASSES)
    for b, c in np.ndindex(8, NUM_CLASSES):
        members = np.float64(pixels[b, labels[b] == c])
        assert present[b, c] == (len(members) > 0)
        mean = np.sum(members, axis=0)
        expected = mean / max(np.linalg.norm(mean), 1e-12)
        np.testing.assert_allclose(means[b, c], expected, atol=1e-6)


def test_opposite_pixels_have_the_mean_zero():
    pixels = jnp.asarray([[[0.6, 0.8], [-0.6, -0.8]]])
    means, present = memories.region_means(pixels, jnp.asarray([[0, 0]]), 1)
    assert not np.any(means) and present[0, 0]


def test_means_of_bfloat16_pixels_are_summed_in_float32():
    pixels = jnp.ones((1, 1000, 2), jnp.bfloat16) * jnp.asarray(
        [1, 1 / 256], jnp.bfloat16
    )
    means, _ = memories.region_means(pixels, jnp.zeros((1, 1000), jnp.int32), 1)
    assert means.dtype == jnp.float32
    np.testing.assert_allclose(means[0, 0, 1] / means[0, 0, 0], 1 / 256, rtol=1e-6)


def test_embeddings_get_no_gradient():
    embeddings, labels, picks = random_batch(0)

    def total(embeddings):
        after = memories.update(empty(), embeddings, labels, picks)
        return jnp.sum(after.region.values) + jnp.sum(after.pixel.values)

    assert not np.any(jax.jit(jax.grad(total))(embeddings))


def test_a_bfloat16_memory_holds_the_rounded_entries():
    batch = random_batch(0)
    exact = jax.jit(memories.update)(empty(), *batch)
    rounded = jax.jit(memories.update)(empty(dtype="bfloat16"), *batch)
    expected = exact.pixel.values.astype(jnp.bfloat16)
    np.testing.assert_array_equal(rounded.pixel.values, expected)
    expected = exact.region.values.astype(jnp.bfloat16)
    np.testing.assert_array_equal(rounded.region.values, expected)


def test_the_share_of_filled_slots_counts_both_queues():
    region, pixel = queues.empty(2, 4, 3), queues.empty(2, 6, 3)
    memory = Memory(
        region=region.replace(fill=jnp.asarray([4, 1])),
        pixel=pixel.replace(fill=jnp.asarray([0, 2])),
    )
    np.testing.assert_allclose(memories.fill(memory), 7 / 20)
    assert [filled.sum() for _, filled in memories.banks(memory)] == [5, 2]


def test_a_ring_without_slots_stores_nothing_and_is_not_read():
    memory = empty(region_size=0)
    after = jax.jit(memories.update)(memory, *random_batch(0))
    assert memory.region is after.region is None
    [(values, filled)] = memories.banks(after)
    np.testing.assert_array_equal(values, after.pixel.values)
    np.testing.assert_allclose(memories.fill(after), np.mean(filled), rtol=1e-6)


def compile_on(num_devices, memory, batch):
    """The update with a split batch and a donated memory, as the trainer compiles."""
    mesh = sharding.make_mesh(num_devices)
    whole, split = sharding.replicated(mesh), sharding.batched(mesh)
    step = jax.jit(
        memories.update,
        in_shardings=(whole, split, split, split),
        out_shardings=whole,
        donate_argnums=0,
    )
    with jax.set_mesh(mesh):
        return step.lower(memory, *batch).compile()


@pytest.mark.parametrize("num_devices", [1, 2, 4, 8])
def test_any_number_of_devices_remembers_the_same_bits(num_devices):
    # With so many dimensions the order of a sum may depend on the number of images.
    batches = [random_batch(seed, dim=128) for seed in range(3)]
    ours = theirs = jax.tree.map(np.asarray, empty(dim=128))
    update, plain = compile_on(num_devices, ours, batches[0]), jax.jit(memories.update)
    for batch in batches:
        ours, theirs = update(ours, *batch), plain(theirs, *batch)
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)
    assert ours.pixel.values.sharding.is_fully_replicated


def test_only_what_is_appended_travels_between_devices():
    batch = random_batch(0, shape=(8, 16, 16), dim=32)
    memory = empty(region_size=500, pixel_size=1000, dim=32)
    compiled = compile_on(8, memory, batch)
    shapes = COLLECTIVE.findall(compiled.as_text())
    sizes = [
        math.prod(int(length) for length in dimensions.split(",") if length)
        for shape in shapes
        for dimensions in re.findall(r"\w+\[([\d,]*)\]", shape)
    ]
    entries = 8 * NUM_CLASSES * 32 * np.asarray([1, 3])  # means, pixels
    assert max(sizes) == max(entries) and sum(sizes) < 1.1 * sum(entries)


def test_a_donated_memory_is_updated_in_place():
    batch = random_batch(0, shape=(8, 16, 16), dim=32)
    memory = empty(region_size=500, pixel_size=1000, dim=32)
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(memory))
    compiled = compile_on(8, memory, batch)
    use = compiled.memory_analysis()
    assert use.alias_size_in_bytes == size  # the output is where the input was
    assert use.temp_size_in_bytes < size / 4  # and there is no copy beside it
