"""Features from words, against plain NumPy layers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg import sharding
from jaxseg.models.generator import Generator, synthesise

TABLE = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)
IDS = np.array([[0, 4, 255], [2, -1, 4]], np.int32)
LATENT = np.random.default_rng(1).normal(size=(2, 3, 4)).astype(np.float32)
GENERATOR = Generator(features=7, hidden=(9, 8), dropout=(0.25, 0.5))
KEY, OTHER = jax.random.key(3), jax.random.key(4)


def make_params(generator=GENERATOR):
    variables = generator.init(KEY, TABLE, IDS, LATENT, train=False)
    rng = np.random.default_rng(2)
    return jax.tree.map(
        lambda x: x + rng.normal(size=x.shape).astype(np.float32) / 10,
        variables["params"],
    )


PARAMS = make_params()


def multilayer(params, x):
    """The layers of [word vector, code] [N, E + Z] in float64, one after the other."""
    for index in range(len(params)):
        layer = params[f"layer_{index}"]
        if index:
            x = np.where(x > 0, x, 0.2 * x)
        x = x @ np.float64(layer["kernel"]) + np.float64(layer["bias"])
    return x


def plain():
    words = np.zeros((*IDS.shape, 6))
    for index in np.ndindex(IDS.shape):
        if 0 <= IDS[index] < len(TABLE):
            words[index] = TABLE[IDS[index]]
    return multilayer(PARAMS, np.concatenate([words, LATENT], axis=-1))


def test_it_is_a_network_of_word_vector_and_code_and_unknown_ids_have_no_words():
    found = GENERATOR.apply({"params": PARAMS}, TABLE, IDS, LATENT, train=False)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-plain())), atol=1e-5)


def test_a_linear_end_has_no_sigmoid():
    network = GENERATOR.copy(final="linear")
    found = network.apply({"params": PARAMS}, TABLE, IDS, LATENT, train=False)
    np.testing.assert_allclose(found, plain(), atol=1e-5)


def test_the_defaults_are_the_released_sizes():
    shapes = jax.eval_shape(
        lambda: Generator().init(
            KEY,
            jnp.zeros((20, 600)),
            jnp.zeros(2, int),
            jnp.zeros((2, 600)),
            train=False,
        )
    )
    assert sum(x.size for x in jax.tree.leaves(shapes)) == 4_720_088


def test_the_same_key_draws_the_same_and_another_does_not():
    first, again, other = (
        synthesise(GENERATOR, PARAMS, key, TABLE, IDS) for key in (KEY, KEY, OTHER)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.9
    compiled = jax.jit(synthesise, static_argnums=0)(GENERATOR, PARAMS, KEY, TABLE, IDS)
    np.testing.assert_allclose(compiled, first, atol=1e-6)


def test_without_dropout_a_given_code_leaves_nothing_to_draw():
    one, other = (
        synthesise(GENERATOR, PARAMS, key, TABLE, IDS, LATENT, train=False)
        for key in (KEY, OTHER)
    )
    np.testing.assert_array_equal(one, other)
    dropped = synthesise(GENERATOR, PARAMS, KEY, TABLE, IDS, LATENT)
    assert (dropped != one).any()


def test_a_class_depends_on_no_other_vector_of_the_table():
    changed = TABLE.copy()
    changed[[1, 3]] = 7.0  # no id names them

    def loss(params, table):
        features = synthesise(GENERATOR, params, KEY, table, IDS, LATENT)
        return jnp.sum(features**2)

    gradient = jax.grad(loss, argnums=(0, 1))
    (of_params, of_table), (of_other, _) = (
        gradient(PARAMS, TABLE),
        gradient(PARAMS, changed),
    )
    jax.tree.map(np.testing.assert_array_equal, of_params, of_other)
    assert (of_table[jnp.array([1, 3])] == 0).all()
    assert (of_table[jnp.array([0, 2, 4])] != 0).all()


@pytest.mark.parametrize("train", [False, True])
def test_one_and_eight_devices_synthesise_the_same(train):
    ids = jnp.asarray(np.arange(64) % 5, jnp.int32)
    run = jax.jit(
        lambda ids: synthesise(GENERATOR, PARAMS, KEY, TABLE, ids, train=train)
    )
    mesh = sharding.make_mesh(8)
    placed = jax.device_put(ids, sharding.batched(mesh))
    with jax.set_mesh(mesh):
        eight = run(placed)
    np.testing.assert_allclose(eight, run(ids), atol=1e-6)


def test_bfloat16_computes_and_float32_comes_out():
    network = GENERATOR.copy(dtype="bfloat16")
    found = network.apply({"params": PARAMS}, TABLE, IDS, LATENT, train=False)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-plain())), atol=0.02)
    assert (
        found != GENERATOR.apply({"params": PARAMS}, TABLE, IDS, LATENT, train=False)
    ).any()


def test_in_bfloat16_the_words_gradient_sums_all_pixels():
    ids, latent = jnp.zeros(5000, jnp.int32), jnp.zeros((5000, 4))

    def of_bias(dtype):
        network = GENERATOR.copy(dtype=dtype)

        def total(params):
            features = network.apply(
                {"params": params}, TABLE, ids, latent, train=False
            )
            return jnp.sum(features)

        return jax.grad(total)(PARAMS)["layer_0"]["bias"]

    np.testing.assert_allclose(of_bias("bfloat16"), of_bias("float32"), rtol=0.05)


def test_latent_codes_are_standard_normal():
    copies = {"layer_0": {"kernel": jnp.eye(3)[:, 1:], "bias": jnp.zeros(2)}}
    network = Generator(features=2, hidden=(), dropout=(), final="linear")
    table = jnp.zeros((1, 1))
    drawn = synthesise(network, copies, KEY, table, jnp.zeros(20_000, jnp.int32))
    np.testing.assert_allclose(jnp.mean(drawn), 0, atol=0.02)
    np.testing.assert_allclose(jnp.var(drawn), 1, atol=0.03)


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(dropout=(0.1,)), "2 hidden layers need as many"),
        (dict(final="tanh"), "final is 'tanh'; use sigmoid or linear"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make_params(GENERATOR.copy(**options))
