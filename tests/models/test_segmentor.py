import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.models.backbones.tiny import Tiny
from jaxseg.models.heads.fcn import FCN
from jaxseg.models.segmentor import Segmentor
from jaxseg.ops.resize import resize_bilinear
from tests.models.fill import filled

MEAN, STD = (100.0, 110.0, 120.0), (50.0, 60.0, 70.0)


def tiny(dtype="float32", **fields):
    return Segmentor(
        Tiny(widths=(4, 8, 16), depths=(0, 1, 1), dtype=dtype),
        FCN(features=8, dtype=dtype),
        num_classes=5,
        mean=MEAN,
        std=STD,
        dtype=dtype,
        **fields,
    )


def supervised_twice(dtype="float32"):
    """A segmentor whose auxiliary head reads the stage before the last."""
    auxiliary = FCN(features=6, stages=(-2,), use_bias=True, dtype=dtype)
    return tiny(dtype, auxiliary=auxiliary)


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


def test_dropout_blanks_channels_for_the_classifier_alone(variables, image):
    kernel = jnp.eye(8, 5)[None, None]  # classes are the first features
    params = variables["params"] | {
        "classifier": {"kernel": kernel, "bias": jnp.zeros(5)}
    }
    outputs, _ = tiny(dropout=0.5).apply(
        variables | {"params": params},
        image,
        train=True,
        mutable=["batch_stats"],
        rngs={"dropout": jax.random.key(0)},
    )
    read, plain = outputs.coarse, outputs.features[..., :5]
    blank = np.all(read == 0, axis=(1, 2), keepdims=True)
    assert 0 < blank.sum() < blank.size
    np.testing.assert_allclose(read, np.where(blank, 0, 2 * plain), rtol=1e-5)


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


def test_blue_first_turns_the_channels_round_before_the_constants(
    variables, apply, image
):
    blue_first = tiny(channel_order="bgr")
    found = blue_first.apply(variables, image[..., ::-1], train=False)
    np.testing.assert_allclose(found.logits, apply(image).logits, atol=1e-5)
    with pytest.raises(ValueError, match="'rgb' or 'bgr'"):
        tiny(channel_order="brg").apply(variables, image, train=False)


def test_classify_maps_features_to_the_coarse_logits(variables, apply, image):
    outputs = apply(image)
    logits = tiny().apply(variables, outputs.features, method="classify")
    assert logits.shape == outputs.features.shape[:3] + (5,)
    np.testing.assert_allclose(logits, outputs.coarse, atol=1e-5)


@pytest.mark.parametrize("align_corners", [False, True])
def test_logits_are_the_coarse_ones_enlarged(torch, variables, image, align_corners):
    segmentor = tiny(align_corners=align_corners)
    outputs = segmentor.apply(variables, image, train=False)
    enlarged = torch.nn.functional.interpolate(
        torch.tensor(np.moveaxis(outputs.coarse, -1, 1)),
        (20, 28),
        mode="bilinear",
        align_corners=align_corners,
    )
    np.testing.assert_allclose(
        outputs.logits, np.moveaxis(enlarged.numpy(), 1, -1), atol=1e-5
    )


def test_classifiers_may_have_no_bias(image):
    params = filled(tiny(classifier_bias=False), image, train=False)["params"]
    assert set(params["classifier"]) == {"kernel"}


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


@pytest.fixture(scope="module")
def twice(image):
    return filled(supervised_twice(), image, train=False)


def test_auxiliary_parameters_are_made_in_evaluation_too(variables, twice):
    added = {"auxiliary", "auxiliary_classifier"}
    assert set(twice["params"]) == set(variables["params"]) | added
    assert set(twice["batch_stats"]) == {"backbone", "head", "auxiliary"}


def test_evaluation_needs_nothing_of_the_auxiliary_head(twice, image):
    outputs = supervised_twice().apply(twice, image, train=False)
    assert outputs.auxiliary is None
    without = {name: dict(entries) for name, entries in twice.items()}
    del without["params"]["auxiliary"], without["params"]["auxiliary_classifier"]
    del without["batch_stats"]["auxiliary"]
    again = supervised_twice().apply(without, image, train=False)
    np.testing.assert_array_equal(outputs.logits, again.logits)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_auxiliary_logits_are_of_the_auxiliary_head_on_its_stage(twice, image, dtype):
    segmentor = supervised_twice(dtype)
    outputs, _ = segmentor.apply(twice, image, train=True, mutable=["batch_stats"])
    assert outputs.auxiliary.dtype == outputs.coarse.dtype == jnp.float32
    entries = {name: twice[name]["auxiliary"] for name in twice}
    features, _ = segmentor.auxiliary.apply(
        entries, outputs.stages, train=True, mutable=["batch_stats"]
    )
    kernel = twice["params"]["auxiliary_classifier"]["kernel"][0, 0]
    coarse = jnp.asarray(features.astype(jnp.float32) @ kernel)
    enlarged = resize_bilinear(coarse, (20, 28), align_corners=False)
    tolerance = 1e-5 if dtype == "float32" else 0.05
    np.testing.assert_allclose(outputs.auxiliary, enlarged, atol=tolerance)


def test_auxiliary_logits_teach_backbone_and_auxiliary_head_alone(twice, image):
    def loss(params):
        outputs, _ = supervised_twice().apply(
            {**twice, "params": params}, image, train=True, mutable=["batch_stats"]
        )
        return jnp.sum(outputs.auxiliary**2)

    grads = jax.jit(jax.grad(loss))(twice["params"])
    reached = {
        name: any(jnp.any(leaf != 0) for leaf in jax.tree.leaves(grads[name]))
        for name in grads
    }
    assert reached == {
        "backbone": True,
        "auxiliary": True,
        "auxiliary_classifier": True,
        "head": False,
        "classifier": False,
    }
