"""Small made trees in the layouts of the official downloads."""

import numpy as np
from PIL import Image

from tests.data.conftest import save

SIZE = (12, 16)


def picture(path, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    return save(path, pixels)


def mask(path, ids, seed=0):
    """A mask in which each of the ids is somewhere; returns its ids [H, W]."""
    drawn = made_ids(ids, seed)
    save(path, drawn)
    return drawn


def made_ids(ids, seed=0):
    """uint8 or uint16 [H, W]."""
    drawn = np.random.default_rng(seed).permutation(np.resize(ids, SIZE).ravel())
    kind = np.uint8 if max(ids) < 256 else np.uint16
    return drawn.reshape(SIZE).astype(kind)


def matlab(path, variables):
    from scipy import io

    path.parent.mkdir(parents=True, exist_ok=True)
    io.savemat(path, variables)


def lines(path, names):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{name}\n" for name in names))


def cityscapes(root):
    """2 training and 1 validation pictures, 1 to test, and 1 with coarse masks only."""
    splits = {"train": ("aachen", 2), "val": ("ulm", 1), "test": ("bonn", 1)}
    for split, (city, count) in (splits | {"train_extra": ("erlangen", 1)}).items():
        for i in range(count):
            name = f"{split}/{city}/{city}_{i:06}_000019"
            picture(root / f"leftImg8bit/{name}_leftImg8bit.png", i)
            ids = range(34) if split != "test" else (1, 2, 3)
            if split != "train_extra":
                mask(root / f"gtFine/{name}_gtFine_labelIds.png", [*ids], i)
            if split != "test":
                mask(root / f"gtCoarse/{name}_gtCoarse_labelIds.png", [*ids], i)
    return root


def ade20k(root):
    """2 training, 1 validation and 1 test picture."""
    for split, name in (("training", "train"), ("validation", "val")):
        for i in range(1, 3 if name == "train" else 2):
            stem = f"ADE_{name}_{i:08}"
            picture(root / f"images/{split}/{stem}.jpg", i)
            mask(root / f"annotations/{split}/{stem}.png", [*range(151)], i)
    picture(root / "release_test/testing/ADE_test_00000001.jpg")
    return root


def pascal_context(root, masks="SegmentationClassContext", count=60):
    """2 training pictures and 1 validation picture, of more that are in no list."""
    names = [f"2008_00000{i}" for i in range(4)]
    for i, name in enumerate(names):
        picture(root / f"JPEGImages/{name}.jpg", i)
        if masks == "trainval":
            matlab(
                root / f"trainval/{name}.mat", {"LabelMap": made_ids([2, 459, 1], i)}
            )
        else:
            mask(root / f"{masks}/{name}.png", [*range(count)], i)
    lines(root / "ImageSets/SegmentationContext/train.txt", names[1:3])
    lines(root / "ImageSets/SegmentationContext/val.txt", names[:1])
    return root


def coco(root):
    """2 training pictures and 1 validation picture, and one without a mask."""
    for split, count in (("train2014", 2), ("val2014", 1)):
        for i in range(count + 1):
            name = f"COCO_{split}_{i:012}"
            picture(root / f"{split}/{name}.jpg", i)
            if i < count:
                mask(root / f"annotations/{split}/{name}.png", [*range(81)], i)
    return root


def coco_stuff_10k(root):
    """2 training pictures and 1 test picture, masks as MATLAB files."""
    names = [f"COCO_train2014_{i:012}" for i in range(3)]
    annotated = [i for i in range(183) if i not in (12, 26, 29, 30, 45, 66, 68, 69)]
    for i, name in enumerate(names):
        picture(root / f"images/{name}.jpg", i)
        ids = made_ids([i for i in annotated if i not in (71, 83, 91)], i)
        matlab(root / f"annotations/{name}.mat", {"S": ids, "captions": "a dog"})
    lines(root / "imageLists/train.txt", names[1:])
    lines(root / "imageLists/test.txt", names[:1])
    return root


def coco_stuff_164k(root):
    """2 training pictures and 1 validation picture, with masks of another library."""
    for split, count in (("train2017", 2), ("val2017", 1)):
        for i in range(count):
            picture(root / f"images/{split}/{i:012}.jpg", i)
            mask(root / f"annotations/{split}/{i:012}.png", [*range(182), 255], i)
            mask(root / f"annotations/{split}/{i:012}_labelTrainIds.png", [0], i)
    return root


def voc(root, *, sbd=True):
    """5 pictures: 2 to train on, 1 to validate, SBD has masks of the last 4."""
    names = [f"2007_00000{i}" for i in range(5)]
    for i, name in enumerate(names):
        picture(root / f"JPEGImages/{name}.jpg", i)
        objects = "".join(
            f"<object><name>{n}</name></object>" for n in ("cat", "sheep", "cat")
        )
        file = root / f"Annotations/{name}.xml"
        lines(file, [f"<annotation>{objects}</annotation>"])
        if i < 3:
            mask(root / f"SegmentationClass/{name}.png", [0, 8, 17, 255], i)
        if sbd and i:
            cls = {"Segmentation": made_ids([0, 8, i], i), "Boundaries": 0}
            matlab(root / f"benchmark_RELEASE/dataset/cls/{name}.mat", {"GTcls": cls})
    lines(root / "ImageSets/Segmentation/train.txt", names[:2])
    lines(root / "ImageSets/Segmentation/val.txt", names[2:3])
    if sbd:
        lines(root / "benchmark_RELEASE/dataset/train.txt", names[1:3])
        lines(root / "benchmark_RELEASE/dataset/val.txt", names[3:])
    return root


def imagenet_s(root, wordnet, ids, *, parts=("train", "train-semi", "validation")):
    """A picture a class in each part, masks of the ids but for train and test."""
    for part in (*parts, "test"):
        for i, name in enumerate(wordnet):
            picture(root / f"{part}/{name}/{name}_{i}.JPEG", i)
            if part in ("train-semi", "validation"):
                drawn = made_ids(ids, i).astype(np.int32)
                colours = np.stack([drawn % 256, drawn // 256, 0 * drawn], -1)
                file = root / f"{part}-segmentation/{name}/{name}_{i}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(colours.astype(np.uint8)).save(file)
    return root
