import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.methods.pico import examples

CASES = ["random", "ties", "few", "one class", "none"]


def random_inputs(case="random"):
    """Hardness, keys and candidates, [6, 45]."""
    rng = np.random.default_rng(0)
    hardness = rng.normal(size=(6, 45)).astype(np.float32)
    keys = rng.random((6, 45)).astype(np.float32)
    share = {"few": 0.1, "one class": 1.0, "none": 0.0}.get(case, 0.6)
    candidates = rng.random((6, 45)) < share
    if case == "ties":
        hardness, keys = np.round(hardness), np.round(keys, 1)
    return tuple(jnp.asarray(array) for array in (hardness, keys, candidates))


def padded(rows, size):
    rows = [list(row[:size]) + [-1] * (size - len(row[:size])) for row in rows]
    return np.asarray(rows, np.int32)


def by_hardness(hardness, candidates):
    """Slots of the candidates of every row, hardest first, then by slot."""
    return [
        sorted(np.flatnonzero(there), key=lambda slot, row=row: (-row[slot], slot))
        for row, there in zip(np.asarray(hardness), np.asarray(candidates), strict=True)
    ]


def by_key(keys, slots):
    return [
        sorted(chosen, key=lambda slot, row=row: (row[slot], slot))
        for row, chosen in zip(np.asarray(keys), slots, strict=True)
    ]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("size", [1, 8, 60])
def test_hardest_are_those_of_a_sorted_list(case, size):
    hardness, _, candidates = random_inputs(case)
    expected = padded(by_hardness(hardness, candidates), size)
    ours = examples.hardest(hardness, candidates, size)
    np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("size", [1, 8, 60])
def test_random_ones_have_the_smallest_keys(case, size):
    _, keys, candidates = random_inputs(case)
    slots = [np.flatnonzero(row) for row in np.asarray(candidates)]
    ours = examples.random(keys, candidates, size)
    np.testing.assert_array_equal(ours, padded(by_key(keys, slots), size))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("band", [(0, 0.1), (0, 1), (0.2, 0.5), (0.0, 0.3)])
def test_semi_hard_draws_inside_the_band(case, band):
    hardness, keys, candidates = random_inputs(case)
    inside = []
    for row in by_hardness(hardness, candidates):
        low, high = (math.ceil(share * len(row) - 1e-6) for share in band)
        inside.append(row[low:high])
    ours = examples.semi_hard(hardness, keys, candidates, 4, band=band)
    np.testing.assert_array_equal(ours, padded(by_key(keys, inside), 4))


def test_jit_equals_eager():
    inputs = random_inputs("ties")
    function = jax.jit(lambda *x: examples.semi_hard(*x, 5, band=(0, 0.5)))
    eager = examples.semi_hard(*inputs, 5, band=(0, 0.5))
    np.testing.assert_array_equal(function(*inputs), eager)


def test_a_tenth_is_not_rounded_up():
    counts = np.arange(0, 100_001, 10)
    for tenths in (1, 3, 7):
        sizes = examples.set_size(tenths / 10, counts, 100_000)
        np.testing.assert_array_equal(sizes, counts // 10 * tenths)


def test_a_part_of_an_example_is_a_whole_one():
    sizes = examples.set_size(0.1, jnp.asarray([0, 1, 9, 10, 11]), 11)
    np.testing.assert_array_equal(sizes, [0, 1, 1, 1, 2])


def test_draws_of_the_band_are_uniform():
    hardness = jnp.broadcast_to(jnp.arange(40.0), (4_000, 40))
    keys = jax.random.uniform(jax.random.key(0), hardness.shape)
    candidates = jnp.ones(hardness.shape, bool)
    slots = examples.semi_hard(hardness, keys, candidates, 3, band=(0, 0.25))
    counts = np.bincount(np.ravel(slots), minlength=40)
    assert not counts[:30].any()
    chi_square = np.sum((counts[30:] - 1_200) ** 2 / 1_200)
    assert chi_square < 27.9  # one in a thousand for nine degrees of freedom
