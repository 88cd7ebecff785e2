"""The table is what transformers' CLIP says of the same texts, computed once a run."""

import pathlib

import numpy as np
import pytest

from jaxseg import evaluate, predict, train
from jaxseg.config import ConfigError
from jaxseg.data import clip_tokenizer, inputs
from jaxseg.data.word_vectors import WordVectorError
from jaxseg.pretrained import text_table
from jaxseg.pretrained.text_table import encode, load_tower
from tests.methods.test_spnet import spnet_config
from tests.pretrained import clip_file
from tests.pretrained.published import relative_difference

NAMES = ("background", "cat", "traffic light", "tvmonitor")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return clip_file.write(tmp_path_factory.mktemp("clip") / "small.npz")


@pytest.fixture(scope="module")
def table(weights):
    return encode(NAMES, weights=weights)


def test_there_is_a_row_a_class(table):
    assert table.shape == (4, clip_file.EMBEDDING) and table.dtype == np.float32
    assert not table.flags.writeable and np.isfinite(table).all()


def test_rows_are_those_of_transformers(transformers, tmp_path):
    import torch

    torch.manual_seed(0)
    ids, ranks = clip_tokenizer.vocabulary()
    settings = transformers.CLIPTextConfig(
        vocab_size=len(ids),
        hidden_size=64,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=1,
        projection_dim=10,
        eos_token_id=49_407,
    )
    theirs = transformers.CLIPTextModelWithProjection(settings).eval()
    theirs.save_pretrained(tmp_path)
    tokenizer = transformers.CLIPTokenizer(vocab=dict(ids), merges=list(ranks))
    texts = ["others", "a cat", "trafficlight", "wow!!"]
    with torch.no_grad():
        expected = [
            theirs(**tokenizer(text, return_tensors="pt")).text_embeds[0]
            for text in texts
        ]
    words = dict(background="others", cat="a cat", tv="wow!!")
    spelling = dict(**words, lights="trafficlight")
    names = ("background", "cat", "lights", "tv")
    ours = encode(
        names,
        weights=str(tmp_path / "model.safetensors"),
        prompt_names=spelling,
    )
    assert relative_difference(ours, torch.stack(expected)) < 1e-4


def test_a_row_depends_on_its_own_text_alone(weights, table):
    (alone,) = encode(["tvmonitor"], weights=weights)
    np.testing.assert_allclose(alone, table[3], atol=1e-5)


def test_a_large_table_is_one_call(weights, table, monkeypatch):
    calls, compiled = [], text_table._table
    monkeypatch.setattr(
        text_table, "_table", lambda *given: calls.append(1) or compiled(*given)
    )
    names = [*(f"cat {i}" for i in range(text_table.BATCH + 3)), "tvmonitor"]
    many = encode(names, weights=weights)
    np.testing.assert_allclose(many[-1], table[3], atol=1e-5)
    assert len(many) == len(names) and len(calls) == 1


def test_an_ensemble_is_the_mean_of_unit_vectors_made_one(weights):
    forms = ("{}", "a photo of a {}", "the {} in a {{street}}")
    single = [encode(NAMES, weights=weights, templates=(form,)) for form in forms]
    units = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in single]
    expected = np.mean(units, axis=0)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    found = encode(NAMES, weights=weights, templates=forms)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_templates_and_names_change_what_is_asked(weights, table):
    photo = encode(NAMES, weights=weights, templates="photo")
    np.testing.assert_array_equal(
        photo, encode(NAMES, weights=weights, templates=("a photo of a {}",))
    )
    assert np.abs(photo - table).max() > 1e-3
    lseg = encode(NAMES, weights=weights, prompt_names="lseg")
    moved = np.abs(lseg - table).max(axis=1) > 1e-4
    assert moved.tolist() == [False, False, True, False]
    wall = encode(NAMES, weights=weights, background="wall")
    assert (np.abs(wall - table).max(axis=1) > 1e-4).tolist() == [True] + 3 * [False]


def test_half_precision_files_are_read_as_float32(weights, table, tmp_path):
    with np.load(weights) as file:
        half = {name: file[name].astype(np.float16) for name in file.files}
    np.savez(tmp_path / "half.npz", **half)
    found = encode(NAMES, weights=str(tmp_path / "half.npz"))
    assert found.dtype == np.float32
    assert 0 < np.abs(found - table).max() < 0.01


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_compiled_programs_are_read_as_openai_publishes_them(
    torch, weights, table, tmp_path
):
    class Model(torch.nn.Module):
        def forward(self, x):
            return x

    whole = Model()
    with np.load(weights) as file:
        for name in file.files:
            *path, leaf = name.split(".")
            module = whole
            for part in path:
                if part not in dict(module.named_children()):
                    module.add_module(part, Model())
                module = module.get_submodule(part)
            value = torch.nn.Parameter(torch.from_numpy(file[name]))
            module.register_parameter(leaf, value)
    torch.jit.trace(whole, torch.ones(1)).save(tmp_path / "ViT.pt")
    found = encode(NAMES, weights=str(tmp_path / "ViT.pt"))
    np.testing.assert_array_equal(found, table)


