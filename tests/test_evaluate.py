import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg import config as config_lib
from jaxseg import evaluate, inference, initialization, sharding
from jaxseg.checkpoints import CheckpointError
from jaxseg.data import inputs
from tests.test_train import build, make_config


@pytest.fixture(scope="module")
def setting():
    config = make_config()
    method, mesh = build(config)
    target = initialization.describe(config, method, mesh)
    return config, method, initialization.fresh(config, method, target)


def confusion(setting, *, devices, batch_size):
    config, method, state = setting
    mesh = sharding.make_mesh(devices)
    state = jax.device_put(inference.predicting(state), sharding.replicated(mesh))
    config = make_config(evals__val__batch_size=batch_size)
    batches = inputs.evaluation_batches(
        config, "val", inputs.make_dataset(config), multiple_of=devices
    )
    count = inference.make_count(method, mesh)
    return evaluate.accumulate(count, state, batches, mesh=mesh, num_pictures=3)


def by_hand(setting):
    """The confusion of the five validation scenes, one after the other, in NumPy."""
    config, method, state = setting
    source = inputs.make_dataset(config).source("val")
    total = np.zeros((method.labels.num_classes,) * 2, np.int64)
    predict = jax.jit(lambda image: method.predict(state, {"image": image}))
    for i in range(len(source)):
        ids = np.argmax(predict(jnp.asarray(source[i]["image"][None]))[0], -1)
        labelled = source[i]["label"] != 255
        np.add.at(total, (source[i]["label"][labelled], ids[labelled]), 1)
    return total


@pytest.mark.parametrize(("devices", "batch_size"), [(1, 1), (1, 2), (8, 8), (4, 3)])
def test_padding_batching_and_devices_do_not_change_the_counts(
    setting, devices, batch_size
):
    counted, examples = confusion(setting, devices=devices, batch_size=batch_size)
    np.testing.assert_array_equal(counted, by_hand(setting))
    assert len(examples) == 3


def test_the_pictures_handed_back_are_the_first_of_the_split(setting):
    _, examples = confusion(setting, devices=2, batch_size=2)
    source = inputs.make_dataset(setting[0]).source("val")
    for i, (image, truth, prediction) in enumerate(examples):
        np.testing.assert_array_equal(image, source[i]["image"])
        np.testing.assert_array_equal(truth, source[i]["label"])
        assert prediction.shape == truth.shape


def batch_of(size=1):
    return {
        "image": np.zeros((size, 2, 2, 3), np.uint8),
        "label": np.zeros((size, 2, 2), np.int32),
        "valid": np.ones(size, bool),
    }


def test_counts_stay_exact_beyond_32_bits():
    many = jnp.full((2, 2), 2**31 - 1, jnp.int32)
    total, _ = evaluate.accumulate(
        lambda state, batch: (many, batch["label"]),
        None,
        [batch_of()] * 3,
        mesh=sharding.make_mesh(1),
    )
    assert total.dtype == np.int64 and (total == 3 * (2**31 - 1)).all()


def test_a_stop_abandons_the_pass():
    asked = []
    total, examples = evaluate.accumulate(
        lambda state, batch: (jnp.ones((2, 2), jnp.int32), batch["label"]),
        None,
        [batch_of()] * 5,
        mesh=sharding.make_mesh(1),
        num_pictures=1,
        stop=lambda: asked.append(1) or len(asked) > 2,
    )
    assert total is None and examples == [] and len(asked) == 3


def test_an_empty_split_is_refused():
    with pytest.raises(config_lib.ConfigError, match="no pictures"):
        evaluate.accumulate(None, None, [], mesh=sharding.make_mesh(1))


def test_the_method_never_sees_the_labels():
    class Peeking:
        labels = build(make_config())[0].labels

        def predict(self, state, batch):
            assert "label" not in batch
            return jnp.zeros((*batch["image"].shape[:3], self.labels.num_classes))

    count = inference.make_count(Peeking(), sharding.make_mesh(1))
    counted, ids = count(None, jax.tree.map(jnp.asarray, batch_of(2)))
    assert int(counted[0, 0]) == 8 and ids.dtype == jnp.uint8


def test_evaluating_nothing_says_where_it_looked(tmp_path):
    with pytest.raises(CheckpointError, match="not the work folder"):
        evaluate.run(make_config(), str(tmp_path))
