import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.models.backbones.tiny import Tiny
from jaxseg.models.heads.fcn import FCN
from jaxseg.models.segmentor import Segmentor
from tests.models.fill import filled

MEAN, STD = (100.0, 110.0, 120.0), (50.0, 60.0, 70.0)


def tiny(dtype="float32"):
    return Segmentor(
        Tiny(widths=(4, 8, 16), depths=(0, 1, 1), dtype=dtype),
        FCN(features=8, dtype=dtype),
        num_classes=5,
        mean=MEAN,
        std=STD,
        dtype=dtype,
    )


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).integers(0, 256, (2, 20, 28, 3), np.uint8)


@pytest.fixture(scope="module")
def variables(image):
    return filled(tiny(), image, train=False)


@pytest.fixture(scope="module")
def apply(variables):
    return jax.jit(lambda image: tiny().apply(variables, image, train=False))


def test_parameters_have_three_entries(variables):
    assert set(variables["params"]) == {"backbone", "head", "classifier"}
    assert set(variables["batch_stats"]) == {"backbone", "head"}


def test_logits_have_the_images_size(apply, image):
    outputs = apply(image)
    assert outputs.logits.shape == (2, 20, 28, 5)
    assert outputs.logits.dtype == jnp.float32
    assert outputs.features.shape == outputs.stages[-1].shape[:3] + (8,)


def test_raw_bytes_and_floats_are_the_same(apply, image):
    np.testing.assert_array_equal(
        apply(image).logits, apply(image.astype(np.float32)).logits
    )


def test_normalises_as_its_first_step(variables, apply, image):
    normalised = jnp.asarray((image - np.array(MEAN)) / np.array(STD), jnp.float32)
    backbone = {name: entry["backbone"] for name, entry in variables.items()}
    stages = Tiny(widths=(4, 8, 16), depths=(0, 1, 1)).apply(
        backbone, normalised, train=False
    )
    np.testing.assert_allclose(apply(image).stages[-1], stages[-1], atol=1e-4)


def test_classify_maps_features_to_the_logits(torch, variables, apply, image):
    outputs = apply(image)
    logits = tiny().apply(variables, outputs.features, method="classify")
    assert logits.shape == outputs.features.shape[:3] + (5,)
    enlarged = torch.nn.functional.interpolate(
        torch.tensor(np.moveaxis(logits, -1, 1)), (20, 28), mode="bilinear"
    )
    np.testing.assert_allclose(
        outputs.logits, np.moveaxis(enlarged.numpy(), 1, -1), atol=1e-5
    )


def test_half_precision_ends_in_float32_near_the_truth(variables, apply, image):
    outputs = jax.jit(
        lambda image: tiny("bfloat16").apply(variables, image, train=False)
    )(image)
    assert outputs.features.dtype == jnp.bfloat16
    assert outputs.logits.dtype == jnp.float32
    exact = apply(image).logits
    error = jnp.abs(outputs.logits - exact).max() / jnp.abs(exact).max()
    assert error < 0.05


def test_training_records_statistics(variables, image):
    _, changed = tiny().apply(variables, image, train=True, mutable=["batch_stats"])
    before, after = variables["batch_stats"], changed["batch_stats"]
    moved = jax.tree.map(lambda a, b: bool(jnp.any(a != b)), before, after)
    assert all(jax.tree.leaves(moved))
