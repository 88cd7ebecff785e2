import pathlib

import pytest

from jaxseg.models import NETS
from jaxseg.tools import model_table

DOCUMENT = pathlib.Path(__file__).parents[2] / "docs" / "models.md"

# Of the authors' modules, auxiliary heads included; see the papers' specifications and
# the model cards of torchvision, SegFormer and MaskFormer.
PUBLISHED = {
    ("fcn_r50", 21): 35_322_218,
    ("fcn_r101", 21): 54_314_346,
    ("deeplabv3_r50", 21): 42_004_074,
    ("deeplabv3_r101", 21): 60_996_202,
    ("deeplabv3_mobilenet_v3_large", 21): 11_029_328,
    ("pico_deeplabv3_r101", 19): 89_570_278,
    ("pico_deeplabv3_r101", 150): 89_671_148,
    ("hrnet_w48", 19): 70_006_560,
    ("hrnet_w48", 150): 70_100_880,
    ("ocr_hrnet_w48", 19): 74_522_182,
    ("ocr_hrnet_w48", 150): 74_683_836,
    ("ocr_r101", 19): 57_988_838,
    ("ocr_r101", 150): 58_123_244,
    ("deeplabv2_r101", 21): 44_048_532,
    ("segformer_b0", 19): 3_719_027,
    ("segformer_b1", 19): 13_682_131,
    ("segformer_b2", 19): 27_361_235,
    ("segformer_b3", 19): 47_237_075,
    ("segformer_b4", 19): 64_007_635,
    ("segformer_b5", 19): 84_607_955,
    ("segformer_b5", 150): 84_708_694,
}


@pytest.mark.parametrize(("name", "num_classes"), PUBLISHED)
def test_networks_have_as_many_parameters_as_published(name, num_classes):
    count = model_table.num_parameters(name, num_classes=num_classes)
    assert count == PUBLISHED[name, num_classes]


@pytest.mark.parametrize("name", NETS)
def test_the_document_has_every_network_with_its_parameters(name):
    rows = [row for row in DOCUMENT.read_text().splitlines() if f"`{name}` |" in row]
    assert len(rows) == 1
    _, _, count, _ = rows[0].split("|", 3)
    assert int(count.replace(" ", "")) == model_table.num_parameters(name)
    assert NETS[name].weights in rows[0]


def test_the_work_of_a_convolution_is_counted_as_known():
    """A 1x1 convolution of the last map is the only difference of two class counts."""
    one, other = (
        model_table.gflops("segformer_b0", num_classes=n, size=64) for n in (10, 11)
    )
    pixels, features = 16 * 16, 256
    enlarged = 2 * 64 * 16 * 16 + 2 * 64 * 16 * 64  # matrix products to 64x64
    wanted = 2 * pixels * features + pixels + enlarged
    assert (other - one) * 1e9 == pytest.approx(wanted, rel=0.05)


def test_the_command_prints_one_row_a_network(capsys):
    assert model_table.main(["segformer_b0"]) == 0
    header, line, row = capsys.readouterr().out.splitlines()
    assert "parameters" in header and set(line) == {"|", "-"}
    assert row.startswith("| `segformer_b0` | 3 719 027 |")


@pytest.mark.slow
def test_the_compilation_of_a_step_is_timed():
    assert model_table.compile_seconds("deeplabv3_mobilenet_v2_dm05", size=32) > 0


def test_an_unknown_network_is_one_sentence(capsys):
    assert model_table.main(["segformer_b9"]) == 1
    assert "did you mean 'segformer_b" in capsys.readouterr().err
