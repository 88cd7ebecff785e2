"""A planted class and a planted pattern: what of either reaches a training batch.

Made trees in the layouts of VOC, PASCAL-Context and COCO-Stuff hold one picture a
class: the class on the left, what is beside it on the right. Unseen classes are painted
in a colour that nothing else has.
"""

import math

import numpy as np
import pytest

from jaxseg.data import inputs, labels, splits
from jaxseg.data.labels import IGNORE
from tests.data import layouts
from tests.data.conftest import save

PLANTED = (255, 0, 255)
DARK = 100  # all other levels are below
SIZE = (16, 16)

# The data set, its options and the split of its classes.
CASES = {
    "voc": ("voc.VOC", dict(background=False), "voc12_15_5"),
    "voc_background": ("voc.VOC", dict(background=True), "voc12_15_5"),
    "voc_zs3": ("voc.VOC", dict(background=True), "zs3_voc21_10"),
    "context": (
        "pascal_context.PascalContext",
        dict(classes=33, background=False),
        "context33_29_4",
    ),
    "context_background": (
        "pascal_context.PascalContext",
        dict(classes=33, background=True),
        "context33_29_4",
    ),
    "context_59": (
        "pascal_context.PascalContext",
        dict(classes=59, background=False),
        "zs3_context60_10",
    ),
    "context_60": (
        "pascal_context.PascalContext",
        dict(classes=59, background=True),
        "zs3_context60_10",
    ),
    "coco_stuff": ("coco_stuff.CocoStuff164k", dict(classes=171), "cocostuff_167_15"),
    "coco_stuff_182": (
        "coco_stuff.CocoStuff164k",
        dict(classes=182),
        "cocostuff_167_15",
    ),
}
FOLDERS = {  # of pictures and masks, by the number of raw ids
    21: ("JPEGImages", "SegmentationClass"),
    34: ("JPEGImages", "33_context_labels"),
    60: ("JPEGImages", "SegmentationClassContext"),
    182: ("images/train2017", "annotations/train2017"),
}


def table_of(name, classes=None):
    """All classes that the masks may hold."""
    if name == "voc.VOC":
        return labels.VOC
    is_coco = name.startswith("coco")
    return labels.read_table("coco_stuff" if is_coco else f"pascal_context_{classes}")


def plant(root, table, split):
    """Writes a picture a class that can be in one; returns how many."""
    unseen = splits.unseen_classes(split)
    beside = table.names.index("person")  # seen everywhere
    rng = np.random.default_rng(0)
    stems = []
    for i, class_name in enumerate(table.names):
        if class_name in splits.NEVER_LABELLED and table.num_classes == 182:
            continue
        mask = np.full(SIZE, beside, np.uint8)
        mask[:, :8] = i
        picture = rng.integers(0, DARK, (*SIZE, 3), np.uint8)
        if class_name in unseen:
            picture[:, :8] = PLANTED
        stems.append(f"2008_{i:06}")
        both = zip(FOLDERS[table.num_classes], (picture, mask), strict=True)
        for folder, array in both:
            save(root / folder / f"{stems[-1]}.png", array)
        if table is labels.VOC and i:
            thing = f"<object><name>{class_name}</name></object>"
            file = root / f"Annotations/{stems[-1]}.xml"
            layouts.lines(file, [f"<annotation>{thing}</annotation>"])
    for lists in ("Segmentation", "SegmentationContext"):
        layouts.lines(root / f"ImageSets/{lists}/train.txt", stems)
    return len(stems)


@pytest.fixture(scope="module", params=CASES)
def tree(request, tmp_path_factory):
    name, options, split = CASES[request.param]
    root = tmp_path_factory.mktemp(request.param)
    count = plant(root, table_of(name, options.get("classes")), split)
    return dict(name=name, root=str(root), unseen=split, **options), count


def epoch(tree, **changes):
    """All batches of one epoch, joined; and the data set."""
    data, count = tree
    shown = dict(crop=SIZE, scale=(1.0, 1.0), aspect=(1.0, 1.0), brightness=0)
    data = data | shown | dict(batch_size=8, num_threads=1) | changes
    config = dict(seed=0, data=data, model=dict(mean=(50.0, 50.0, 50.0)))
    dataset = inputs.make_dataset(config)
    with inputs.training_batches(config, dataset, start_step=0) as batches:
        taken = [next(batches) for _ in range(math.ceil(count / 8))]
    joined = {key: np.concatenate([b[key] for b in taken]) for key in taken[0]}
    return joined, dataset.labels


def can_be_in_a_picture(table):
    never = splits.NEVER_LABELLED if table.num_classes == 182 else ()
    return {i for i in table.seen if table.names[i] not in never}


@pytest.mark.parametrize("train_images", ["ignore_unseen", "purge_unseen"])
@pytest.mark.parametrize("supervision", ["masks", "masks_and_image_labels"])
def test_no_label_of_an_unseen_class_reaches_a_batch(tree, train_images, supervision):
    batch, table = epoch(
        tree, train_images=train_images, supervision=supervision, image_labels=True
    )
    assert {*np.unique(batch["label"])} - {IGNORE} == can_be_in_a_picture(table)
    told = {*np.flatnonzero(batch["image_labels"].any(axis=0)).tolist()}
    assert told and told <= can_be_in_a_picture(table)
    is_planted = (batch["image"] == PLANTED).all(axis=-1)
    assert (batch["label"][is_planted] == IGNORE).all()
    assert is_planted.any() == (train_images == "ignore_unseen")
    if train_images == "purge_unseen":
        assert batch["image"].max() < DARK


def test_masks_that_are_hidden_are_not_told_by_image_labels(tree):
    batch, table = epoch(tree, supervision="image_labels")
    assert (batch["label"] == IGNORE).all()
    told = {*np.flatnonzero(batch["image_labels"].any(axis=0)).tolist()}
    assert told == can_be_in_a_picture(table)


def test_train_ids_are_the_data_sets_own(tree):
    data, _ = tree
    table = inputs.make_dataset(dict(data=data)).labels
    names = {table.names[i] for i in table.unseen}
    assert names == {*splits.unseen_classes(data["unseen"])}
    assert ("background" in table.names) == data.get("background", False)
    if data["name"] == "voc.VOC" and data["unseen"] == "voc12_15_5":
        first = int(data["background"])
        assert table.unseen == tuple(range(15 + first, 20 + first))


def test_a_scaled_picture_shows_no_more(tree):
    batch, table = epoch(
        tree, train_images="purge_unseen", scale=(0.5, 2.0), crop=(8, 8)
    )
    assert batch["image"].max() < 160  # the resampling overshoots a little
    assert not np.isin(batch["label"], table.unseen).any()


def test_pictures_told_apart_by_validation_classes_hide_the_unseen_too(tmp_path):
    count = plant(tmp_path, labels.VOC, "voc12_15_5")
    data = dict(name="voc.VOC", root=str(tmp_path), background=False)
    batch, table = epoch((data | dict(unseen="voc12_15_5:validation"), count))
    assert len(table.seen) == 12 and table.num_classes == 15
    is_planted = (batch["image"] == PLANTED).all(axis=-1)
    assert is_planted.any() and (batch["label"][is_planted] == IGNORE).all()
    assert {*np.unique(batch["label"])} == {*table.seen, IGNORE}
