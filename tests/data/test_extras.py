"""The data layer imports, and reads a folder, without any optional package."""

import os
import subprocess
import sys

import pytest

from jaxseg.data import extras

PROGRAM = """
import sys

OPTIONAL = ("cv2", "grain", "tensorflow_datasets", "tensorflow", "torch", "clu", "rich",
            "tensorboard", "matplotlib", "ml_collections", "array_record")

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in OPTIONAL:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

from importlib.machinery import PathFinder
find_spec = PathFinder.find_spec
PathFinder.find_spec = lambda name, *rest: (
    None if name in OPTIONAL else find_spec(name, *rest)
)
sys.meta_path.insert(0, Missing())

from jaxseg.data import camvid, cityscapes, folder, pipeline, transforms

source = folder.Folder(root=sys.argv[1]).source("train")
transform = transforms.TrainTransform(crop=(20, 20))
given = dict(transform=transform, seed=0, batch_size=2)
with pipeline.train_batches(source, **given) as batches:
    assert next(batches)["image"].shape == (2, 20, 20, 3)
assert not set(OPTIONAL) & set(sys.modules), set(OPTIONAL) & set(sys.modules)
"""


def test_pillow_and_numpy_are_enough(tree):
    subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tree)],
        env=os.environ | {"PYTHONPATH": os.getcwd()},
        check=True,
        timeout=120,
    )


def test_what_is_missing_is_named_with_its_remedy():
    with pytest.raises(ModuleNotFoundError, match=r"x needs no_such_module.*or use y"):
        extras.require("no_such_module", purpose="x", instead="y")
