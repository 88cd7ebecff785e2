"""The notebook runs from its first cell to its last, as Colab would, on few nodes."""

import pathlib

import nbclient
import nbformat
import pytest

from tests.notebooks.test_pico_camvid import ENVIRONMENT, numbers, outputs

ROOT = pathlib.Path(__file__).parent.parent.parent
PATH = ROOT / "notebooks" / "sazs_spectral.ipynb"
FOREIGN = ("JAXSEG_DATA", "JAXSEG_WEIGHTS", "JAXSEG_IMAGES")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def executed():
    """The notebook with its outputs; a cell that fails raises here."""
    notebook = nbformat.read(PATH, as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": str(PATH.parent)}}
    )
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        for name in FOREIGN:
            patch.delenv(name, raising=False)
        client.execute()
    return notebook.cells


def test_picture_vectors_box_and_regions_are_drawn(executed):
    pictures = [data for data in outputs(executed) if "image/png" in data]
    assert len(pictures) == 5  # the panel twice, once with colours
    assert all(len(data["image/png"]) > 5_000 for data in pictures)


def test_it_says_that_the_features_are_untrained(executed):
    assert numbers(executed, "features") == "an untrained network"


def test_the_box_lies_in_the_picture(executed):
    (cell,) = [c for c in executed if "box" in c.metadata.get("tags", ())]
    (printed,) = [o.text for o in cell.outputs if o.output_type == "stream"]
    left, top, right, bottom = map(int, printed.strip("()\n").split(","))
    assert 0 <= left < right <= 256 and 0 <= top < bottom <= 192
