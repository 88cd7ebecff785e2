import importlib.util
import pathlib

import jax
import jax.numpy as jnp
import pytest

import jaxseg.models
from jaxseg.config import ConfigError
from jaxseg.models import NETS, build, create

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"


def config_of(name):
    spec = importlib.util.spec_from_file_location(name, CONFIGS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config


def test_a_name_makes_the_network_that_its_spec_makes():
    made = create("hrnet_w48", num_classes=7)
    assert made == build(NETS["hrnet_w48"].spec, num_classes=7)
    assert made.num_classes == 7


def test_fields_change_the_whole_or_one_key_of_a_part():
    made = create("hrnet_w48", num_classes=3, dtype="bfloat16", backbone=dict(width=18))
    assert (made.dtype, made.backbone.dtype, made.head.dtype) == ("bfloat16",) * 3
    assert made.backbone.width == 18
    assert create("hrnet_w48", num_classes=3).backbone.width == 48


def test_a_part_may_compute_otherwise_than_the_whole():
    made = create(
        "hrnet_w48", num_classes=3, dtype="bfloat16", head=dict(dtype="float32")
    )
    assert (made.backbone.dtype, made.head.dtype) == ("bfloat16", "float32")


def test_an_unknown_name_or_field_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'hrnet_w48'"):
        create("hrnet_w84", num_classes=3)
    with pytest.raises(ConfigError, match="has no key 'backbones'"):
        create("hrnet_w48", num_classes=3, backbones={})


# Deeper and wider ones of a family that has a smaller one.
LARGE = ("r101", "l16", "_large", "b3", "b4", "b5", "w48", "w48_v2", "105")


def sizes():
    for name in NETS:
        slow = name.endswith(LARGE) and name != "hrnet_w48"
        yield pytest.param(name, marks=pytest.mark.slow if slow else ())


@pytest.mark.parametrize("name", list(sizes()))
def test_every_network_segments_a_picture_of_odd_size(name):
    model = create(name, num_classes=5)
    image = jnp.zeros((1, 97, 65, 3))
    outputs, variables = jax.eval_shape(
        lambda key: model.init_with_output(key, image, train=False), jax.random.key(0)
    )
    assert outputs.logits.shape == (1, 97, 65, 5)
    assert outputs.logits.dtype == jnp.float32
    dtypes = {str(leaf.dtype) for leaf in jax.tree.leaves(variables)}
    assert dtypes == {"float32"}
    assert NETS[name].weights


def test_the_config_of_cityscapes_trains_the_catalogues_network():
    config = config_of("pico_cityscapes")("").to_dict()
    model = build(config["model"] | {"dtype": "float32"}, num_classes=19)
    assert model == create("hrnet_w48", num_classes=19)


def test_the_package_makes_networks_by_a_plain_call():
    assert jaxseg.models.create is create
