import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.memory import queue as queues


def reference_push(values, pointer, fill, keys, valid):
    """One key after the other, as one would by hand."""
    values, pointer, fill = values.copy(), pointer.copy(), fill.copy()
    length = values.shape[1]
    for c in range(len(values)):
        for key, is_there in zip(keys[c], valid[c], strict=True):
            if is_there:
                values[c, pointer[c]] = key
                pointer[c] = (pointer[c] + 1) % length
                fill[c] = min(fill[c] + 1, length)
    return values, pointer, fill


def random_queue(rng, num_classes, length, dim):
    fill = rng.integers(0, length + 1, num_classes)
    pointer = np.where(fill < length, fill, rng.integers(0, length, num_classes))
    return queues.Queue(
        values=jnp.asarray(rng.normal(size=(num_classes, length, dim)), jnp.float32),
        pointer=jnp.asarray(pointer % length, jnp.int32),
        fill=jnp.asarray(fill, jnp.int32),
    )


@pytest.mark.parametrize("num_keys", [1, 3, 7, 20])
@pytest.mark.parametrize("length", [1, 7])
def test_equals_appending_one_by_one(length, num_keys):
    rng = np.random.default_rng(num_keys)
    queue = random_queue(rng, 4, length, 2)
    keys = rng.normal(size=(4, num_keys, 2)).astype(np.float32)
    valid = rng.random((4, num_keys)) < 0.7
    wanted = reference_push(
        *(np.asarray(leaf) for leaf in (queue.values, queue.pointer, queue.fill)),
        keys,
        valid,
    )
    after = jax.jit(queues.push)(queue, jnp.asarray(keys), jnp.asarray(valid))
    for ours, theirs in zip(
        (after.values, after.pointer, after.fill), wanted, strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_nothing_valid_changes_nothing():
    queue = random_queue(np.random.default_rng(0), 3, 5, 2)
    after = queues.push(queue, jnp.ones((3, 4, 2)), jnp.zeros((3, 4), bool))
    jax.tree.map(np.testing.assert_array_equal, queue, after)


def test_filled_counts_the_written_slots_in_their_order():
    queue = queues.empty(2, 4, 3)
    valid = jnp.asarray([[True, False, True], [False, False, False]])
    queue = queues.push(queue, jnp.ones((2, 3, 3)), valid)
    wanted = [[True, True, False, False], [False] * 4]
    np.testing.assert_array_equal(queues.filled(queue), wanted)


def test_entries_are_stored_in_the_queues_dtype():
    queue = queues.empty(1, 2, 1, "bfloat16")
    queue = queues.push(queue, jnp.full((1, 1, 1), 1 / 3), jnp.ones((1, 1), bool))
    assert queue.values.dtype == jnp.bfloat16
    assert queue.values[0, 0, 0] == jnp.bfloat16(1 / 3)


def test_shapes_that_do_not_go_together_are_named():
    with pytest.raises(ValueError, match=r"\(2, 3, 5\).*\(2, 4, 3\)"):
        queues.push(queues.empty(2, 4, 3), jnp.ones((2, 3, 5)), jnp.ones((2, 3), bool))
