"""The notebook runs from its first cell to its last, as Colab would, in two steps."""

import ast
import math
import pathlib

import nbclient
import nbformat
import pytest

from tests import xla

ROOT = pathlib.Path(__file__).parent.parent.parent
PATH = ROOT / "notebooks" / "pico_camvid.ipynb"
ENVIRONMENT = {
    "JAXSEG_NOTEBOOK": "tiny",
    "PYTHONPATH": str(ROOT),
    # One device, which compiles faster than the tests' eight, and t-SNE on one core:
    # its threads wait for each other where cores are shared.
    "XLA_FLAGS": xla.FAST,
    "OMP_NUM_THREADS": "1",
}


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """The notebook with its outputs; a cell that fails raises here."""
    notebook = nbformat.read(PATH, as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=500, resources={"metadata": {"path": str(PATH.parent)}}
    )
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        patch.setenv("JAXSEG_RUNS", str(tmp_path_factory.mktemp("runs")))
        patch.delenv("JAXSEG_DATA", raising=False)
        client.execute()
    return notebook.cells


def outputs(cells, tag=""):
    """What the cells with a tag show, by type; of all cells without one."""
    return [
        output.data
        for cell in cells
        if cell.cell_type == "code" and tag in ("", *cell.metadata.get("tags", ()))
        for output in cell.outputs
        if "data" in output
    ]


def numbers(cells, tag):
    (shown,) = outputs(cells, tag)
    return ast.literal_eval(shown["text/plain"])


def test_data_curves_vectors_and_predictions_are_drawn(executed):
    pictures = [data for data in outputs(executed) if "image/png" in data]
    assert len(pictures) == 5  # two runs have curves
    assert all(len(data["image/png"]) > 5_000 for data in pictures)


def test_both_runs_are_scored(executed):
    scores = numbers(executed, "scores")
    assert set(scores) == {"cross entropy", "PiCo"}
    assert all(0 <= score <= 1 for score in scores.values())


def test_every_cloud_has_its_numbers(executed):
    measured = numbers(executed, "separation")
    assert len(measured) == 4
    for cloud in measured.values():
        assert set(cloud) == {"silhouette", "within", "between"}
        assert all(math.isfinite(number) for number in cloud.values())
