import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg import sharding
from jaxseg.config import ConfigError


def test_the_mesh_takes_the_devices_asked_for():
    assert sharding.make_mesh().size == 8
    assert sharding.make_mesh(2).size == 2
    with pytest.raises(ConfigError, match="num_devices is 9, but there are 8"):
        sharding.make_mesh(9)


def test_rules_place_what_they_match_and_the_rest_is_replicated():
    mesh = sharding.make_mesh()
    state = {"memory": {"values": jnp.zeros((3, 16))}, "step": jnp.zeros(())}
    placed = sharding.place_state(state, mesh, [("memory/values", (None, "data"))])
    values = jax.device_put(state["memory"]["values"], placed["memory"]["values"])
    assert values.addressable_shards[0].data.shape == (3, 2)
    assert placed["step"].is_fully_replicated


def test_a_rule_that_does_not_fit_says_so():
    mesh = sharding.make_mesh()
    state = {"values": jnp.zeros((19, 4))}
    with pytest.raises(ConfigError, match=r"values of shape \(19, 4\)"):
        sharding.place_state(state, mesh, [("values", ("data",))])


@pytest.mark.parametrize(
    ("length", "advice"),
    [(2975, "in place of 2975 use 2976 or 2968"), (5, "in place of 5 use 8$")],
)
def test_a_length_that_does_not_divide_names_the_nearest_that_do(length, advice):
    state = {"values": jax.ShapeDtypeStruct((19, length, 4), jnp.float32)}
    with pytest.raises(ConfigError, match=advice):
        sharding.place_state(state, sharding.make_mesh(), [("values", (None, "data"))])


def test_more_axes_than_there_are_say_so():
    with pytest.raises(ConfigError, match=r"shape \(16,\) has fewer axes"):
        rule = ("values", (None, "data"))
        sharding.place_state({"values": jnp.zeros(16)}, sharding.make_mesh(), [rule])


def test_a_rule_that_matches_nothing_says_so():
    with pytest.raises(ConfigError, match="no array of the state matches .'queue'"):
        sharding.place_state({"a": jnp.zeros(8)}, sharding.make_mesh(), [("queue", ())])


def test_an_uneven_batch_names_the_sizes_that_would_do():
    with pytest.raises(ConfigError, match="use 16 or 8"):
        sharding.check_batch_size(12, sharding.make_mesh(), key="batch_size")
    with pytest.raises(ConfigError, match="use 8, or fewer"):
        sharding.check_batch_size(4, sharding.make_mesh(), key="batch_size")


def test_prefetching_keeps_order_and_content_and_looks_two_ahead():
    mesh = sharding.make_mesh()
    taken = []

    def batches():
        for i in range(5):
            taken.append(i)
            yield {"image": np.full((8, 2), i, np.uint8)}

    stream = sharding.Prefetch(batches(), mesh)
    first = next(stream)
    assert taken == [0, 1, 2]
    assert first["image"].sharding == sharding.batched(mesh)
    assert [int(b["image"][0, 0]) for b in [first, *stream]] == [0, 1, 2, 3, 4]


def test_a_whole_array_is_placed_as_asked_and_cast():
    rows = sharding.batched(sharding.make_mesh())
    like = jax.ShapeDtypeStruct((8, 2), jnp.bfloat16, sharding=rows)
    value = np.arange(16, dtype=np.float32).reshape(8, 2)
    placed = sharding.put(value, like)
    assert placed.sharding == rows and placed.dtype == jnp.bfloat16
    np.testing.assert_array_equal(np.asarray(placed, np.float32), value)


def test_devices_of_a_process_lie_side_by_side():
    devices = sharding.make_mesh().devices.tolist()
    assert [d.id for d in devices] == sorted(d.id for d in jax.devices())


def test_a_process_by_itself_counts_by_itself():
    assert sharding.sum_of_processes(3) == 3


def nearest(rows, values, filled, over_slots):
    """The highest product of each row with an entry, and the sum of its products."""
    products = jnp.einsum("ad,cmd->acm", rows, values)
    top = jnp.max(jnp.where(filled, products, -9.0), axis=(1, 2))
    total = jnp.sum(jnp.where(filled, products, 0.0), axis=(1, 2))
    return over_slots.max(top), over_slots.sum(total)


@pytest.mark.parametrize("axes", [(), (None, "data")])
@pytest.mark.parametrize("num_rows", [8, 5])
def test_a_bank_is_read_alike_wherever_its_slots_are(axes, num_rows):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(num_rows, 3)).astype(np.float32)
    values = rng.normal(size=(2, 16, 3)).astype(np.float32)
    filled = np.arange(16) < np.asarray([[11], [4]])
    mesh = sharding.make_mesh()
    placed = sharding.place_state({"bank": values}, mesh, [("bank", axes)])["bank"]

    @jax.jit
    def read(rows, values, filled):
        return sharding.read_bank(nearest, (rows,), values, filled)

    with jax.set_mesh(mesh):
        found = read(rows, jax.device_put(values, placed), filled)
    products = np.where(filled, np.einsum("ad,cmd->acm", rows, values), np.nan)
    np.testing.assert_allclose(found[0], np.nanmax(products, axis=(1, 2)), rtol=1e-5)
    expected = np.nansum(products, axis=(1, 2))
    np.testing.assert_allclose(found[1], expected, rtol=1e-4, atol=1e-5)
