import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg import config as config_lib
from jaxseg import inference, initialization, sharding, tally
from jaxseg.data import inputs
from jaxseg.inference import Counts
from tests.test_train import build, make_config


@pytest.fixture(scope="module")
def setting():
    config = make_config()
    method, mesh = build(config)
    target = initialization.describe(config, method, mesh)
    return config, method, initialization.fresh(config, method, target)


def count_all(setting, *, devices, batch_size, **host):
    config, method, state = setting
    mesh = sharding.make_mesh(devices)
    state = jax.device_put(inference.predicting(state), sharding.replicated(mesh))
    config = make_config(evals__val__batch_size=batch_size)
    batches = inputs.evaluation_batches(
        config, "val", inputs.make_dataset(config), multiple_of=devices, **host
    )
    count = inference.make_count(method, mesh)
    return tally.accumulate(count, state, batches, mesh=mesh, num_pictures=3)


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
    counted = count_all(setting, devices=devices, batch_size=batch_size)
    np.testing.assert_array_equal(counted.totals[0], by_hand(setting))
    assert len(counted.first) == 3


def test_what_two_hosts_count_adds_up(setting):
    one, other = (
        count_all(setting, devices=1, batch_size=4, process_index=i, process_count=2)
        for i in range(2)
    )
    np.testing.assert_array_equal(one.totals[0] + other.totals[0], by_hand(setting))


def test_the_first_pictures_handed_back_are_the_first_of_the_split(setting):
    counted = count_all(setting, devices=2, batch_size=2)
    source = inputs.make_dataset(setting[0]).source("val")
    for i, picture in enumerate(counted.first):
        np.testing.assert_array_equal(picture.image, source[i]["image"])
        np.testing.assert_array_equal(picture.truth, source[i]["label"])
        assert picture.prediction.shape == picture.truth.shape


def batch_of(b=1, shape=(2, 2), **more):
    return {
        "image": np.zeros((b, *shape, 3), np.uint8),
        "label": np.zeros((b, *shape), np.int32),
        "valid": np.ones(b, bool),
        **more,
    }


def counts_of(scores, confusion=None, shape=(2, 2)):
    """What a step would give for pictures with these scores."""
    mesh = sharding.make_mesh(1)
    rows = dict(scores=np.float32(scores), ids=np.ones((len(scores), *shape), np.uint8))
    placed = sharding.to_devices(rows, mesh)
    confusion = np.ones((2, 2), np.int32) if confusion is None else confusion
    return Counts(jnp.asarray(confusion), (), placed["scores"], placed["ids"])


def test_counts_stay_exact_beyond_32_bits():
    many = np.full((2, 2), 2**31 - 1, np.int32)
    counted = tally.accumulate(
        lambda *arguments: counts_of([0.5], many),
        None,
        [batch_of()] * 3,
        mesh=sharding.make_mesh(1),
    )
    total, _ = counted.totals
    assert total.dtype == np.int64 and (total == 3 * (2**31 - 1)).all()


def test_the_worst_and_the_best_are_kept_in_order():
    scores = np.random.default_rng(0).permutation(20) / 20
    counted = tally.Tally(3, lambda index: f"picture {index}")
    for i in range(0, 20, 4):
        batch = batch_of(4, index=np.arange(i, i + 4))
        counted.add(batch, counts_of(scores[i : i + 4]))
    order = np.argsort(scores)
    assert [p.name for p in counted.worst] == [f"picture {i}" for i in order[:3]]
    assert [p.name for p in counted.best] == [f"picture {i}" for i in order[:-4:-1]]
    assert [p.name for p in counted.first] == [f"picture {i}" for i in range(3)]


def test_padding_and_pictures_without_labels_are_neither_worst_nor_best():
    counted = tally.Tally(3, str)
    batch = batch_of(3, index=np.array([0, 1, -1]))
    batch["valid"][2] = False
    counted.add(batch, counts_of([np.nan, 0.5, 0.0]))
    assert [p.name for p in counted.worst] == [p.name for p in counted.best] == ["1"]
    assert [p.name for p in counted.first] == ["0", "1"]


def test_pictures_are_cut_out_of_their_canvases():
    counted = tally.Tally(1, str)
    batch = batch_of(1, shape=(5, 6), size=np.array([[2, 3]], np.int32))
    counted.add(batch, counts_of([0.5], shape=(5, 6)))
    (picture,) = counted.first
    assert picture.image.shape == (2, 3, 3)
    assert picture.truth.shape == picture.prediction.shape == (2, 3)


def test_a_stop_abandons_the_pass():
    asked = []
    counted = tally.accumulate(
        lambda *arguments: counts_of([0.5]),
        None,
        [batch_of()] * 5,
        mesh=sharding.make_mesh(1),
        num_pictures=1,
        stop=lambda: asked.append(1) or len(asked) > 2,
    )
    assert counted is None and len(asked) == 3


def test_an_empty_split_is_refused():
    with pytest.raises(config_lib.ConfigError, match="no pictures"):
        tally.accumulate(None, None, [], mesh=sharding.make_mesh(1))
