"""Small made folders in the layouts that jaxseg reads."""

import json

import numpy as np
import pytest
from PIL import Image

SIZE = (24, 32)
CLASSES = ("sky", "road", "car")


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
    return path


def write_table(root, ids=(0, 1, 2), ignore_id=3):
    rgb = [10, 20, 30]
    classes = [
        {"id": i, "name": n, "rgb": rgb} for i, n in zip(ids, CLASSES, strict=True)
    ]
    classes.append({"id": ignore_id, "name": "void", "rgb": [0, 0, 0]})
    table = {"ignore_id": ignore_id, "classes": classes}
    root.mkdir(parents=True, exist_ok=True)
    (root / "classes.json").write_text(json.dumps(table))


def write_pairs(images, labels, count, *, raw_ids=(0, 1, 2, 3), size=SIZE, ending=""):
    rng = np.random.default_rng(count)
    for i in range(count):
        picture = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        save(images / f"frame_{i:02}.png", picture)
        ids = np.array(raw_ids, np.uint8)[rng.integers(0, len(raw_ids), size)]
        save(labels / f"frame_{i:02}{ending}.png", ids)


def write_tree(root):
    """Writes a folder of 7 training and 5 validation pictures, 3 classes, void 3."""
    write_table(root)
    for split, count in (("train", 7), ("val", 5)):
        write_pairs(root / split / "images", root / split / "labels", count)
    return root


@pytest.fixture
def tree(tmp_path):
    return write_tree(tmp_path / "made")
