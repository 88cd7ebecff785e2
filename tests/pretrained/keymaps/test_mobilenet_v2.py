"""MobileNetV2 by four publishers: names, and the same numbers from the same weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.models.backbones.mobilenet_v2 import MobileNetV2
from jaxseg.models.classifier import ImageClassifier
from jaxseg.models.heads.fcn import FCN
from jaxseg.models.heads.image_pooling import ImagePooling
from jaxseg.models.segmentor import Segmentor
from jaxseg.pretrained import safetensors
from jaxseg.pretrained.load import fill
from tests.models.fill import shapes_of
from tests.pretrained import published
from tests.pretrained.conftest import segmentor
from tests.pretrained.published import (
    relative_difference,
    settle,
    tensors_of,
    to_torch,
)

IMAGE = np.random.default_rng(0).normal(size=(4, 65, 98, 3)).astype(np.float32)
TORCH = dict(padding="torch", epsilon=1e-5)


def classifier(num_classes, *, mean=0.0, std=1.0, **backbone):
    """The whole ImageNet network."""
    backbone = MobileNetV2(32, last_features=1280, **backbone)
    return ImageClassifier(backbone, num_classes, mean=(mean,) * 3, std=(std,) * 3)


def deeplab(output_stride=16, head=None, **backbone):
    """The published segmentation network, for pictures that are normalised."""
    backbone = MobileNetV2(output_stride, **backbone)
    head = head or ImagePooling()
    return Segmentor(backbone, head, 21, mean=(0.0,) * 3, std=(1.0,) * 3)


@pytest.fixture(scope="module")
def outputs(reference, weights_file):
    """Each of the 17 blocks at output stride 32 for three pictures, and the logits."""
    model = classifier(1001, mean=127.5, std=127.5)
    tensors = safetensors.read(weights_file)
    variables = published.loaded(model, tensors, np.zeros((1, 32, 32, 3)))

    @jax.jit
    def run(image):
        return model.apply(
            variables,
            image,
            train=False,
            capture_intermediates=lambda module, _: (module.name or "").startswith(
                "expanded_conv"
            ),
        )

    logits, captured = run(reference["cls_image_uint8"])
    blocks = captured["intermediates"]["backbone"]
    names = ["expanded_conv", *[f"expanded_conv_{i}" for i in range(1, 17)]]
    return [np.asarray(blocks[name]["__call__"][0]) for name in names], logits


def test_blocks_have_the_recorded_moments(outputs, reference):
    blocks, _ = outputs
    mean = np.stack([block.mean((1, 2, 3)) for block in blocks], axis=1)
    std = np.stack([block.std((1, 2, 3)) for block in blocks], axis=1)
    np.testing.assert_allclose(mean, reference["mnv2_block_mean"], atol=1e-3)
    np.testing.assert_allclose(std, reference["mnv2_block_std"], atol=1e-3)


def test_features_are_the_recorded_ones(outputs, reference):
    blocks, _ = outputs
    np.testing.assert_allclose(blocks[-1][:1], reference["mnv2_feat_os32"], atol=1e-3)


def test_imagenet_logits_are_the_recorded_ones(outputs, reference):
    _, logits = outputs
    np.testing.assert_allclose(logits, reference["mnv2_logits"], atol=1e-3)


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


@pytest.mark.parametrize(
    "file, case, width, divisor",
    [
        ("deeplabv3_mnv2_voc", "dl", 1.0, 8),
        ("deeplabv3_mnv2_dm05_voc", "dl05", 0.5, 4),
    ],
)
def test_segmentations_are_the_recorded_ones(
    data_root, reference, file, case, width, divisor
):
    model = deeplab(width=width, divisor=divisor)
    model = model.clone(align_corners=True, mean=(128.0,) * 3, std=(128.0,) * 3)
    tensors = safetensors.read(data_root / "weights" / f"{file}.safetensors")
    image = reference["seg_image_uint8"]
    variables = published.loaded(model, tensors, image)
    outputs = published.apply(model, variables, image, train=False)
    np.testing.assert_allclose(
        outputs.coarse, reference[f"{case}_logits_os16"], atol=1e-3
    )
    classes = np.asarray(outputs.logits).argmax(-1)
    assert np.mean(classes != reference[f"{case}_argmax"]) < 1e-3


def hugging_face(transformers, kind, **config):
    """Hugging Face's module, with kernels large enough to matter."""
    config = transformers.MobileNetV2Config(
        classifier_dropout_prob=0.0, initializer_range=0.2, **config
    )
    return getattr(transformers, f"MobileNetV2For{kind}")(config)


