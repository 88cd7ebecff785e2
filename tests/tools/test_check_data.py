"""What the command prints, writes and ends with."""

import json

import numpy as np
import pytest
from PIL import Image

from jaxseg.tools import check_data
from tests.data import layouts
from tests.data.conftest import save, write_pairs, write_table


@pytest.fixture
def clean(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    root = tmp_path / "mine"
    write_table(root, ignore_id=255)
    for split, count in (("train", 5), ("val", 4)):
        folders = (root / split / "images", root / split / "masks")
        write_pairs(*folders, count, raw_ids=(0, 1, 2, 255))
    return root


def run(root, *options, capsys):
    code = check_data.main([str(root), "--crop", "24,32", *map(str, options)])
    return code, capsys.readouterr()


def test_a_clean_folder_ends_with_0_and_a_table(clean, capsys):
    code, printed = run(clean, capsys=capsys)
    lines = printed.out.splitlines()
    assert code == 0 and lines[-1].endswith("0 notes: nothing to mend")
    assert lines[3].split() == ["train", "5", "32x24", "32x24"]
    ids = np.concatenate([np.asarray(Image.open(f)).ravel() for f in masks(clean)])
    row = next(line for line in lines if " road " in line).split()
    assert row[2] == f"{100 * np.mean(ids == 1):.2f}" and row[4:] == ["5", "4"]


def masks(root):
    return sorted((root / "train/masks").iterdir())


def test_a_fault_ends_with_1_and_names_file_and_fix(clean, capsys):
    ids = np.asarray(Image.open(masks(clean)[2])).copy()
    ids[0, :5] = 77
    save(masks(clean)[2], ids)
    code, printed = run(clean, capsys=capsys)
    assert code == 1 and "1 error," in printed.out.splitlines()[-1]
    for part in ("ERROR unknown_ids", str(masks(clean)[2]), "ignore_id=(77,)"):
        assert part in printed.out


@pytest.mark.parametrize("line", [("--ignore_id", "77"), ("--unknown", "ignore")])
def test_options_are_those_of_the_config(clean, capsys, line):
    ids = np.asarray(Image.open(masks(clean)[2])).copy()
    ids[0, :5] = 77
    save(masks(clean)[2], ids)
    assert run(clean, *line, capsys=capsys)[0] == 0


def test_ids_are_read_as_configs_read_them(clean, capsys):
    for text in ("0,1,2", "(0, 1, 2)"):
        assert run(clean, "--class_ids", text, capsys=capsys)[0] == 0
    with pytest.raises(SystemExit):
        run(clean, "--class_ids", "zero", capsys=capsys)
    assert "not a list of ids: 'zero'" in capsys.readouterr().err


def test_set_gives_every_key_of_the_data_set(clean, capsys):
    options = ("--name", "pascal_context.PascalContext", "--json", "--set")
    root = layouts.pascal_context(clean.parent, "33_context_labels", count=34)
    _, printed = run(root, *options, "classes=33", capsys=capsys)
    assert len(json.loads(printed.out)["classes"]) == 33
    _, printed = run(
        root, *options, "classes=33", "--set", "background=True", capsys=capsys
    )
    assert len(json.loads(printed.out)["classes"]) == 34


def test_set_gives_words_without_quotes(tmp_path, capsys):
    root = layouts.cityscapes(tmp_path)
    options = ("--name", "cityscapes.Cityscapes", "--json", "--set")
    _, printed = run(root, *options, "quality=coarse", capsys=capsys)
    names = [split["name"] for split in json.loads(printed.out)["splits"]]
    assert "train_extra" in names


@pytest.mark.parametrize(
    "options, why",
    [
        (("--set", "clases=300"), "has no key 'clases'; did you mean 'class_ids'"),
        (("--set", "unknown=maybe"), "'raise' or 'ignore': 'maybe'"),
        (("--ignore_id", "3", "--set", "ignore_id=4"), "what another argument gives"),
        (("--set", "root=elsewhere"), "what another argument gives"),
    ],
)
def test_keys_that_cannot_be_set_are_a_message(clean, capsys, options, why):
    code, printed = run(clean, *options, capsys=capsys)
    assert code == 1 and why in printed.err


def test_a_setting_has_a_key_and_a_value(clean, capsys):
    with pytest.raises(SystemExit):
        run(clean, "--set", "classes", capsys=capsys)
    assert "not KEY=VALUE: 'classes'" in capsys.readouterr().err


def test_json_is_all_that_is_printed(clean, capsys):
    masks(clean)[0].unlink()
    code, printed = run(clean, "--json", capsys=capsys)
    found = json.loads(printed.out)
    assert code == 1 and found["findings"][0]["kind"] == "unpaired_pictures"


@pytest.mark.parametrize(
    "root, options, why",
    [
        ("gone", (), "there is no folder"),
        ("", ("--name", "voc.VOK"), "has no 'VOK'; did you mean 'VOC'"),
        ("", ("--name", "scenes.Scenes"), "root"),
    ],
)
def test_what_cannot_be_looked_at_is_a_message(clean, capsys, root, options, why):
    code, printed = run(clean / root if root else clean, *options, capsys=capsys)
    assert code == 1 and why in printed.err + printed.out


def test_a_published_layout_has_its_own_classes(clean, capsys):
    code, printed = run(clean, "--name", "voc.VOC", "--json", capsys=capsys)
    assert code == 0 and len(json.loads(printed.out)["classes"]) == 3


def test_the_report_is_written_and_named(clean, capsys, tmp_path):
    _, printed = run(clean, "--report", tmp_path / "out", capsys=capsys)
    assert f"pictures are in {tmp_path / 'out/report.html'}" in printed.out
    assert (tmp_path / "out/report.html").stat().st_size > 10_000
