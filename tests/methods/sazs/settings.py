"""A small SAZS on made-up shapes, and the regression network it is given."""

import copy

import jax

from jaxseg.config import load
from jaxseg.models.inverse_transform import InverseTransform
from jaxseg.pretrained.inverse_transform import Regression

TILE = 12


def make_config(**changes):
    """configs/sazs_voc_mini.py:tiny with dotted keys, written with __, changed."""
    config = load("configs/sazs_voc_mini.py", "tiny")
    config["num_devices"] = 1
    config["method"]["transform"] = dict(name=f"{__name__}:regression")
    config["method"]["segments"] |= {"number": 2, "solver": "eigh"}
    for key, value in copy.deepcopy(changes).items():
        *sections, last = key.split("__")
        target = config
        for section in sections:
            target = target[section]
        target[last] = value
    return config


def regression():
    """Small tiles and chance weights: what it says is not looked at."""
    network = InverseTransform(tile=TILE, hidden=(16, 8))
    shape = (1, TILE, TILE)
    empty = jax.numpy.zeros(shape)
    return Regression(network, network.init(jax.random.key(1), empty, empty)["params"])
