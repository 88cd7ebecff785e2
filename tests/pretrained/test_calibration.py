import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxseg.models.backbones.tiny import Tiny
from jaxseg.models.heads.fcn import FCN
from jaxseg.models.segmentor import Segmentor
from jaxseg.pretrained.calibration import calibrate_batch_norm
from tests.models.fill import filled
from tests.pretrained.conftest import segmentor


def pictures(data_root, split, numbers):
    """Street scenes at half size, [B, 180, 240, 3] uint8."""
    files = sorted((data_root / "camvid" / split / "images").iterdir())
    opened = (Image.open(files[number]).resize((240, 180)) for number in numbers)
    return np.stack([np.asarray(picture) for picture in opened])


@pytest.fixture(scope="module")
def calibrated(loaded, data_root):
    batches = (
        {"image": pictures(data_root, "train", range(start, 360, 45))}
        for start in range(4)
    )
    params, batch_stats, _ = loaded
    return calibrate_batch_norm(segmentor(), params, batch_stats, batches)


@pytest.fixture(scope="module")
def features(data_root):
    """A function: deepest stage of pictures it has not seen, in evaluation or not."""
    image = pictures(data_root, "train", range(20, 360, 45))

    def run(params, batch_stats, train):
        variables = {"params": params, "batch_stats": batch_stats}
        stages, _ = segmentor().apply(
            variables, image, train=train, method="stages", mutable=["batch_stats"]
        )
        return stages[-1]

    jitted = jax.jit(run, static_argnums=2)
    return lambda *args: np.asarray(jitted(*args))


def correlation(one, other):
    return np.corrcoef(one.ravel(), other.ravel())[0, 1]


@pytest.mark.slow
def test_folded_weights_forget_in_training(loaded, features):
    params, batch_stats, _ = loaded
    before = correlation(
        features(params, batch_stats, True), features(params, batch_stats, False)
    )
    assert before < 0.3


@pytest.mark.slow
def test_calibrated_weights_remember_in_training(calibrated, features):
    after = correlation(features(*calibrated, True), features(*calibrated, False))
    assert after > 0.7


def test_evaluation_is_unchanged(loaded, calibrated, features):
    params, batch_stats, _ = loaded
    before = features(params, batch_stats, False)
    after = features(*calibrated, False)
    np.testing.assert_allclose(after, before, atol=1e-3 * np.abs(before).max())


def tiny():
    return Segmentor(
        Tiny(widths=(4, 8, 16), depths=(0, 1, 1)), FCN(features=4), num_classes=2
    )


@pytest.fixture(scope="module")
def tiny_case():
    """A segmentor with arbitrary normalisations, and batches of unequal sizes."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (6, 16, 16, 3), np.uint8)
    variables = filled(tiny(), images, train=False)

    def scramble(path, leaf):
        if path[-1].key in ("scale", "var", "bias", "mean"):
            return jnp.asarray(rng.uniform(0.5, 2, leaf.shape), jnp.float32)
        return leaf

    return images, jax.tree_util.tree_map_with_path(scramble, variables)


def test_statistics_are_those_of_the_first_layers_inputs(tiny_case):
    images, variables = tiny_case
    params, batch_stats = calibrate_batch_norm(
        tiny(), **variables, batches=[{"image": images[:4]}, {"image": images[4:]}]
    )
    mean, std = (np.array(getattr(tiny(), name)) for name in ("mean", "std"))
    kernel = variables["params"]["backbone"]["ConvNorm_0"]["conv"]["kernel"]
    inputs = jax.lax.conv_general_dilated(
        jnp.asarray((images - mean) / std, jnp.float32),
        kernel,
        (2, 2),
        "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    stats = batch_stats["backbone"]["ConvNorm_0"]["norm"]
    np.testing.assert_allclose(stats["mean"], inputs.mean((0, 1, 2)), atol=1e-5)
    np.testing.assert_allclose(stats["var"], inputs.var((0, 1, 2)), rtol=1e-4)


def test_training_on_the_measured_pictures_equals_evaluation(tiny_case):
    images, variables = tiny_case
    params, batch_stats = calibrate_batch_norm(
        tiny(), **variables, batches=[{"image": images}]
    )
    new = {"params": params, "batch_stats": batch_stats}
    before = tiny().apply(variables, images, train=False, method="stages")
    after = tiny().apply(new, images, train=False, method="stages")
    trained, _ = tiny().apply(
        new, images, train=True, method="stages", mutable=["batch_stats"]
    )
    np.testing.assert_allclose(after[-1], before[-1], atol=1e-3)
    np.testing.assert_allclose(trained[-1], before[-1], atol=1e-3)


def test_only_normalisations_of_the_backbone_change(tiny_case):
    images, variables = tiny_case
    params, batch_stats = calibrate_batch_norm(
        tiny(), **variables, batches=[{"image": images}]
    )
    assert params["head"] == variables["params"]["head"]
    assert batch_stats["head"] == variables["batch_stats"]["head"]
    for name, layer in params["backbone"].items():
        assert layer["conv"] == variables["params"]["backbone"][name]["conv"]


def test_no_pictures_is_an_error(tiny_case):
    _, variables = tiny_case
    with pytest.raises(ValueError, match="no pictures to measure"):
        calibrate_batch_norm(tiny(), **variables, batches=[])
