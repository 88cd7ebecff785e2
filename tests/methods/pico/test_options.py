"""That values which cannot be are named, with what to use."""

import pytest

from jaxseg.config import ConfigError
from jaxseg.methods.pico import options
from tests.test_train import build, make_config

OFFICIAL = dict(
    official_memory_compat=True,
    contrast_set="memory",
    example_mode="all",
    num_mixed_negatives=0,
    num_anchor_mixes=0,
)


def make(**changes):
    return build(make_config(method=dict(name="pico.PiCo", **changes)))[0]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("contrast_set", "bank", "'batch', 'memory', 'both'"),
        ("contrast_scope", "image", "'inter', 'intra'"),
        ("anchor_mode", "easy", "'hard', 'random', 'per_class'"),
        ("memory_dtype", "float16", "memory_dtype is 'float16'"),
        ("max_views", 0, "max_views is 0"),
        ("anchors_per_class", 0, "anchors_per_class is 0"),
        ("group_size", -1, "group_size is -1"),
        ("region_size", -5, "region_size is -5"),
        ("pixel_size", -5, "pixel_size is -5"),
        ("temperature", 0.0, "temperature is 0.0"),
        ("base_temperature", -0.1, "base_temperature is -0.1"),
        ("temperature", float("nan"), "temperature is nan"),
        # Those of the examples' rule.
        ("example_mode", "hard", "'semi_hard'"),
        ("semi_hard_fraction", 1.5, "semi_hard_fraction"),
        ("num_negatives", 0, "num_negatives"),
        ("mix_pairs", "never", "'per_class'"),
    ],
)
def test_a_value_that_cannot_be_is_named(key, value, message):
    with pytest.raises(ConfigError, match=message):
        make(**{key: value})


@pytest.mark.parametrize("contrast_set", ["memory", "both"])
def test_the_contrast_within_images_is_without_a_memory(contrast_set):
    message = f"contrast_scope='intra'.*contrast_set is '{contrast_set}': use 'batch'"
    with pytest.raises(ConfigError, match=message):
        make(contrast_scope="intra", contrast_set=contrast_set)
    make(contrast_scope="intra", contrast_set="batch")


def test_a_memory_has_something_to_remember():
    with pytest.raises(ConfigError, match="contrast_set='batch'"):
        make(region_size=0, pixel_size=0)
    make(region_size=0)
    make(region_size=0, pixel_size=0, contrast_set="batch")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(contrast_set="both"), "contrast_set is 'both': use 'memory'"),
        (dict(region_size=0), r"regions and pixels, not \(0, 10000\)"),
        (dict(anchor_mode="per_class"), "set anchor_mode='hard'$"),
        (
            dict(example_mode="semi_hard", num_mixed_negatives=512),
            "given example_mode='semi_hard', num_mixed_negatives=512: "
            "set example_mode='all', num_mixed_negatives=0$",
        ),
    ],
)
def test_the_authors_memory_has_no_other_options(changes, message):
    make(**OFFICIAL)
    with pytest.raises(ConfigError, match=message):
        make(**OFFICIAL | changes)


def test_the_table_of_lowest_values_names_fields():
    method = make()
    for name in [*options.LOWEST, *options.CHOICES]:
        assert hasattr(method, name)


def test_a_step_looks_at_a_column_of_every_class_at_least():
    few = dict(bank_columns=9)  # of ten classes
    with pytest.raises(ConfigError, match="bank_columns is 9 for 10 classes"):
        make(**few)
    make(contrast_set="batch", **few)
    make(contrast_weight=0.0, **few)
    make(example_mode="all", num_mixed_negatives=0, num_anchor_mixes=0, **few)
