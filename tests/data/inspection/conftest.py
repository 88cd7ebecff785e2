"""A clean folder, and what an inspection says once a fault is planted in it."""

import numpy as np
import pytest
from PIL import Image

from jaxseg.data.folder import Folder
from jaxseg.data.inspection import inspect
from tests.data.conftest import save, write_pairs, write_table

SIZE = (24, 32)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))


@pytest.fixture
def clean(tmp_path):
    """Five pictures to train on and four to score, of the classes 0, 1 and 2."""
    root = tmp_path / "mine"
    write_table(root, ignore_id=255)
    for split, count in (("train", 5), ("val", 4)):
        folders = (root / split / "images", root / split / "masks")
        write_pairs(*folders, count, raw_ids=(0, 1, 2, 255))
    return root


def findings(root, crop=None, **options):
    found = inspect(Folder(root=str(root), **options), crop=crop).findings
    return {finding.kind: finding for finding in found}


def only(root, kind, **options):
    """The one finding of a folder, which must be of this kind."""
    found = findings(root, **options)
    assert list(found) == [kind], list(found.values())
    return found[kind]


def rewrite(root, change, splits=("train", "val")):
    """Changes the ids of all masks."""
    for split in splits:
        for file in sorted((root / split / "masks").glob("*.png")):
            save(file, change(np.asarray(Image.open(file))))


def noise(*shape, seed=9):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, shape or (*SIZE, 3), dtype=np.uint8)
