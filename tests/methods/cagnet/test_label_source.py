import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.data.labels import CAMVID
from jaxseg.methods.cagnet import patches
from jaxseg.methods.cagnet.label_source import LabelSource
from jaxseg.methods.cagnet.synthesis import Synthesis

KEY = jax.random.key(0)
LABELS = dataclasses.replace(
    CAMVID.with_unseen(["Car", "Fence"]), word_vectors=np.eye(11, dtype=np.float32)
)
MAPS = jnp.asarray(np.kron(np.arange(20).reshape(1, 4, 5) % 5, np.ones((1, 4, 4), int)))


def source(prior, **options):
    synthesis = Synthesis(patch=3, patch_prior=prior, features_per_step=900, **options)
    return LabelSource(synthesis, LABELS)


def of_network(key, num_patches):
    """In place of a network's draws."""
    del key
    return jnp.full((num_patches, 3, 3), LABELS.unseen[0])


@pytest.mark.parametrize("prior", ["empirical", "pixelcnn", "pure"])
def test_each_prior_draws_patches_after_a_batch(prior):
    drawer = source(prior)
    memory = jax.jit(drawer.remember)(drawer.init_memory(), MAPS, KEY)
    draw = jax.jit(lambda memory: drawer.sample(KEY, memory, of_network))
    drawn = draw(memory)
    assert drawn.shape == (100, 3, 3) and drawn.dtype == jnp.int32
    unseen = np.isin(patches.largest_class(drawn), LABELS.unseen)
    assert unseen.mean() > 0.5 and not unseen.all()  # a share is pure, of any class


def test_without_pure_patches_all_are_mostly_unseen():
    drawer = source("empirical", pure_share=0.0)
    memory = jax.jit(drawer.remember)(drawer.init_memory(), MAPS, KEY)
    drawn = jax.jit(drawer.sample)(KEY, memory)
    assert np.isin(patches.largest_class(drawn), LABELS.unseen).all()


def test_only_the_middle_of_a_patch_is_a_target():
    drawer = source("pure")
    drawn = drawer.sample(KEY, drawer.init_memory())
    targets = np.asarray(drawer.targets(drawn))
    assert (targets[:, 1, 1] == np.asarray(drawn)[:, 1, 1]).all()
    assert (np.delete(targets.reshape(100, 9), 4, axis=1) == 255).all()
