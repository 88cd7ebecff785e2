"""No pixel of an unseen class reaches a training batch; evaluation has them all."""

import dataclasses

import numpy as np
import pytest

from jaxseg.config import ConfigError
from jaxseg.data import inputs, zero_shot
from jaxseg.data.labels import IGNORE
from jaxseg.data.pipeline import train_batches
from jaxseg.data.voc import VOC
from jaxseg.data.zero_shot import (
    Guard,
    HideUnseen,
    Subset,
    UnseenLabelError,
    hide_unseen,
)
from tests.data.test_image_labels import LABELS, Masks
from tests.data.test_pipeline import unchanged

SPLIT = dataclasses.replace(LABELS, seen=(0, 1), unseen=(2,))
UNSEEN = (16, 17, 18, 19, 20)  # pottedplant, sheep, sofa, train, tvmonitor


class VOC15(VOC):
    """VOC with the 15 seen and 5 unseen classes of SPNet; the background is seen."""

    def read_labels(self):
        return dataclasses.replace(
            super().read_labels(), seen=tuple(range(16)), unseen=UNSEEN
        )


def config(data_root, **data):
    name = f"{__name__}:VOC15"
    data = dict(crop=(160, 200), batch_size=8, num_threads=1) | data
    return dict(
        data=dict(name=name, root=str(data_root / "voc_mini")) | data,
        evals=dict(val=dict(split="val", batch_size=8, canvas=(512, 512))),
        model=dict(),
    )


def training_ids(data_root, num_batches=10, **data):
    """All ids in the labels of some batches, and how many pixels are unlabelled."""
    settings = config(data_root, **data)
    dataset = inputs.make_dataset(settings)
    with inputs.training_batches(settings, dataset, start_step=0) as batches:
        labels = [next(batches)["label"] for _ in range(num_batches)]
    return set(np.unique(labels).tolist())


def test_training_on_15_classes_of_photographs_sees_only_those(data_root):
    found = training_ids(data_root, num_batches=40)  # all 320 pictures
    assert found == {*range(16), IGNORE}


def test_purged_training_sees_no_picture_of_an_unseen_class(data_root):
    found = training_ids(data_root, train_images="purge_unseen")
    assert found <= {*range(16), IGNORE}


def test_the_pictures_purged_are_the_94_that_hold_an_unseen_class(data_root):
    dataset = VOC15(root=str(data_root / "voc_mini"))
    whole = dataset.source("train")
    kept = hide_unseen(whole, dataset.labels, train_images="purge_unseen")
    names = {kept.name(i) for i in range(len(kept))}
    assert len(whole) == 320 and len(kept) == 320 - 94
    purged = [i for i in range(0, 320) if whole.name(i) not in names]
    assert all(np.isin(whole[i]["label"], UNSEEN).any() for i in purged)


def test_evaluation_keeps_the_unseen_classes(data_root):
    settings = config(data_root)
    dataset = inputs.make_dataset(settings)
    with inputs.evaluation_batches(settings, "val", dataset) as batches:
        found = set(np.unique([batch["label"] for batch in batches]).tolist())
    assert found == {*range(21), IGNORE}


def test_image_labels_do_not_tell_of_unseen_classes(data_root):
    settings = config(data_root, supervision="masks_and_image_labels")
    dataset = inputs.make_dataset(settings)
    with inputs.training_batches(settings, dataset, start_step=0) as batches:
        found = np.concatenate([next(batches)["image_labels"] for _ in range(10)])
    assert found.shape == (80, 21) and found[:, :16].any(axis=0).sum() > 12
    assert not found[:, UNSEEN].any()


def test_pixels_of_unseen_classes_are_unlabelled_and_no_others_change():
    source = Masks([[0, 1, 2, 255, 2]], image_labels=[[False, True, True]])
    example = hide_unseen(source, SPLIT)[0]
    assert example["label"].tolist() == [[0, 1, 255, 255, 255]]
    assert example["image_labels"].tolist() == [False, True, False]
    assert source.masks[0].tolist() == [[0, 1, 2, 255, 2]]


def test_purging_keeps_the_order_of_the_others():
    source = Masks([[0]], [[2]], [[1]], [[1, 2]], [[255]])
    kept = hide_unseen(source, SPLIT, train_images="purge_unseen")
    assert [kept.name(i) for i in range(len(kept))] == ["mask_0", "mask_2", "mask_4"]


def test_without_unseen_classes_nothing_changes():
    source = Masks([[0, 2]])
    assert hide_unseen(source, LABELS) is source


@pytest.mark.parametrize(
    ("masks", "labels", "train_images", "message"),
    [
        ([[0]], LABELS, "purge_unseen", "choose a zero-shot split"),
        ([[2]], SPLIT, "purge_unseen", "all 1 training pictures"),
        ([[0]], SPLIT, "drop", "ignore_unseen or purge_unseen or keep"),
    ],
)
def test_what_cannot_be_trained_is_refused(masks, labels, train_images, message):
    with pytest.raises(ValueError, match=message):
        hide_unseen(Masks(masks), labels, train_images=train_images)


