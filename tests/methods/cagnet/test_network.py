import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxseg.methods.cagnet.network import CaGNetNetwork, Discriminator
from tests.methods.cagnet.setting import LABELS, make_batch, make_method

KEY = jax.random.key(0)


@functools.cache
def make():
    image, network = make_batch()["image"], make_method().network
    init = jax.jit(functools.partial(network.init, train=False))
    return network, init(KEY, image, jnp.asarray(LABELS.word_vectors)), image


def test_encoding_without_noise_is_what_prediction_classifies():
    network, variables, image = make()
    context = network.apply(variables, image, None, method=CaGNetNetwork.encode)
    parts = {name: tree["segmentor"] for name, tree in variables.items()}
    outputs = network.segmentor.apply(parts, image, train=False)
    np.testing.assert_allclose(context.features, outputs.features, atol=1e-6)
    verdict = network.apply(
        variables, context.features, train=False, method=CaGNetNetwork.judge
    )
    np.testing.assert_allclose(verdict.logits, outputs.coarse, atol=1e-5)
    assert verdict.real.shape == outputs.coarse.shape[:-1]


def test_noise_changes_features_but_not_the_codes_distribution():
    network, variables, image = make()
    plain = network.apply(variables, image, None, method=CaGNetNetwork.encode)
    noise = jax.random.normal(KEY, plain.latent.shape)
    drawn = network.apply(variables, image, noise, method=CaGNetNetwork.encode)
    np.testing.assert_array_equal(plain.mean, drawn.mean)
    assert (plain.features != drawn.features).any()


def test_a_probability_is_the_sigmoid_of_a_linear_layer():
    hidden = jax.random.normal(KEY, (2, 3, 4))
    variables = Discriminator().init(KEY, hidden)
    layer = variables["params"]["score"]
    wanted = jax.nn.sigmoid(hidden @ layer["kernel"][:, 0] + layer["bias"][0])
    np.testing.assert_allclose(
        Discriminator().apply(variables, hidden), wanted, atol=1e-6
    )


def test_every_part_has_parameters():
    _, variables, _ = make()
    assert set(variables["params"]) == {"segmentor", "generator", "discriminator"}
    assert set(variables["params"]["segmentor"]) == {"backbone", "head", "decoder"}
