"""What the tool stores is what a run would have computed, and says of which model."""

import numpy as np
import pytest

from jaxseg.data import clip_text, inputs
from jaxseg.data.labels import CAMVID
from jaxseg.pretrained import text_table
from jaxseg.tools.text_table import main
from tests.pretrained import clip_file

CONFIG = """
import ml_collections

def get_config(variant=""):
    config = ml_collections.ConfigDict()
    config.data = dict(name="camvid.CamVid", root="none", batch_size=1, crop=(8, 8))
    return config
"""
MODEL = "ViT-B/32"


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return clip_file.write(tmp_path_factory.mktemp("clip") / "small.npz")


@pytest.fixture
def run(weights, tmp_path, monkeypatch):
    """Runs the tool as if the small tower were one of ViT-B/32's."""
    small = text_table.Shape(clip_file.WIDTH, clip_file.DEPTH, clip_file.EMBEDDING)
    monkeypatch.setitem(text_table.SHAPES, MODEL, small)
    monkeypatch.setitem(clip_text.EMBEDDING_DIMS, MODEL, clip_file.EMBEDDING)

    def call(*arguments):
        out = str(tmp_path / "table.npz")
        given = ("--weights", weights, "--out", out, *arguments)
        return main(given), out

    return call


def test_names_are_encoded_and_found_again(run, weights, capsys):
    code, out = run("--classes", "background,cat,tvmonitor=tv", "--templates", "a")
    assert code == 0
    with np.load(out) as file:
        assert file["names"].tolist() == ["others", "cat", "tvmonitor"]
        assert file["prompts"].tolist() == ["a others", "a cat", "a tv"]
        assert (str(file["model"]), file["template"].tolist()) == (MODEL, ["a {}"])
    names = ("tvmonitor", "background", "cat")
    found = clip_text.read(names, path=out, model=MODEL, background="others")
    expected = text_table.encode(
        names, weights=weights, templates=("a {}",), prompt_names={"tvmonitor": "tv"}
    )
    np.testing.assert_allclose(found, expected, atol=1e-5)
    said = capsys.readouterr().out
    assert "CLIP ViT-B/32: 3 classes" in said and 'background="others"' in said


def test_several_templates_are_averaged(run, weights):
    given = ("--template", "{}", "--template", "the {}")
    code, out = run("--classes", "cat,dog", *given)
    assert code == 0
    with np.load(out) as file:
        assert file["prompts"].tolist() == ["cat | the cat", "dog | the dog"]
        lengths = np.linalg.norm(file["embeddings"], axis=1)
    np.testing.assert_allclose(lengths, 1, rtol=1e-5)


def test_classes_may_be_those_of_a_config(run, tmp_path, monkeypatch):
    class Classes:
        labels = CAMVID

    monkeypatch.setattr(inputs, "make_dataset", lambda config: Classes())
    (tmp_path / "own.py").write_text(CONFIG)
    code, out = run("--config", str(tmp_path / "own.py"))
    assert code == 0
    with np.load(out) as file:
        assert file["names"].tolist() == list(CAMVID.names)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("--classes", "cat", "--tower", "ViT-L/14"), "tower='ViT-L/14' is asked for"),
        (("--classes", "cat", "--template", "a photo"), "a template has {} once"),
        (("--classes", ","), "holds no class"),
        (("--classes", "cat " * 99), "tokens with its start and end"),
        (("--classes", "tv=cat", "--prompt_names", "lseg"), "give one of the two"),
        (("--classes", "cat", "--out", "table.txt"), "must end in .npz"),
    ],
)
def test_what_cannot_be_done_is_said(run, capsys, arguments, message):
    assert run(*arguments)[0] == 1
    assert message in capsys.readouterr().err


def test_an_unknown_model_is_asked_for(weights, tmp_path, capsys):
    out = str(tmp_path / "table.npz")
    assert main(["--weights", weights, "--classes", "cat", "--out", out]) == 1
    assert "say it by --tower" in capsys.readouterr().err
