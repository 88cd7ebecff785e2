"""The command on a folder of pictures, with a vision transformer of two blocks."""

import json
import os

import numpy as np
import pytest
from PIL import Image

from jaxseg.data import eigensegment_files
from jaxseg.tools import eigensegments
from tests.pretrained import tiny_dino
from tests.tools.test_spectral_pictures import thing


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return tiny_dino.save(tmp_path_factory.mktemp("dino") / "dino.safetensors")


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, size in (("a", (40, 60)), ("b", (64, 30)), ("c", (40, 60))):
        Image.fromarray(thing(*size)).save(folder / f"{name}.png")
    return folder


@pytest.fixture
def command(weights, photos, tmp_path):
    """Runs the command; the folder it writes to is `out`."""
    out = tmp_path / "out"

    def run(*more):
        given = ("--images", str(photos), "--out", str(out), "--weights", weights)
        options = ("--side", "64", "--count", "2", "--batch_size", "2")
        eigensegments.main([*given, *options, "--compilation_cache", "", *more])
        return out

    return run


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_each_picture_has_masks_a_panel_and_a_file_of_bits(command):
    out = command()
    of_each = ("_k0.png", "_k1.png", "_panel.png", ".npz")
    expected = {f"{name}{end}" for name in "abc" for end in of_each}
    assert set(names(out)) == expected | {eigensegments.OPTIONS}
    with Image.open(out / "b_k0.png") as mask:
        assert mask.size == (30, 64) and set(np.unique(mask)) == {0, 255}
    stored = eigensegment_files.read(out / "b.npz")
    assert stored.masks.shape == (8, 4, 2) and stored.size == (64, 30)


def test_what_is_there_is_passed_over(command, capsys):
    out = command()
    kept = os.stat(out / "a.npz").st_mtime_ns
    (out / "b.npz").unlink()
    command()
    assert os.stat(out / "a.npz").st_mtime_ns == kept
    printed = capsys.readouterr().out
    assert "of 3 pictures" in printed and "of 1 pictures" in printed


def test_a_picture_is_done_when_all_its_files_are_there(command, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(eigensegments.visualize, "save_picture", killed)
        with pytest.raises(KeyboardInterrupt):
            command()
    out = command()
    assert (out / "a.npz").exists() and not [n for n in names(out) if "part" in n]


def test_bad_pictures_are_named_and_the_others_go_on(command, photos, caplog):
    (photos / "a.png").write_bytes(b"no picture")
    Image.fromarray(np.zeros((5, 90, 3), np.uint8)).save(photos / "b.png")
    Image.fromarray(np.full((40, 60, 3), 9, np.uint8)).save(photos / "d.png")
    with pytest.raises(SystemExit, match="2 of 4 pictures have none"):
        command()
    log = caplog.text
    assert "cannot read" in log and "a.png" in log
    assert "b.png: the picture has 90x5 pixels" in log
    assert "d.png has no structure" in log
    out = photos.parent / "out"
    assert (out / "c.npz").exists() and not (out / "a.npz").exists()
    assert not eigensegment_files.read(out / "d.npz").masks.any()


def test_regions_are_a_picture_of_ids(command):
    out = command("--segments", "regions", "--num_regions", "3")
    with Image.open(out / "a_regions.png") as mask:
        assert mask.mode == "P" and mask.size == (60, 40)
        assert set(np.unique(mask)) <= {0, 1, 2} and 0 in np.asarray(mask)
    assert "a_k0.png" not in names(out)


def test_other_options_need_another_folder(command):
    out = command()
    recorded = json.loads((out / eigensegments.OPTIONS).read_text())
    assert recorded["count"] == 2 and "out" not in recorded
    with pytest.raises(SystemExit, match="(?s)other options.*colour_weight: 0.0 -> 3"):
        command("--colour_weight", "3")
    command("--batch_size", "1")


@pytest.mark.parametrize(
    "more, message",
    [
        (("--count", "0"), "--count 0"),
        (("--batch_size", "0"), "--batch_size 0"),
        (("--colour_weight", "-1"), "--colour_weight -1.0 is below 0"),
        (("--segments", "regions", "--num_regions", "1"), "--num_regions 1: give 2 to"),
        (("--segments", "regions", "--include_trivial"), "no use for"),
        (("--side", "60"), "side 60 and nodes of 8 pixels"),
        (("--stage", "1"), "--stage and --output_stride are for"),
    ],
)
def test_options_out_of_range_are_refused(command, more, message):
    with pytest.raises(SystemExit, match=message):
        command(*more)


def test_an_empty_folder_and_its_own_are_refused(command, tmp_path, photos):
    (tmp_path / "empty").mkdir()
    with pytest.raises(SystemExit, match="no folder with pictures"):
        command("--images", str(tmp_path / "empty"))
    with pytest.raises(SystemExit, match="another folder than --images"):
        command("--out", str(photos))


def test_without_weights_nothing_is_made_up(photos, tmp_path):
    with pytest.raises(SystemExit, match="features of nothing"):
        eigensegments.main(["--images", str(photos), "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()