SHAPES = {
    "ViT-B/32": clip_file.published(32, 50),
    "ViT-B/16": clip_file.published(16, 197),
    "ViT-L/14": clip_file.published(14, 257, width=768, embedding=768),
}


@pytest.mark.parametrize("name", SHAPES)
def test_published_files_are_recognised(name):
    shape, network = text_table.recognise(SHAPES[name], "a file")
    assert text_table.choose(shape, "", "a file") == name
    assert network.num_heads == {512: 8, 768: 12}[network.width]
    for other in SHAPES.keys() - {name}:
        with pytest.raises(ValueError, match=f"a file holds {name} .*tower='{other}'"):
            text_table.choose(shape, other, "a file")


def test_text_towers_alone_may_be_of_two_models():
    shape, _ = text_table.recognise(clip_file.published(0, 0), "a file")
    assert text_table.choose(shape, "", "a file") == ""
    assert text_table.choose(shape, "ViT-B/16", "a file") == "ViT-B/16"
    with pytest.raises(ValueError, match="ViT-B/32 or ViT-B/16 .*'ViT-L/14'"):
        text_table.choose(shape, "ViT-L/14", "a file")


def test_a_larger_picture_makes_another_model():
    shapes = clip_file.published(14, 577, width=768, embedding=768)
    shape, _ = text_table.recognise(shapes, "a file")
    assert text_table.choose(shape, "", "a file") == ""


@pytest.mark.parametrize(
    "given, message",
    [
        (dict(tower="ViT-B/16"), r"small\.npz holds another CLIP .*tower='ViT-B/16'"),
        (dict(tower="B16"), "tower='B16' is none.*ViT-B/16"),
        (dict(templates=("a photo",)), "a template has {} once"),
        (dict(prompt_names="spaced"), "prompt_names is 'own' or 'lseg'"),
        (dict(background=""), "'background' has an empty text"),
        (dict(templates=("so " * 80 + "{}",)), "has 83 tokens .* and CLIP reads 77"),
    ],
)
def test_what_cannot_be_encoded_is_said(weights, given, message):
    with pytest.raises(ValueError, match=message):
        encode(NAMES, weights=weights, **given)


def test_long_prompts_may_be_cut(weights):
    names = ["cat " * 90, "cat " * 75]
    long, short = encode(names, weights=weights, truncate=True)
    np.testing.assert_allclose(long, short, atol=1e-6)


def test_other_files_are_refused(tmp_path, weights_file):
    with pytest.raises(ValueError, match="holds no text tower of CLIP"):
        load_tower(str(weights_file))
    with pytest.raises(FileNotFoundError):
        load_tower(str(tmp_path / "none.pt"))
    shapes = clip_file.arrays()
    shapes["token_embedding.weight"] = np.zeros((100, 64), np.float32)
    np.savez(tmp_path / "few.npz", **shapes)
    with pytest.raises(ValueError, match="vocabulary of 100 tokens"):
        load_tower(str(tmp_path / "few.npz"))


def run_config(weights):
    config = spnet_config()
    name = "jaxseg.pretrained.text_table:encode"
    return config | {"word_vectors": dict(name=name, weights=weights)}


def test_a_config_names_the_table(weights):
    config = run_config(weights)
    labels = inputs.make_dataset(config).labels
    expected = encode(labels.names, weights=weights)
    np.testing.assert_array_equal(labels.word_vectors, expected)
    config["word_vectors"]["templats"] = ()
    with pytest.raises(ConfigError, match="did you mean 'templates'"):
        inputs.make_dataset(config)


def test_a_run_computes_it_once_and_is_scored_without_the_weights(
    tmp_path, monkeypatch
):
    weights, calls = clip_file.write(tmp_path / "clip.npz"), []
    embed = text_table.embed
    monkeypatch.setattr(
        text_table, "embed", lambda *a, **k: calls.append(1) or embed(*a, **k)
    )
    config, workdir = run_config(weights), str(tmp_path / "run")
    scores = train.train(config, workdir)
    assert len(calls) == 1
    pathlib.Path(weights).unlink()
    again = evaluate.run(config, workdir)
    assert again["val"]["mean_iou"] == scores["val"]["mean_iou"]
    assert predict.load(workdir) and len(calls) == 1


def test_a_run_without_its_weights_says_so(tmp_path):
    config = run_config(str(tmp_path / "none.npz"))
    with pytest.raises((FileNotFoundError, WordVectorError), match=r"none\.npz"):
        train.train(config, str(tmp_path / "run"))
