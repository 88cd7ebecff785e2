import pathlib

import numpy as np
import pytest

from jaxseg import config as config_lib
from jaxseg import train
from jaxseg.models.inverse_transform import InverseTransform
from jaxseg.pretrained import inverse_transform as weights
from jaxseg.pretrained.inverse_transform import Regression
from jaxseg.tools import inverse_transform as tool

CONFIG = pathlib.Path(__file__).parents[2] / "configs" / "sazs_inverseform.py"


def test_the_packaged_network_is_as_good_as_is_asked():
    found = tool.figures(weights.read(), num_pairs=2048)
    assert not tool.missed(found), found


def test_the_packaged_file_is_small():
    path = pathlib.Path(weights.packaged())
    assert path.stat().st_size < 8e6


class Oracle(InverseTransform):
    """Answers what its parameters say, whatever the tiles."""

    def transforms(self, params, predicted, true):
        return params + 0 * predicted[:, 0, :4]


def test_a_network_that_always_answers_none_is_refused():
    found = tool.figures(Regression(Oracle(tile=14), np.zeros(4)), num_pairs=512)
    assert abs(found["scale_r2"]) < 0.05 and found["still_norm"] == 0
    assert set(tool.missed(found)) == {"scale_r2", "shift_r2", "rank_correlation"}


@pytest.mark.slow
def test_a_run_becomes_a_file(tmp_path, capsys):
    config = config_lib.load(CONFIG, "tiny")
    train.train(config, str(tmp_path / "run"))
    out = str(tmp_path / "theta.safetensors")
    few = ["--pairs", "64"]
    assert tool.main(["--workdir", str(tmp_path / "run"), "--out", out, *few]) == 1
    printed = capsys.readouterr().out
    assert "missed: scale_r2, shift_r2" in printed and "14 x 14" in printed
    network, params = weights.read(out)
    assert (network.tile, network.hidden) == (14, (8, 6))
    ran = tool.from_run(str(tmp_path / "run")).params
    for name, layer in params.items():
        np.testing.assert_array_equal(layer["kernel"], ran[name]["kernel"])


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--workdir", "nowhere"], "nowhere holds no run"),
        (["--weights", "nowhere.pth"], "no weights file nowhere.pth"),
    ],
)
def test_what_is_not_there_is_named(arguments, message, capsys):
    assert tool.main(arguments) == 2
    assert message in capsys.readouterr().err
