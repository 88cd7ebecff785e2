import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.models.heads.feature_classifier import FeatureClassifier

KEY = jax.random.key(0)
FEATURES = jax.random.normal(KEY, (2, 6, 9, 5))
CLASSES = 4


def make(**options):
    network = FeatureClassifier(hidden=8, **options)
    variables = network.init(KEY, FEATURES, (), CLASSES, train=False)
    noise = np.random.default_rng(0)
    return network, jax.tree.map(
        lambda x: x + noise.normal(size=x.shape).astype(np.float32) / 10, variables
    )


def logits_of(network, variables, features=FEATURES):
    return network.apply(variables, features, (), CLASSES, train=False)[0]


def test_it_is_two_layers_at_every_pixel():
    network, variables = make()
    layers = variables["params"]
    hidden = np.asarray(FEATURES) @ layers["trunk_layer"]["kernel"][0, 0]
    hidden = np.maximum(hidden + layers["trunk_layer"]["bias"], 0)
    wanted = hidden @ layers["classifier"]["kernel"][0, 0]
    wanted += layers["classifier"]["bias"]
    np.testing.assert_allclose(logits_of(network, variables), wanted, atol=1e-5)


def test_trunk_and_classes_are_its_halves():
    network, variables = make(window=3)
    hidden = network.apply(variables, FEATURES, train=False, method=network.trunk)
    logits = network.apply(variables, hidden, CLASSES, method=network.classes)
    np.testing.assert_array_equal(logits, logits_of(network, variables))


def test_the_published_size_is_that_of_the_release():
    # 637 974 with the discriminator's 1 025 and the column of the background.
    network = FeatureClassifier(extra_background_logit=True)
    shapes = jax.eval_shape(
        lambda: network.init(KEY, jnp.zeros((1, 1, 1, 600)), (), 20, train=False)
    )
    assert sum(x.size for x in jax.tree.leaves(shapes)) == 637_974 - 1_025


def test_the_extra_column_is_trained_and_never_predicted():
    network, variables = make(extra_background_logit=True)
    bias = variables["params"]["classifier"]["bias"]
    assert bias.shape == (CLASSES + 1,)
    variables["params"]["classifier"]["bias"] = bias.at[CLASSES].set(1e3)
    assert logits_of(network, variables).shape[-1] == CLASSES
    hidden = network.apply(variables, FEATURES, train=False, method=network.trunk)
    logits = network.apply(variables, hidden, CLASSES, method=network.classes)
    assert (jnp.argmax(logits, -1) == CLASSES).all()


def test_a_window_of_three_sees_its_patch_only_in_the_middle():
    network, variables = make(window=3)
    whole = logits_of(network, variables)
    patches = FEATURES.reshape(2, 2, 3, 3, 3, 5).swapaxes(2, 3).reshape(-1, 3, 3, 5)
    alone = logits_of(network, variables, patches)
    middle = whole[:, 1::3, 1::3].reshape(-1, CLASSES)
    np.testing.assert_allclose(alone[:, 1, 1], middle, atol=1e-5)
    assert (
        jnp.abs(alone[:, 0, 0] - whole[:, ::3, ::3].reshape(-1, CLASSES)) > 0.01
    ).any()


def test_dropout_is_of_training_only():
    network, variables = make()
    trained = [
        network.apply(
            variables, FEATURES, (), CLASSES, train=True, rngs={"dropout": key}
        )[0]
        for key in jax.random.split(KEY, 2)
    ]
    assert (trained[0] != trained[1]).any()


@pytest.mark.parametrize("window", [1, 3])
def test_bfloat16_computes_and_logits_are_float32(window):
    network, variables = make(window=window)
    half = logits_of(network.copy(dtype="bfloat16"), variables)
    assert half.dtype == jnp.float32
    np.testing.assert_allclose(half, logits_of(network, variables), atol=0.1)


def test_the_middle_of_a_patch_is_what_the_whole_map_has_there():
    classifier = FeatureClassifier(hidden=6, window=3)
    features = jax.random.normal(jax.random.key(1), (4, 3, 3, 5))
    params = classifier.init(jax.random.key(0), features, (), 7, train=False)

    def logits(inside):
        hidden = classifier.apply(params, features, train=False, method="trunk")
        return classifier.apply(params, hidden, 7, inside=inside, method="classes")

    np.testing.assert_allclose(logits(True), logits(False)[:, 1:2, 1:2], atol=1e-6)
    ids = jnp.arange(36).reshape(4, 3, 3)
    np.testing.assert_array_equal(classifier.inner(ids), ids[:, 1:2, 1:2])
