import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxseg import config as config_lib
from jaxseg import evaluate, sharding, train
from jaxseg.data.blank import Blank
from jaxseg.data.scenes import Scenes
from jaxseg.methods import base
from jaxseg.methods.inverse_transform import InverseTransformPretraining
from jaxseg.models.inverse_transform import InverseTransform

CONFIG = pathlib.Path(__file__).parents[3] / "configs" / "sazs_inverseform.py"
BATCH = {
    "image": jnp.zeros((4, 8, 8, 3)),
    "label": jnp.full((4, 8, 8), 255),
    "valid": jnp.ones(4, bool),
}


def method(**fields):
    defaults = dict(
        segmentor=InverseTransform(tile=14, hidden=(32, 16)),
        optimizer=optax.adam(3e-3),
        labels=Blank().labels,
        coarse_sides=(7,),
    )
    return InverseTransformPretraining(**defaults | fields)


def pairs_of(ours, key, batch=BATCH):
    return jax.jit(ours.pairs)(key, batch)


@pytest.mark.slow
def test_it_learns_the_transforms_that_it_is_shown():
    ours = method()
    state = ours.init(jax.random.key(0), BATCH)
    step = jax.jit(ours.train_step)
    state, first = step(state, BATCH)
    for _ in range(60):
        state, last = step(state.replace(step=0), BATCH)  # of the same pairs
    assert last["loss"] < 0.6 * first["loss"] and last["shift_r2"] > 0.5


def test_steps_see_other_pairs_and_a_resumed_run_the_same():
    ours = method()
    keys = [jax.random.fold_in(jax.random.key(0), step) for step in (0, 1, 0)]
    first, second, again = (pairs_of(ours, key) for key in keys)
    assert (first.true != second.true).any()
    jax.tree.map(np.testing.assert_array_equal, first, again)
    assert len(first.true) == 4 * ours.tiles_per_picture


def test_label_maps_of_a_data_set_are_outlined_instead():
    dataset = Scenes(num_train=2)
    maps = [dataset.source("train")[i]["label"] for i in range(2)]
    batch = {"label": jnp.asarray(np.stack(maps))}
    ours = method(labels=dataset.labels, tiles="labels")
    made = pairs_of(ours, jax.random.key(0), batch)
    assert len(made.true) == 16 and np.mean(made.counts) > 0.5


def test_a_batch_without_edges_is_a_warning_and_no_gradient():
    ours = method(tiles="labels")
    state = ours.init(jax.random.key(0), BATCH)
    after, metrics = jax.jit(ours.train_step)(state, BATCH)
    assert metrics["loss"] == 0 and metrics["grad_norm"] == 0
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(after.params))
    (warning,) = ours.warnings(1, 2, {"counted_tiles": 0.0})
    assert "nothing was learnt" in warning
    assert not ours.warnings(1, 2, {"counted_tiles": 0.5})


@pytest.mark.parametrize(
    "fields, message",
    [
        (dict(segmentor=object()), "inverse_transform.regression"),
        (dict(tiles="drawings"), "'drawn' or 'labels'"),
        (dict(tiles_per_picture=1), "raise tiles_per_picture"),
        (dict(still_share=1.0), "from 0 to below 1"),
    ],
)
def test_what_cannot_be_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        method(**fields)


def test_it_predicts_no_classes():
    ours = method()
    with pytest.raises(ValueError, match="leave config.evals empty"):
        ours.predict(ours.init(jax.random.key(0), BATCH), BATCH)


def test_a_step_is_the_same_on_any_number_of_devices():
    ours, batch = (
        method(),
        {k: jnp.tile(v, (2, *[1] * (v.ndim - 1))) for k, v in BATCH.items()},
    )
    losses = []
    for number in (1, 8):
        mesh = sharding.make_mesh(number)
        state = jax.device_put(
            ours.init(jax.random.key(0), batch), sharding.replicated(mesh)
        )
        placed = jax.device_put(batch, sharding.batched(mesh))
        step = train.compile_step(ours, mesh, state, placed)
        losses.append(step(state, placed)[1]["loss"])
    np.testing.assert_allclose(*losses, rtol=1e-5)


def test_a_tiny_run_has_no_evaluations_and_can_be_read_again(tmp_path):
    config = config_lib.load(CONFIG, "tiny")
    assert train.train(config, str(tmp_path)) == {}
    assert evaluate.run(config, str(tmp_path)) == {}


def test_the_config_is_understood():
    config = config_lib.load(CONFIG)
    config_lib.check(config)
    built = base.from_config(config, Blank().labels)
    assert isinstance(built, InverseTransformPretraining)
    assert built.segmentor == InverseTransform(tile=56, hidden=(256, 32))
