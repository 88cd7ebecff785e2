"""A file in torchvision's names becomes a folder that runs start from."""

import re
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg import evaluate, initialization, models, predict, workfolder
from jaxseg.checkpoints import CheckpointError, Checkpoints
from jaxseg.config import ConfigError
from jaxseg.data import inputs
from jaxseg.models.catalogue import Net
from jaxseg.tools import import_weights
from tests.models.fill import shapes_of
from tests.pretrained.test_safetensors import write
from tests.test_train import build, make_config

SPEC = dict(
    name="segmentor.Segmentor",
    backbone=dict(name="backbones.resnet.ResNet", depth=18, width=4),
    head=dict(name="heads.fcn.FCN", features=8),
)
RUN = make_config(model=SPEC)
LABELS = inputs.make_dataset(RUN).labels
CLASSES = LABELS.num_classes

# Ours and torchvision's names of its FCN.
TORCHVISION = (
    (r"backbone/stem_0/conv", "backbone.conv1"),
    (r"backbone/stem_0/norm", "backbone.bn1"),
    (r"backbone/layer(\d)_(\d)/downsample/conv", r"backbone.layer\1.\2.downsample.0"),
    (r"backbone/layer(\d)_(\d)/downsample/norm", r"backbone.layer\1.\2.downsample.1"),
    (r"backbone/layer(\d)_(\d)/conv(\d)/conv", r"backbone.layer\1.\2.conv\3"),
    (r"backbone/layer(\d)_(\d)/conv(\d)/norm", r"backbone.layer\1.\2.bn\3"),
    (r"head/ConvNorm_0/conv", "classifier.0"),
    (r"head/ConvNorm_0/norm", "classifier.1"),
    (r"^classifier/", "classifier.4/"),
    (r"/(kernel|scale)", ".weight"),
    (r"/bias", ".bias"),
    (r"/(mean|var)", r".running_\1"),
)


def published(num_classes=CLASSES):
    """Arrays by torchvision's names, and the same as our variables."""
    network = models.build(SPEC, num_classes=num_classes)
    rng = np.random.default_rng(0)
    ours = jax.tree.map(
        lambda leaf: rng.normal(size=leaf.shape).astype(np.float32),
        shapes_of(network, jnp.zeros((1, 32, 64, 3))),
    )
    theirs = {}
    for path, array in jax.tree.leaves_with_path(ours):
        name = "/".join(key.key for key in path[1:])
        for pattern, other in TORCHVISION:
            name = re.sub(pattern, other, name)
        if array.ndim == 4:
            array = np.moveaxis(array, (-1, -2), (0, 1))
        theirs[name] = np.ascontiguousarray(array)
    return theirs, ours


def save(path, arrays):
    write(path, {name: ("F32", array) for name, array in arrays.items()})
    return str(path)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return save(tmp_path_factory.mktemp("files") / "x.safetensors", published()[0])


@pytest.fixture(autouse=True)
def catalogue(monkeypatch):
    monkeypatch.setitem(models.NETS, "small", Net(SPEC, weights="nobody"))


