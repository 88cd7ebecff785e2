"""Embeddings of a network of a few layers, beside what training itself computes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.data.labels import IGNORE
from jaxseg.methods.pico.embeddings import embed, features, sample_pixels
from jaxseg.ops.resize import resize_nearest
from tests.methods.pico.test_method import first_batch, pico_config, start


@pytest.fixture(scope="module")
def run():
    """A method, a state whose statistics have moved, and a batch."""
    config = pico_config()
    method, state, _ = start(config)
    batch = first_batch(config)
    _, state = method.forward(state.params, state, batch["image"])
    return method, state, batch


def test_embeddings_are_the_projections_in_evaluation_mode(run):
    method, state, batch = run
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    _, expected = method.network.apply(variables, batch["image"], train=False)
    found = embed(method, state, batch["image"])
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(jnp.linalg.norm(found, axis=-1), 1, atol=1e-5)


def test_one_picture_is_embedded_as_among_others(run):
    method, state, batch = run
    alone = embed(method, state, batch["image"][2:3])
    together = embed(method, state, batch["image"])[2:3]
    np.testing.assert_allclose(alone, together, atol=1e-5)


def test_features_are_what_the_classifier_reads(run):
    method, state, batch = run
    found = np.asarray(features(method, state, batch["image"]))
    np.testing.assert_allclose(np.linalg.norm(found, axis=-1), 1, atol=1e-5)
    variables = {
        "params": state.params["segmentor"],
        "batch_stats": state.batch_stats["segmentor"],
    }
    outputs = method.segmentor.apply(variables, batch["image"], train=False)
    cosines = np.sum(found * np.asarray(outputs.features), axis=-1)
    lengths = np.linalg.norm(outputs.features, axis=-1)
    np.testing.assert_allclose(cosines, lengths, atol=1e-4)


def test_a_run_without_contrast_has_features_only():
    config = pico_config(method__contrast_weight=0.0)
    method, state, _ = start(config)
    image = first_batch(config)["image"][:1]
    assert features(method, state, image).ndim == 4
    with pytest.raises(ValueError, match="contrast_weight = 0.*`features`"):
        embed(method, state, image)


def test_sampled_pixels_are_of_their_class():
    labels = np.random.default_rng(0).integers(0, 6, (3, 16, 24))
    labels[1] = IGNORE
    coarse = np.asarray(resize_nearest(jnp.asarray(labels, jnp.int32), (8, 12)))
    place = np.arange(3 * 8 * 12).reshape(3, 8, 12, 1)
    places, classes = sample_pixels(
        place, labels, num_classes=6, num_picks=4, rng=jax.random.key(0)
    )
    at = places[:, 0].astype(int)
    assert len(set(at)) == len(at)  # none is drawn twice
    np.testing.assert_array_equal(coarse.reshape(-1)[at], classes)
    counts = [min((coarse[b] == c).sum(), 4) for b in range(3) for c in range(6)]
    assert len(at) == sum(counts)


def test_where_nothing_is_labelled_nothing_is_drawn():
    vectors, classes = sample_pixels(
        np.zeros((1, 4, 4, 5)),
        np.full((1, 8, 8), IGNORE),
        num_classes=6,
        num_picks=4,
        rng=jax.random.key(0),
    )
    assert vectors.shape == (0, 5) and classes.shape == (0,)
