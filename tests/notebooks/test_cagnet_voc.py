"""The notebook runs from its first cell to its last, as Colab would, in few steps."""

import ast
import pathlib

import nbclient
import nbformat
import pytest

from tests.notebooks.test_pico_camvid import ENVIRONMENT, outputs

ROOT = pathlib.Path(__file__).parent.parent.parent
PATH = ROOT / "notebooks" / "cagnet_voc.ipynb"

pytestmark = pytest.mark.slow


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


def test_data_curves_and_what_was_learnt_are_drawn(executed):
    pictures = [data for data in outputs(executed) if "image/png" in data]
    assert len(pictures) == 9  # data, the curves of four stages, four looks
    assert all(len(data["image/png"]) > 5_000 for data in pictures)


def test_every_stage_is_scored_on_seen_and_unseen_classes(executed):
    (shown,) = outputs(executed, "scores")
    scores = ast.literal_eval(shown["text/plain"])
    assert list(scores) == ["step1", "mixed", "st", "st_mixed"]
    for values in scores.values():
        assert all(0 <= values[f"{x}_iou"] <= 1 for x in ("seen", "unseen", "harmonic"))
