"""A guide is a part of the segmentor that says what belongs together."""

import jax
import numpy as np
import pytest

from jaxseg.models.backbones.tiny import Tiny
from jaxseg.models.backbones.vit import ViT
from jaxseg.models.guided import GuidedSegmentor
from jaxseg.models.heads.fcn import FCN
from tests.models.fill import shapes_of

IMAGE = np.random.default_rng(0).integers(0, 256, (1, 32, 48, 3)).astype(np.uint8)


def made(**fields):
    network = GuidedSegmentor(Tiny((8, 16), (0, 1)), FCN(8), num_classes=3, **fields)
    variables = jax.jit(network.init, static_argnames="train")(
        jax.random.key(0), IMAGE, train=False
    )
    return network, variables


def test_a_guide_has_parameters_of_its_own_and_no_say_in_the_logits():
    network, variables = made(guide=Tiny((4, 4), (0, 1)))
    assert variables["params"].keys() >= {"backbone", "head", "classifier", "guide"}
    outputs = network.apply(variables, IMAGE, train=False)
    emptied = jax.tree.map(np.zeros_like, variables["params"]["guide"])
    changed = {**variables, "params": {**variables["params"], "guide": emptied}}
    same = network.apply(changed, IMAGE, train=False)
    np.testing.assert_array_equal(outputs.logits, same.logits)


def test_without_a_guide_the_backbones_stage_says_what_belongs_together():
    network, variables = made()
    features = network.apply(variables, IMAGE, method="guide_features")
    stages = network.apply(variables, IMAGE, train=False).stages
    np.testing.assert_allclose(features, stages[-1], atol=1e-6)


def test_a_transformers_keys_are_those_of_its_last_block():
    vit = ViT(patch_size=16, width=16, depth=2, num_heads=2, image_grid=(2, 3))
    std = dict(guide_mean=(0.0, 0.0, 0.0), guide_std=(255.0, 255.0, 255.0))
    network, variables = made(guide=vit, guide_stage=None, **std)
    features = network.apply(variables, IMAGE, method="guide_features")
    own = {"params": variables["params"]["guide"]}
    keys = vit.apply(own, IMAGE.astype(np.float32) / 255, method="keys")
    np.testing.assert_allclose(features, keys, atol=1e-5)


def test_nothing_flows_back_through_the_guide():
    network, variables = made()

    def total(image):
        return network.apply(variables, image, method="guide_features").sum()

    assert (jax.grad(total)(IMAGE.astype(np.float32)) == 0).all()


def test_keys_without_a_transformer_are_refused():
    network, variables = made(guide_stage=None)
    with pytest.raises(ValueError, match="there is no guide"):
        network.apply(variables, IMAGE, method="guide_features")


def test_parameters_are_there_without_being_computed():
    network = GuidedSegmentor(
        Tiny((8, 16), (0, 1)), FCN(8), num_classes=3, guide=Tiny((4, 4), (0, 1))
    )
    assert "guide" in shapes_of(network, IMAGE)["params"]