def reveal(example, rng):
    return {**example, "label": np.full_like(example["label"], 2)}


def reveal_image_labels(example, rng):
    return {**example, "image_labels": np.array([False, False, True])}


@pytest.mark.parametrize("transform", [reveal, reveal_image_labels])
@pytest.mark.parametrize("loader", ["threads", "grain"])
def test_what_a_transform_brings_back_is_an_error(transform, loader):
    source = hide_unseen(Masks([[0, 1]], [[1, 2]]), SPLIT)
    given = dict(seed=0, batch_size=2, unseen=SPLIT.unseen, loader=loader)
    with train_batches(source, transform=unchanged, **given) as batches:
        next(batches)
    with pytest.raises(UnseenLabelError, match=r"mask_[01] .*unseen classes \[2\]"):
        next(train_batches(source, transform=transform, **given))


def test_skipping_bad_pictures_does_not_pass_over_unseen_labels():
    given = dict(seed=0, batch_size=1, unseen=(2,), on_error="skip")
    with pytest.raises(UnseenLabelError):
        next(train_batches(Masks([[2]]), transform=unchanged, **given))


def test_an_episode_is_of_a_class_that_may_be_seen():
    binary = np.array([[0, 1]], np.uint8)
    guard = Guard(unseen=(0, 1))
    guard.check({"label": binary, "class_id": np.array(3)}, "episode")
    with pytest.raises(UnseenLabelError, match=r"\[1\]"):
        guard.check({"label": binary, "class_id": np.array(1)}, "episode")


def test_subsets_keep_names():
    subset = Subset(Masks([[0]], [[1]], [[2]]), [2, 0])
    assert len(subset) == 2 and subset[0]["label"].tolist() == [[2]]
    assert subset.name(0) == "mask_2"


def test_hiding_nothing_is_the_same_mask():
    mask = np.arange(256, dtype=np.uint8)[None]
    np.testing.assert_array_equal(HideUnseen(Masks(mask), ())[0]["label"], mask)


def test_masks_of_16_bits_stay_so():
    mask = np.array([[0, 300, 301, 65535]], np.uint16)

    class Wide(Masks):
        def __getitem__(self, index):
            return {"image": np.zeros((1, 4, 3), np.uint8), "label": mask}

    label = HideUnseen(Wide(mask), (300,))[0]["label"]
    assert label.tolist() == [[0, 65535, 301, 65535]] and label.dtype == np.uint16
    Guard((300,)).check({"label": label}, "picture")
    with pytest.raises(UnseenLabelError, match=r"\[300\]"):
        Guard((300,)).check({"label": mask}, "picture")


def test_a_misspelt_mode_is_an_error_of_the_config(data_root):
    with pytest.raises(ConfigError, match=r"config.data: data.train_images is"):
        training_ids(data_root, train_images="purge")


def told(labels=SPLIT, *, self_training=False, zero_label=False, **data):
    return zero_shot.protocol(
        {"data": data}, labels, self_training=self_training, zero_label=zero_label
    )


def test_the_protocol_is_inductive_and_generalised_unless_the_method_says_otherwise():
    assert told() == dict(
        setting="inductive",
        evaluation="generalised",
        train_images="ignore_unseen",
        background="seen",
        seen=[SPLIT.names[0], SPLIT.names[1]],
        unseen=[SPLIT.names[2]],
    )
    assert told(self_training=True)["setting"] == "transductive"
    assert told(zero_label=True)["evaluation"] == "zero-label"
    assert told(train_images="purge_unseen")["train_images"] == "purge_unseen"
    assert told(LABELS) == {}


@pytest.mark.parametrize(
    "first, held, side",
    [
        ("background", "y", "seen"),
        ("background", "background", "unseen"),
        ("sky", "y", "ignored"),
    ],
)
def test_the_protocol_says_which_side_the_background_is_on(first, held, side):
    labels = dataclasses.replace(LABELS, names=(first, "x", "y")).with_unseen((held,))
    assert told(labels)["background"] == side


def test_self_training_needs_the_pictures_that_purging_leaves_out():
    with pytest.raises(ValueError, match="set 'ignore_unseen'"):
        told(self_training=True, train_images="purge_unseen")


def test_what_was_transductive_stays_so():
    inductive, transductive = told(), told(self_training=True)
    assert zero_shot.after(inductive, transductive)["setting"] == "transductive"
    assert zero_shot.after(transductive, inductive)["setting"] == "transductive"
    assert zero_shot.after(inductive, inductive) == inductive
    assert zero_shot.after(inductive, {}) == inductive


def test_labels_that_an_earlier_run_had_are_found():
    protocol, names = told(), SPLIT.names
    assert zero_shot.labelled_before(protocol, names, {}) == [names[2]]
    assert zero_shot.labelled_before(protocol, names, protocol) == []
    assert zero_shot.labelled_before(protocol, names[:2], {}) == []


def test_the_line_of_the_log_names_the_unseen_classes():
    line = zero_shot.in_words(told())
    assert "inductive, generalised" in line and line.endswith(SPLIT.names[2])
