import jax
import numpy as np
import pytest

from jaxseg import initialization, sharding
from jaxseg.checkpoints import Checkpoints
from jaxseg.data import inputs
from tests.test_train import assert_same, build, make_config


@pytest.fixture(scope="module")
def setting():
    config = make_config()
    method, mesh = build(config)
    target = initialization.describe(config, method, mesh)
    return config, method, mesh, target


def test_the_description_is_what_a_fresh_state_looks_like(setting):
    config, method, _, target = setting
    state = initialization.fresh(config, method, target)
    for wanted, leaf in zip(
        jax.tree.leaves(target), jax.tree.leaves(state), strict=True
    ):
        assert (wanted.shape, wanted.dtype) == (leaf.shape, leaf.dtype)
        assert wanted.sharding == leaf.sharding


def test_the_seed_decides_and_devices_do_not(setting):
    config, method, _, target = setting
    state = initialization.fresh(config, method, target)
    eight = initialization.describe(config, method, sharding.make_mesh(8))
    assert_same(initialization.fresh(config, method, eight).params, state.params)
    other = initialization.fresh(make_config(seed=1), method, target)
    leaves = zip(
        jax.tree.leaves(state.params), jax.tree.leaves(other.params), strict=True
    )
    assert any((a != b).any() for a, b in leaves)


def test_training_on_views_needs_no_crop(setting):
    config = make_config(data__transform="views.MultiCrop", data__sizes=(32, 16))
    del config["data"]["crop"]
    method, mesh = build(config)
    target = initialization.describe(config, method, mesh)
    state = initialization.fresh(config, method, target)
    wanted = initialization.fresh(setting[0], setting[1], setting[3])
    assert_same(state.params, wanted.params)


def test_sub_networks_that_only_one_run_has_stay_as_they_are(setting, tmp_path):
    config, method, _, target = setting
    old = initialization.fresh(make_config(seed=5), method, target)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(old)
    state = initialization.fresh(config, method, target)
    extra = {"projection": {"kernel": np.ones(2, np.float32)}}
    state = state.replace(params={**state.params, **extra})
    wider = target.replace(params={**target.params, "projection": None})
    started = initialization.from_run(str(tmp_path / "checkpoints"), state, wider)
    assert_same(started.params["segmentor"], old.params["segmentor"])
    assert_same(started.params["projection"], extra["projection"])
    assert int(started.step) == 0


@pytest.fixture(scope="module")
def pretrained(data_root):
    """MobileNetV2 from ImageNet, measured on scenes; before and after measuring."""
    weights = data_root / "weights" / "mobilenet_v2_1.0_224.safetensors"
    config = make_config(init_from=str(weights), data__batch_size=4)
    config["model"] |= dict(
        backbone=dict(name="backbones.mobilenet_v2.MobileNetV2"),
        mean=(127.5,) * 3,
        std=(127.5,) * 3,
    )
    method, mesh = build(config)
    target = initialization.describe(config, method, mesh)
    state = initialization.fresh(config, method, target)
    loaded, report = initialization.from_weights(
        config, str(weights), method, state, target
    )
    assert report.folded
    dataset = inputs.make_dataset(config)
    calibrated = initialization.calibrate(config, method, loaded, dataset, target)
    return config, method, dataset, loaded, calibrated


def test_measuring_normalisations_leaves_the_published_function(pretrained):
    _, method, dataset, loaded, calibrated = pretrained
    image = dataset.source("val")[0]["image"][None]
    predict = jax.jit(lambda state: method.predict(state, {"image": image}))
    before, after = predict(loaded), predict(calibrated)
    np.testing.assert_allclose(after, before, atol=1e-3 * np.abs(before).max())


def test_training_starts_from_what_the_weights_know(pretrained):
    """In training mode the deepest stage still resembles that of evaluation."""
    config, method, dataset, loaded, calibrated = pretrained
    batch = next(inputs.training_batches(config, dataset, start_step=3))

    def resemblance(state):
        variables = {
            "params": state.params["segmentor"],
            "batch_stats": state.batch_stats["segmentor"],
        }
        stages = {
            train: method.segmentor.apply(
                variables,
                batch["image"],
                train=train,
                method="stages",
                mutable=["batch_stats"],
            )[0]
            for train in (False, True)
        }
        deepest = (np.ravel(stages[train][-1]) for train in (False, True))
        return np.corrcoef(*deepest)[0, 1]

    assert resemblance(loaded) < 0.5 < resemblance(calibrated)
