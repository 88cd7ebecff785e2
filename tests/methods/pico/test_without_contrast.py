"""That PiCo with contrast_weight = 0 is plain supervision, and its configs too."""

import copy
import pathlib
import runpy

import jax
import numpy as np
import pytest

from jaxseg import initialization
from tests.methods.pico.test_method import METHOD, first_batch, pico_config, start
from tests.test_train import build, make_config

ROOT = pathlib.Path(__file__).parent.parent.parent.parent
WEIGHTS = tuple(np.linspace(0.2, 3.0, 10))  # of the scenes' classes


@pytest.fixture(scope="module")
def batch():
    return first_batch(pico_config())


def load(name, variant=""):
    path = ROOT / "configs" / f"{name}.py"
    return runpy.run_path(str(path))["get_config"](variant).to_dict()


def program(config, batch):
    """The shapes of the parameters, and what the compiler is given for a step."""
    method, mesh = build(config)
    state = initialization.describe(config, method, mesh)
    with jax.set_mesh(mesh):
        step = jax.jit(method.train_step, donate_argnums=0).lower(state, batch)
    return state.params, step.as_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "variant", "weights"),
    [
        ("pico_camvid", "cross_entropy,tiny", ()),
        ("pico_cityscapes", "cross_entropy,tiny", WEIGHTS),
        ("pico_cityscapes", "deeplabv3_r101,cross_entropy,tiny", WEIGHTS),
        ("quickstart", "cross_entropy,tiny", ()),
        ("quickstart", "cross_entropy,tiny", WEIGHTS),
    ],
)
def test_without_weight_the_step_is_that_of_plain_supervision(name, variant, weights):
    # The same program compiles to the same; tracing is all that this takes.
    twin = load(name, variant) | {"num_devices": 1}
    assert twin["method"]["contrast_weight"] == 0
    twin["method"]["class_weights"] = weights
    plain = copy.deepcopy(twin)
    plain["method"] = dict(name="supervised.Supervised", class_weights=weights)
    batch = first_batch(twin)
    assert program(twin, batch) == program(plain, batch)


def test_without_weight_the_loss_is_that_of_plain_supervision(batch):
    config = make_config(method=dict(name="supervised.Supervised"))
    _, state, _ = start(config)
    found = []
    for method in (
        dict(METHOD, contrast_weight=0.0, class_weights=WEIGHTS),
        dict(name="supervised.Supervised", class_weights=WEIGHTS),
        dict(name="supervised.Supervised"),
    ):
        method, _ = build(config | {"method": method})
        loss, (_, metrics) = jax.jit(method.loss)(
            state.params, state, batch, jax.random.key(0)
        )
        found.append(jax.device_get(metrics | {"minimised": loss}))
    assert found[0] == found[1] and found[0].keys() == found[2].keys()
    assert found[0]["loss"] != found[2]["loss"]


def test_the_camvid_twin_is_the_supervised_config():
    twin, plain = load("pico_camvid", "cross_entropy"), load("supervised_camvid")
    del twin["method"], plain["method"]
    assert twin == plain
