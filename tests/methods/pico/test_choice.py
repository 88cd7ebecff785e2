import jax
import jax.numpy as jnp
import numpy as np

from jaxseg.methods.pico import choice
from tests.methods.pico.test_chosen import random_inputs


def test_columns_are_filled_slots_of_all_banks_without_repetition():
    _, _, banks = random_inputs()
    columns = choice.draw_columns(jax.random.key(0), banks, 4 * 12)
    assert columns.values.shape == (4, 12, 6)
    filled = np.concatenate([there for _, there in banks], axis=1)
    count = np.minimum(filled.sum(axis=1), 12)
    np.testing.assert_array_equal(np.sum(columns.filled, axis=1), count)
    for class_id in range(4):
        stored = [np.asarray(v)[class_id][np.asarray(t)[class_id]] for v, t in banks]
        stored = {tuple(row) for rows in stored for row in rows}
        drawn = np.asarray(columns.values)[class_id, : count[class_id]]
        drawn_set = {tuple(row) for row in drawn}
        assert len(drawn_set) == len(drawn) and drawn_set <= stored


def test_columns_are_drawn_uniformly():
    values = jnp.arange(20.0).reshape(1, 20, 1)
    filled = jnp.arange(20)[None] % 2 == 0
    keys = jax.random.split(jax.random.key(0), 5_000)
    draw = jax.jit(jax.vmap(lambda k: choice.draw_columns(k, [(values, filled)], 4)))
    drawn = np.asarray(draw(keys).values, np.int32).ravel()
    counts = np.bincount(drawn, minlength=20)
    assert not counts[1::2].any()
    assert np.sum((counts[::2] - 2_000) ** 2 / 2_000) < 27.9  # 0.999 of 9 degrees


def test_enough_columns_are_the_whole_bank():
    _, _, banks = random_inputs()
    whole = choice.draw_columns(jax.random.key(0), banks, 0)
    for number in (4 * 39, 1_000):
        some = choice.draw_columns(jax.random.key(0), banks, number)
        jax.tree.map(np.testing.assert_array_equal, some, whole)


def test_squared_lengths_are_of_the_numbers_that_the_bank_has():
    _, _, banks = random_inputs()
    banks = [(values.astype(jnp.bfloat16), filled) for values, filled in banks]
    columns = choice.draw_columns(jax.random.key(0), banks, 4 * 12)
    expected = np.sum(np.float32(columns.values) ** 2, axis=-1)
    np.testing.assert_allclose(columns.squares, expected, rtol=1e-5)
    assert np.abs(expected[np.asarray(columns.filled)] - 1).max() > 1e-4
