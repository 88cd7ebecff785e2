import pytest

from jaxseg.config import ConfigError
from jaxseg.models import NETS, build
from jaxseg.models.miniatures import SMALLER, miniature
from tests.models.fill import num_parameters


@pytest.mark.parametrize("name", SMALLER)
def test_miniatures_have_the_same_parts_and_few_numbers(name):
    spec = miniature(name)
    for part, fields in SMALLER[name].items():
        assert spec[part]["name"] == NETS[name].spec[part]["name"]
        assert fields.items() <= spec[part].items()
        assert NETS[name].spec[part] != spec[part]  # the catalogue is as it was
    assert num_parameters(build(spec, num_classes=10)) < 1_000_000


def test_what_has_no_miniature_is_named():
    with pytest.raises(ConfigError, match="did you mean 'hrnet_w48'"):
        miniature("hrnet_w18")