@pytest.fixture(scope="module")
def imported(file, tmp_path_factory):
    """The folder, with names for the classes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(models.NETS, "small", Net(SPEC, weights="nobody"))
        out = str(tmp_path_factory.mktemp("imported"))
        lines = import_weights.import_weights(file, "small", out, labels=LABELS)
    return out, lines


def run(capsys, *arguments):
    """The exit code, and what was printed to either stream."""
    code = import_weights.main(list(map(str, arguments)))
    printed = capsys.readouterr()
    return code, printed.out + printed.err


def assert_from_the_file(state):
    _, ours = published()
    for collection in ("params", "batch_stats"):
        found = getattr(state, collection)["segmentor"]
        jax.tree.map(np.testing.assert_array_equal, found, ours[collection])
    assert int(state.step) == 0


def test_a_run_scores_what_was_imported(imported, tmp_path):
    config = RUN | dict(init_from=imported[0])
    state = evaluate.restore(config, str(tmp_path), *build(config))
    assert_from_the_file(state)


def test_a_run_starts_from_what_was_imported(imported, tmp_path):
    config = RUN | dict(init_from=imported[0])
    method, mesh = build(config)
    dataset = inputs.make_dataset(config)
    with Checkpoints(str(tmp_path)) as checkpoints:
        state = initialization.initial_state(config, method, mesh, dataset, checkpoints)
    assert_from_the_file(state)


def test_masks_are_predicted_from_the_folder_alone(imported):
    function, labels = predict.load(imported[0])
    assert labels.names == LABELS.names
    picture = np.random.default_rng(0).integers(0, 256, (32, 64, 3), np.uint8)
    network = models.build(SPEC, num_classes=CLASSES)
    logits = jax.jit(lambda image: network.apply(published()[1], image, train=False))(
        picture[None]
    ).logits
    np.testing.assert_array_equal(function(picture), np.argmax(logits[0], -1))


def test_the_report_counts_every_entry(imported):
    out, lines = imported
    assert lines[0].endswith("x.safetensors: torchvision FCN")
    rows = [line.split() for line in lines[2:5]]
    assert [row[0] for row in rows] == ["backbone", "head", "classifier"]
    assert all(row[1] == row[2] for row in rows)
    assert rows[2] == ["classifier", "2", "2"]
    assert lines[5].startswith(f"wrote {out}/checkpoints/0: {CLASSES} classes")


def test_classes_are_as_many_as_in_the_file_and_may_have_no_name(capsys, tmp_path):
    file = save(tmp_path / "x.safetensors", published(num_classes=5)[0])
    code, text = run(capsys, file, "--model", "small", "--out", tmp_path / "out")
    assert code == 0 and "5 classes" in text
    config = RUN | dict(init_from=str(tmp_path / "out"))
    with pytest.raises(CheckpointError, match="of another model"):
        evaluate.restore(config, str(tmp_path), *build(config))


def test_no_object_is_not_a_class():
    spec = dict(
        name="segmentor.Segmentor",
        backbone=dict(name="backbones.tiny.Tiny"),
        head=dict(name="heads.maskformer.PixelDecoder"),
        decoder=dict(name="heads.maskformer.MaskFormerDecoder", depth=1),
    )
    in_file = {("params", "decoder", "class_embed", "kernel"): (256, 151)}
    assert import_weights.count_classes(in_file, spec, "a file") == 150


def test_another_class_count_has_to_be_allowed(capsys, file, tmp_path):
    arguments = [file, "--model", "small", "--out", tmp_path, "--num_classes", 3]
    code, text = run(capsys, *arguments)
    assert code == 1 and "--allow" in text
    shapes = f"(1, 1, 8, {CLASSES}) in the file, (1, 1, 8, 3) in the model"
    assert f"classifier/kernel: {shapes}" in text
    code, text = run(capsys, *arguments, "--allow", "classifier")
    assert code == 0 and "to be trained before it is scored: classifier" in text
    assert f"kernel: (1, 1, 8, {CLASSES}) there, (1, 1, 8, 3) in the model" in text


def test_a_backbones_file_leaves_the_rest_to_chance(capsys, tmp_path):
    arrays = {
        name.removeprefix("backbone."): array
        for name, array in published()[0].items()
        if name.startswith("backbone.")
    }
    file = save(tmp_path / "x.safetensors", arrays)
    arguments = [file, "--model", "small", "--out", tmp_path / "out"]
    code, text = run(capsys, *arguments)
    assert code == 1 and "no classifier: give --num_classes" in text
    code, text = run(capsys, *arguments, "--num_classes", 3)
    assert code == 0 and "before it is scored: head, classifier" in text
    config = RUN | dict(init_from=str(tmp_path / "out"))
    with pytest.raises(ConfigError, match="classifier, head would be chance"):
        evaluate.restore(config, str(tmp_path), *build(config))


def test_training_from_folded_weights_measures_them_first(
    imported, tmp_path, monkeypatch
):
    measured = []
    monkeypatch.setattr(
        initialization,
        "calibrate",
        lambda config, method, state, *_: measured.append(1),
    )
    folder = tmp_path / "folded"
    shutil.copytree(imported[0], folder)
    record = workfolder.read_config(str(folder))
    record[workfolder.IMPORTED]["folded"] = True
    workfolder.write_json(str(folder / "config.json"), record)
    for source, times in ((imported[0], 0), (str(folder), 1)):
        config = RUN | dict(init_from=source)
        method, mesh = build(config)
        dataset = inputs.make_dataset(config)
        with Checkpoints(str(tmp_path / "run")) as checkpoints:
            initialization.initial_state(config, method, mesh, dataset, checkpoints)
        assert len(measured) == times


def test_a_config_names_the_model_too(capsys, file, tmp_path):
    (tmp_path / "wide.py").write_text(
        "import ml_collections\n"
        "def get_config(variant=''):\n"
        f"    config = ml_collections.ConfigDict(dict(model={SPEC!r}))\n"
        "    config.model.backbone.width = int(variant)\n"
        "    return config\n"
    )
    path = f"{tmp_path / 'wide.py'}:4"
    assert run(capsys, file, "--model", path, "--out", tmp_path / "out")[0] == 0
    path = f"{tmp_path / 'wide.py'}:8"
    code, text = run(capsys, file, "--model", path, "--out", tmp_path / "other")
    assert code == 1 and "holds another network" in text
    assert len(text.splitlines()) < 20


def test_mistakes_are_one_sentence(capsys, file, imported, tmp_path):
    (tmp_path / "text").write_text("no weights")
    foreign = save(tmp_path / "x.safetensors", {"a": np.zeros(3, np.float32)})
    for arguments, answer in (
        ((file, "--model", "smal"), "did you mean 'small'?"),
        ((file, "--model", "no.py"), "there is no config no.py"),
        (("nowhere", "--model", "small"), "there is no weights file nowhere"),
        ((tmp_path / "text", "--model", "small"), "not a file of weights"),
        ((foreign, "--model", "small"), "no network that fits this model"),
    ):
        code, text = run(capsys, *arguments, "--out", tmp_path / "out")
        assert code == 1 and answer in text, text
        assert len(text.splitlines()) == 1
    code, text = run(capsys, file, "--model", "small", "--out", imported[0])
    assert code == 1 and "holds a run already" in text
