import ml_collections
import pytest

from jaxseg.config import ConfigError
from jaxseg.methods.pico import PiCo, variants

NETWORKS = ("small", "large")


def config():
    found = ml_collections.ConfigDict()
    found.model = dict(name="anything")
    found.method = {
        name: getattr(PiCo, name)
        for name in PiCo.__dataclass_fields__
        if hasattr(PiCo, name)
    }
    return found


@pytest.mark.parametrize(
    ("variant", "network", "words"),
    [
        ("", "small", []),
        ("large", "large", []),
        ("tiny,large,both", "large", ["tiny", "both"]),
    ],
)
def test_a_variant_is_a_network_and_other_words(variant, network, words):
    assert variants.split(variant, NETWORKS) == (network, words)


def test_a_config_of_one_network_has_other_words_alone():
    assert variants.split("both,tiny", ()) == ("", ["both", "tiny"])


@pytest.mark.parametrize("variant", ["small,large", "both,pixel", "larg", "a,b"])
def test_other_words_and_two_of_a_kind_are_refused(variant):
    with pytest.raises(ConfigError):
        variants.split(variant, NETWORKS)


@pytest.mark.parametrize("row", variants.ABLATIONS)
def test_rows_change_fields_of_the_method(row):
    found, before = config(), config()
    variants.apply(found, [row])
    assert found.method != before.method
    assert found.model == before.model
    assert set(variants.ABLATIONS[row]) <= set(before.method)


def test_tiny_keeps_what_the_row_leaves_out():
    found = config()
    variants.apply(found, ["tiny", "region"], model="segformer_b2")
    assert found.method.pixel_size == 0 < found.method.region_size <= 8
    assert found.method.num_mixed_negatives == 0 and found.total_steps == 2
    assert found.model.head.features == 16
    plain = config()
    variants.apply(plain, ["tiny"])
    assert plain.model.name == "anything"
