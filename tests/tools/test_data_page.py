"""The page of an inspection: one file that shows what was found."""

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from jaxseg import visualize
from jaxseg.data.folder import Folder
from jaxseg.data.inspection import inspect
from jaxseg.tools import data_page
from tests.data.conftest import save, write_pairs, write_table


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    root = tmp_path / "<mine>"
    write_table(root, ignore_id=255)
    for split, count in (("train", 5), ("val", 4)):
        folders = (root / split / "images", root / split / "masks")
        write_pairs(*folders, count, raw_ids=(0, 1, 2, 255))
    return root


def page(root, **options):
    return data_page.page(inspect(Folder(root=str(root), **options)))


def shown(text):
    """The pictures in a page."""
    codes = re.findall(r'src="data:image/jpeg;base64,([^"]*)"', text)
    return [Image.open(io.BytesIO(base64.b64decode(code))) for code in codes]


def test_samples_of_every_split_are_inside(root):
    pictures = shown(page(root))
    assert len(pictures) == 5 + 4
    assert all(picture.size == (32, 24) for picture in pictures)


def test_the_page_needs_no_other_file(root):
    links = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, pairs: links.extend(
        value for key, value in pairs if key in ("src", "href")
    )
    parser.feed(page(root))
    assert links and all(link.startswith("data:") for link in links)


def test_names_are_escaped(root):
    text = page(root)
    assert "&lt;mine&gt;" in text and "<mine>" not in text


def test_frequencies_are_shown(root):
    masks = [np.asarray(Image.open(f)) for f in (root / "train/masks").iterdir()]
    share = np.mean([mask == 1 for mask in masks])
    assert f"{share:.2%}" in page(root)


def test_a_finding_is_shown_with_its_first_files(root):
    file = root / "train/masks/frame_00.png"
    save(file, np.full((24, 32), 77, np.uint8))
    text = page(root)
    assert "unknown_ids" in text and "config.data.ignore_id=(77,)" in text
    pictures = shown(text)
    assert len(pictures) == 1 + 9
    red = np.asarray(pictures[0]).mean(axis=(0, 1))
    assert np.abs(red - visualize.WRONG).max() < 4


def test_an_overlay_shows_the_colours_of_the_classes(root):
    save(root / "train/masks/frame_00.png", np.full((24, 32), 1, np.uint8))
    save(root / "train/images/frame_00.png", np.zeros((24, 32, 3), np.uint8))
    mean = np.asarray(shown(page(root))[0]).mean(axis=(0, 1))
    assert np.abs(mean - 0.55 * np.array([10, 20, 30])).max() < 3


def test_what_cannot_be_read_is_said_and_not_shown(root):
    (root / "train/images/frame_00.png").write_bytes(b"")
    text = page(root)
    assert "the file is empty" in text and len(shown(text)) == 8


def test_masks_of_colours_without_a_table_are_shown_as_they_are(root):
    (root / "classes.json").unlink()
    for split in ("train", "val"):
        for file in (root / split / "masks").iterdir():
            save(file, np.full((24, 32, 3), (200, 0, 0), np.uint8))
    picture = np.asarray(shown(page(root))[0])
    assert np.abs(picture.mean(axis=(0, 1)) - (200, 0, 0)).max() < 4
