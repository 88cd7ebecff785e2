import numpy as np
import pytest
from PIL import Image

from jaxseg import predict, train
from jaxseg.data import pictures
from jaxseg.data.cityscapes import Cityscapes
from jaxseg.data.labels import CITYSCAPES, VOC, LabelSet
from jaxseg.tools import export_cityscapes as tool
from tests.data.conftest import save
from tests.test_train import make_config

SIZE = (24, 32)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Cityscapes with three pictures a split, whose every pixel has a class."""
    root, rng = tmp_path_factory.mktemp("cityscapes"), np.random.default_rng(0)
    for split in ("train", "test"):
        for i in range(3):
            city = ("berlin", "bonn")[i % 2]
            name = f"{split}/{city}/{city}_000000_{i:06}"
            picture = rng.integers(0, 256, (*SIZE, 3), np.uint8)
            save(root / "leftImg8bit" / f"{name}_leftImg8bit.png", picture)
            ids = rng.choice(np.array(CITYSCAPES.class_raw_ids, np.uint8), SIZE)
            save(root / "gtFine" / f"{name}_gtFine_labelIds.png", ids)
    return root


@pytest.fixture
def files(root):
    return tool.find_pictures(str(root / "leftImg8bit" / "test"), expected=3)


def oracle(root):
    """A function that knows the train ids of every picture."""
    source = Cityscapes(root=str(root)).source("test")
    known = {source[i]["image"].tobytes(): source[i]["label"] for i in range(3)}
    return lambda image: known[image.tobytes()].astype(np.int32)


@pytest.fixture
def out(root, files, tmp_path):
    tool.export(oracle(root), CITYSCAPES, files, str(tmp_path / "out"))
    return tmp_path / "out"


def test_perfect_predictions_are_the_published_label_ids(root, files, out):
    for name in files:
        (truth,) = root.glob(f"gtFine/test/*/{name}_gtFine_labelIds.png")
        with Image.open(out / f"{name}_labelIds.png") as mask, Image.open(truth) as t:
            assert mask.mode == "L" and mask.size == t.size
            np.testing.assert_array_equal(np.asarray(mask), np.asarray(t))
    tool.check(files, str(out))


def test_classes_are_found_by_name_in_any_order():
    turned = LabelSet(CITYSCAPES.names[::-1], CITYSCAPES.palette)
    assert tool.raw_ids(turned).tolist() == [*CITYSCAPES.class_raw_ids][::-1]


def test_classes_that_cityscapes_has_not_are_named():
    with pytest.raises(tool.ExportError, match="has not: background, aeroplane"):
        tool.raw_ids(VOC)


def test_half_a_split_is_refused(root):
    folder = str(root / "leftImg8bit" / "test")
    with pytest.raises(tool.ExportError, match="3 pictures .* expected 1525"):
        tool.find_pictures(folder)
    with pytest.raises(tool.ExportError, match="3 pictures .* expected 2"):
        tool.find_pictures(folder, expected=2)


def test_pictures_of_one_name_are_refused(tmp_path):
    for city in ("ulm", "bonn"):
        picture = np.zeros((2, 2, 3), np.uint8)
        save(tmp_path / city / "a_1_2_leftImg8bit.png", picture)
    with pytest.raises(tool.ExportError, match="several pictures of one name"):
        tool.find_pictures(str(tmp_path), expected=2)


NAME = "bonn_000000_000001"


def spoil(out, what):
    path = out / f"{NAME}_labelIds.png"
    if what == "missing":
        path.unlink()
    elif what == "twice":
        save(out / f"{NAME}_color.png", np.zeros(SIZE, np.uint8))
    elif what == "strange":
        save(out / "ulm_000000_000000_labelIds.png", np.full(SIZE, 7, np.uint8))
    elif what == "size":
        save(path, np.full((2, 3), 7, np.uint8))
    elif what == "colour":
        save(path, np.zeros((*SIZE, 3), np.uint8))
    else:
        save(path, np.full(SIZE, 18, np.uint8))  # a train id, or polegroup's raw id


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("missing", f"{NAME} has 0 masks"),
        ("twice", f"{NAME} has 2 masks"),
        ("strange", r"ulm_000000_000000\*.png has no picture"),
        ("size", r"L \(3, 2\), not one channel of 8 bits at \(32, 24\)"),
        ("colour", "is RGB"),
        ("ids", r"ids that are not scored: \[18\]"),
    ],
)
def test_what_the_server_would_refuse_is_named(files, out, what, message):
    spoil(out, what)
    with pytest.raises(tool.ExportError, match=message):
        tool.check(files, str(out))


def test_a_run_is_exported_from_its_folder(root, tmp_path, capsys):
    workdir, out = str(tmp_path / "run"), tmp_path / "out"
    data = dict(name="cityscapes.Cityscapes", root=str(root), batch_size=2, crop=SIZE)
    evals = dict(test=dict(split="test", batch_size=1))
    train.train(make_config(total_steps=1, data=data, evals=evals), workdir)
    images = str(root / "leftImg8bit" / "test")
    given = ["--workdir", workdir, "--images", images, "--out", str(out)]
    tool.main([*given, "--pictures", "3", "--compilation_cache="])
    assert "wrote and checked 3 masks" in capsys.readouterr().out
    function, labels = predict.load(workdir)
    for name, path in tool.find_pictures(images, expected=3).items():
        ids = np.asarray(CITYSCAPES.class_raw_ids)[function(pictures.read_image(path))]
        with Image.open(out / f"{name}_labelIds.png") as mask:
            np.testing.assert_array_equal(np.asarray(mask), ids)


def test_a_folder_of_no_run_is_one_sentence(root, tmp_path):
    images = str(root / "leftImg8bit" / "test")
    given = ["--workdir", str(tmp_path), "--images", images, "--pictures", "3"]
    with pytest.raises(SystemExit, match="ConfigError: .*no config.json"):
        tool.main([*given, "--out", str(tmp_path / "out"), "--compilation_cache="])
