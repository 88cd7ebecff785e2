"""The loaded network reproduces what an independent implementation recorded."""

import jax
import numpy as np
import pytest

from jaxseg.pretrained import mobilenet_v2, safetensors
from tests.pretrained.conftest import segmentor


@pytest.fixture(scope="module")
def outputs(loaded, reference):
    """Output of each of the 17 blocks for the three pictures, at output stride 32."""
    params, batch_stats, _ = loaded
    variables = {"params": params, "batch_stats": batch_stats}

    @jax.jit
    def run(image):
        _, captured = segmentor(32).apply(
            variables,
            image,
            train=False,
            method="stages",
            capture_intermediates=lambda module, _: (module.name or "").startswith(
                "expanded_conv"
            ),
        )
        return captured["intermediates"]["backbone"]

    blocks = run(reference["cls_image_uint8"])
    names = ["expanded_conv", *[f"expanded_conv_{i}" for i in range(1, 17)]]
    return [np.asarray(blocks[name]["__call__"][0]) for name in names]


def test_blocks_have_the_recorded_moments(outputs, reference):
    mean = np.stack([block.mean((1, 2, 3)) for block in outputs], axis=1)
    std = np.stack([block.std((1, 2, 3)) for block in outputs], axis=1)
    np.testing.assert_allclose(mean, reference["mnv2_block_mean"], atol=1e-3)
    np.testing.assert_allclose(std, reference["mnv2_block_std"], atol=1e-3)


def test_features_are_the_recorded_ones(outputs, reference):
    np.testing.assert_allclose(outputs[-1][:1], reference["mnv2_feat_os32"], atol=1e-3)


def test_dilated_features_are_the_recorded_ones(loaded, reference):
    params, batch_stats, _ = loaded
    variables = {"params": params, "batch_stats": batch_stats}
    run = jax.jit(
        lambda image: segmentor(16).apply(
            variables, image, train=False, method="stages"
        )[-1]
    )
    features = run(reference["cls_image_uint8"][:1])
    np.testing.assert_allclose(
        features[:, ::2, ::2], reference["mnv2_feat_os16"], atol=1e-3
    )


def test_imagenet_logits_are_the_recorded_ones(outputs, reference, weights_file):
    tensors = safetensors.read(weights_file)

    def pointwise(x, name):
        kernel = np.float32(tensors[f"MobilenetV2/{name}/weights"][0, 0])
        return x @ kernel + tensors[f"MobilenetV2/{name}/biases"]

    wide = np.clip(pointwise(outputs[-1], "Conv_1"), 0, 6)
    logits = pointwise(wide.mean((1, 2)), "Logits/Conv2d_1c_1x1")
    np.testing.assert_allclose(logits, reference["mnv2_logits"], atol=1e-3)


def test_foreign_names_are_listed():
    tensors = {"MobilenetV2/Conv/gamma": np.zeros(1), "conv1.weight": np.zeros(1)}
    with pytest.raises(ValueError, match="MobilenetV2/Conv/gamma, conv1.weight"):
        mobilenet_v2.rename(tensors)