@pytest.mark.parametrize(
    "output_stride, width, modes", [(16, 1.0, (False, True)), (8, 0.35, (False,))]
)
def test_deeplab_equals_hugging_face(
    torch, torch_mobilenet, transformers, output_stride, width, modes
):
    theirs = hugging_face(
        transformers,
        "SemanticSegmentation",
        num_labels=21,
        output_stride=output_stride,
        depth_multiplier=width,
    )
    settle(theirs, IMAGE)
    ours = deeplab(output_stride, width=width)
    variables = published.loaded(ours, tensors_of(theirs), IMAGE)
    for train in modes:
        with torch.no_grad():
            expected = theirs.train(train)(to_torch(IMAGE)).logits
        outputs = published.apply(ours, variables, IMAGE, train=train)
        assert relative_difference(outputs.coarse, expected) < 1e-4


def test_the_imagenet_network_equals_hugging_face(torch, torch_mobilenet, transformers):
    theirs = hugging_face(transformers, "ImageClassification", num_labels=1001)
    settle(theirs, IMAGE).eval()
    ours = classifier(1001)
    variables = published.loaded(ours, tensors_of(theirs), IMAGE)
    with torch.no_grad():
        expected = theirs(to_torch(IMAGE)).logits
    logits = published.apply(ours, variables, IMAGE, train=False)
    assert relative_difference(logits, expected) < 1e-4


def test_stages_equal_torchvision(torch, torch_mobilenet):
    theirs = settle(torch_mobilenet.TorchvisionV2(), IMAGE)
    ours = deeplab(32, last_features=1280, **TORCH)
    variables = published.loaded(ours, tensors_of(theirs), IMAGE)
    for train in (False, True):
        with torch.no_grad():
            expected, _ = theirs.train(train)(to_torch(IMAGE))
        outputs = published.apply(ours, variables, IMAGE, train=train)
        for stage, wanted in zip(outputs.stages, expected, strict=True):
            assert relative_difference(stage, wanted) < 1e-4


def test_the_imagenet_network_equals_timm(torch, torch_mobilenet):
    theirs = settle(torch_mobilenet.TimmV2(), IMAGE).eval()
    ours = classifier(1000, **TORCH)
    variables = published.loaded(ours, tensors_of(theirs), IMAGE)
    with torch.no_grad():
        expected = theirs(to_torch(IMAGE))
    logits = published.apply(ours, variables, IMAGE, train=False)
    assert relative_difference(logits, expected) < 1e-4


def filled_from(tensors, model):
    """New arrays and the report, from arrays of zeros."""
    shapes = shapes_of(model, jnp.zeros((1, 32, 32, 3)))
    zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), shapes)
    return fill(tensors, model, **zeros, source="a file")


@pytest.mark.parametrize(
    "model, ignored",
    [
        (deeplab(head=FCN(8), **TORCH), {"classifier", "features.18"}),
        (deeplab(head=FCN(8), last_features=1280, **TORCH), {"classifier"}),
        (classifier(1000, **TORCH), set()),
    ],
)
def test_the_end_is_left_out_where_the_model_has_none(torch_mobilenet, model, ignored):
    tensors = tensors_of(torch_mobilenet.TorchvisionV2())
    _, _, report = filled_from(tensors, model)
    weights = [name for name in report.ignored if not name.endswith("tracked")]
    assert {name.rsplit(".", 2)[0] for name in weights} == ignored
    backbone = [name for name in report.kept if name.split("/")[1] == "backbone"]
    assert not backbone and not report.surplus


def test_another_epsilon_is_made_up_for_in_the_variances(torch_mobilenet):
    tensors = tensors_of(torch_mobilenet.TorchvisionV2())
    model = deeplab(head=FCN(8), padding="torch", epsilon=1e-3)
    _, stats, _ = filled_from(tensors, model)
    variance = stats["backbone"]["Conv"]["norm"]["var"]
    np.testing.assert_allclose(variance + 1e-3, 1 + 1e-5, rtol=1e-6)


def test_the_other_padding_is_refused(torch_mobilenet):
    tensors = tensors_of(torch_mobilenet.TorchvisionV2())
    with pytest.raises(ValueError, match="set config.model.backbone.padding = 'torch'"):
        filled_from(tensors, deeplab(head=FCN(8)))
