"""Episodes: the published pairs, one class each, the same for the same seed."""

import dataclasses
import pathlib

import numpy as np
import pytest

from jaxseg.data import coco, voc
from jaxseg.data.episodes import (
    ByClass,
    Episodes,
    FewShot,
    Listed,
    Pair,
    cycled,
    drawn,
    from_masks,
    match,
    read_coco20i,
    read_pascal5i,
)
from jaxseg.data.labels import VOC as VOC_LABELS
from jaxseg.data.pipeline import eval_batches, train_batches
from jaxseg.data.zero_shot import UnseenLabelError, hide_unseen
from tests.data.test_image_labels import LABELS, Masks
from tests.data.test_pipeline import assert_same, take, unchanged

MASKS = Masks([[0, 1, 255]], [[2, 2, 1]], [[0, 0, 0]], [[1, 0, 2]])
PAIRS = [Pair(0, 1), Pair(1, 1), Pair(1, 2), Pair(3, 1), Pair(3, 2)]
VOC_IDS = tuple(range(1, 21))  # after the background


def classes(batches):
    return np.concatenate([batch["class_id"] for batch in batches])


def test_the_label_is_the_class_against_all_others():
    episodes = Episodes(MASKS, PAIRS)
    assert episodes[0]["label"].tolist() == [[0, 1, 255]]
    assert episodes[1]["label"].tolist() == [[0, 0, 1]]
    assert episodes[2]["label"].tolist() == [[1, 1, 0]]
    assert episodes[2]["class_id"] == 2 and episodes.name(2) == "mask_1"


def test_whole_masks_keep_the_classes_named_and_no_other():
    episodes = Episodes(MASKS, PAIRS, with_ids=True, whole=(2,))
    assert episodes[1]["label"].tolist() == [[2, 2, 1]]
    assert episodes[3]["label"].tolist() == [[1, 0, 2]]
    assert episodes[0]["label"].tolist() == [[0, 1, 255]]
    plain = Episodes(MASKS, PAIRS, with_ids=True)
    assert plain[2]["label"].tolist() == [[2, 2, 0]]


def test_pairs_of_masks_are_the_classes_with_a_pixel():
    assert from_masks(MASKS, (1, 2)) == PAIRS
    assert from_masks(MASKS, (2,)) == [Pair(1, 2), Pair(3, 2)]


def test_an_epoch_of_training_shows_every_pair_once():
    given = dict(transform=unchanged, seed=2, batch_size=5)
    shown = take(train_batches(Episodes(MASKS, PAIRS), **given), 2)
    for batch in shown:
        assert sorted(batch["class_id"]) == [1, 1, 1, 2, 2]
        assert batch["class_id"].dtype == np.int32


def test_drawn_training_takes_classes_equally_often():
    pairs = [Pair(0, 1)] * 9 + [Pair(1, 2)]
    batches = train_batches(
        Episodes(MASKS, pairs),
        draw=ByClass(pairs),
        transform=unchanged,
        seed=0,
        batch_size=100,
    )
    assert 400 < (classes(take(batches, 10)) == 2).sum() < 600


@pytest.mark.parametrize("loader", ["threads", "grain"])
def test_draws_resume_and_are_those_of_the_seed(loader):
    given = dict(draw=ByClass(PAIRS), transform=unchanged, batch_size=4, loader=loader)
    source = Episodes(MASKS, PAIRS)
    whole = take(train_batches(source, seed=3, **given), 6)
    resumed = take(train_batches(source, seed=3, start_step=4, **given), 2)
    assert_same(resumed, whole[4:])
    other = take(train_batches(source, seed=4, **given), 6)
    assert classes(other).tolist() != classes(whole).tolist()


def test_two_hosts_draw_different_halves_of_one_batch():
    given = dict(draw=ByClass(PAIRS), transform=unchanged, batch_size=8, seed=0)
    source = Episodes(MASKS, PAIRS)
    one = next(train_batches(source, **given))["class_id"]
    hosts = [
        next(train_batches(source, process_index=i, process_count=2, **given))
        for i in (0, 1)
    ]
    np.testing.assert_array_equal(one, classes(hosts))


def test_testing_cycles_through_the_pairs():
    pairs = cycled(PAIRS, 12)
    assert pairs == [*PAIRS, *PAIRS, *PAIRS[:2]]


def test_test_draws_are_fixed_and_of_all_classes_alike():
    pairs = [Pair(0, 1)] * 9 + [Pair(1, 2)]
    assert drawn(pairs) == drawn(pairs) != drawn(pairs, seed=1)
    assert len(drawn(pairs)) == 1000
    assert 420 < sum(pair.class_id == 2 for pair in drawn(pairs)) < 580


def test_evaluation_batches_name_the_class():
    batch = next(eval_batches(Episodes(MASKS, PAIRS[:2]), batch_size=3))
    assert batch["class_id"].tolist() == [1, 1, 0]
    assert batch["valid"].tolist() == [True, True, False]


class SizedMasks(Masks):
    def size(self, index):
        return self.masks[index].shape


def test_sizes_are_those_of_the_pictures():
    episodes = Episodes(SizedMasks([[0, 1]], [[1], [1]]), [Pair(1, 1), Pair(0, 1)])
    assert [episodes.size(i) for i in (0, 1)] == [(2, 1), (1, 2)]


SPLIT = dataclasses.replace(LABELS, seen=(0, 1), unseen=(2,))


@pytest.mark.parametrize(
    ("train_images", "expected"),
    [("keep_unseen", [0, 0, 1]), ("ignore_unseen", [255, 255, 1])],
)
def test_unseen_pixels_are_others_or_unlabelled(train_images, expected):
    source = hide_unseen(MASKS, SPLIT, train_images=train_images)
    assert Episodes(source, [Pair(1, 1)])[0]["label"].tolist() == [expected]


def test_purged_pictures_have_no_episodes():
    source = hide_unseen(MASKS, SPLIT, train_images="purge_unseen")
    listed = [Listed("mask_0", 0), Listed("mask_1", 0), Listed("mask_3", 0)]
    assert match(source, listed, (1, 2), partial=True) == [Pair(0, 1)]


def test_an_episode_of_an_unseen_class_is_not_trained():
    given = dict(transform=unchanged, seed=0, batch_size=5, unseen=(2,))
    with pytest.raises(UnseenLabelError, match=r"\[2\]"):
        next(train_batches(Episodes(MASKS, PAIRS), **given))


def test_pictures_that_are_not_there_are_named():
    with pytest.raises(ValueError, match="1 listed pictures .* such as photo_9"):
        match(MASKS, [Listed("photo_9", 0), Listed("mask_0", 0)], (1,))


def test_pairs_that_are_passed_over_are_counted(caplog):
    listed = [Listed("photo_9", 0), Listed("mask_0", 0), Listed("mask_1", 0)]
    assert len(match(MASKS, listed, (1,), partial=True)) == 2
    assert "1 of 3 listed pairs" in caplog.text


def test_labels_may_hold_the_train_id():
    episode = Episodes(MASKS, PAIRS, with_ids=True)[2]
    assert episode["label"].tolist() == [[2, 2, 0]]
    assert episode["label"].dtype == np.uint8


def test_image_labels_of_other_classes_are_not_told():
    masks = Masks([[0, 1, 2]], image_labels=[[True, True, True]])
    assert "image_labels" not in Episodes(masks, [Pair(0, 1)])[0]


class Photographs:
    """A data set whose splits have one mask each; VOC's classes, or COCO's."""

    def __init__(self, labels=VOC_LABELS):
        self.labels = labels

    def source(self, split):
        return Masks([[0, 1, 2]]) if split == "train" else Masks([[0, 1, 7]], [[6, 1]])


def test_a_fold_trains_on_seen_classes_and_tests_on_its_own():
    few = FewShot(base=Photographs(), fold=1, train_images="keep_unseen")
    assert few.labels.unseen == (6, 7, 8, 9, 10)
    train, test = few.source("train"), few.source("val")
    assert [train[i]["label"].tolist() for i in (0, 1)] == [[[0, 1, 0]], [[0, 0, 2]]]
    assert [int(test[i]["class_id"]) for i in (0, 1, 2)] == [7, 6, 7]
    assert (len(train), len(test)) == (2, 1000)


def test_a_fold_takes_the_pairs_of_lists(tmp_path):
    for i in range(4):
        (tmp_path / f"train_fold{i}.txt").write_text(f"mask_0__{5 * i + 1:02}\n")
    (tmp_path / "val_fold1.txt").write_text("mask_1__06\n")
    few = FewShot(base=Photographs(), fold=1, lists=str(tmp_path))
    train = few.source("train")
    assert [int(train[i]["class_id"]) for i in range(len(train))] == [1, 11, 16]
    assert int(few.source("val")[0]["class_id"]) == 6


def test_each_test_pair_once():
    assert len(FewShot(base=Photographs(), fold=1, test_episodes=0).source("val")) == 2


@pytest.mark.parametrize(
    ("train_images", "expected"), [("keep_unseen", 0), ("ignore_unseen", 255)]
)
def test_unseen_classes_of_a_fold_are_others_or_unlabelled(train_images, expected):
    class Both(Photographs):
        def source(self, split):
            return Masks([[0, 1, 6]])

    few = FewShot(base=Both(), fold=1, train_images=train_images)
    assert few.source("train")[0]["label"].tolist() == [[0, 1, expected]]


def test_coco_is_drawn_by_class():
    base = Photographs(coco.COCO.read_labels(None))
    few = FewShot(base=base, benchmark="coco20i", fold=1)
    assert few.labels.unseen[:2] == (2, 6)
    assert few.draw("train")(np.random.default_rng(0)) == 0
    assert FewShot(base=Photographs()).draw("train") is None


def test_what_cannot_be_episodes_is_refused():
    table = VOC_LABELS.without(["background"])
    with pytest.raises(ValueError, match="the first of them 'background'"):
        _ = FewShot(base=Photographs(table)).labels
    with pytest.raises(ValueError, match="'train' and 'val': 'test'"):
        FewShot(base=Photographs()).source("test")


def test_no_episodes_is_an_error():
    with pytest.raises(ValueError, match="no episodes"):
        Episodes(MASKS, [])


def test_a_line_that_is_no_pair_is_named(tmp_path):
    (tmp_path / "val_fold0.txt").write_text("2007_000033__01\n2007_000042\n")
    with pytest.raises(ValueError, match="'2007_000042' is not IMAGE__CC"):
        read_pascal5i(tmp_path, fold=0, train=False)


def test_lists_that_are_not_there_are_asked_for(tmp_path):
    with pytest.raises(FileNotFoundError, match="fold lists"):
        read_coco20i(tmp_path, fold=0, train=True)
    with pytest.raises(ValueError, match="fold is 0..3, got 4"):
        read_pascal5i(tmp_path, fold=4, train=True)


@pytest.mark.parametrize(
    ("fold", "train", "val"),
    [(0, 11394, 346), (1, 10255, 451), (2, 7797, 725), (3, 11594, 346)],
)
def test_pascal5i_has_the_published_numbers_of_pairs(data_root, fold, train, val):
    folder = data_root / "splits" / "pascal5i"
    held_out = set(range(5 * fold, 5 * fold + 5))
    training = read_pascal5i(folder, fold=fold, train=True)
    testing = read_pascal5i(folder, fold=fold, train=False)
    assert (len(training), len(testing)) == (train, val)
    assert {line.benchmark_class for line in testing} == held_out
    assert {line.benchmark_class for line in training} == set(range(20)) - held_out


@pytest.mark.parametrize(
    ("fold", "train", "val"),
    [(0, 95476, 35783), (1, 133927, 17912), (2, 141054, 14563), (3, 141016, 14315)],
)
def test_coco20i_has_the_published_numbers_of_pairs(data_root, fold, train, val):
    folder = data_root / "splits" / "coco20i"
    training = read_coco20i(folder, fold=fold, train=True)
    testing = read_coco20i(folder, fold=fold, train=False)
    assert (len(training), len(testing)) == (train, val)
    assert {line.benchmark_class for line in testing} == set(range(fold, 80, 4))
    assert not {line.benchmark_class for line in training} & set(range(fold, 80, 4))
    assert all(line.name.startswith("COCO_val2014_0000") for line in testing[:9])


TRAIN_PAIRS = (
    (528, 428, 583, 371, 376),
    (367, 848, 987, 988, 235),
    (504, 1122, 430, 440, 3387),
    (358, 277, 487, 488, 476),
)
VAL_PAIRS = (
    (80, 57, 86, 58, 65),
    (69, 96, 115, 102, 69),
    (74, 125, 76, 72, 378),
    (58, 49, 90, 82, 67),
)


@pytest.mark.parametrize(
    ("part", "counts", "pictures"),
    [("train", TRAIN_PAIRS, 10092), ("val", VAL_PAIRS, 1381)],
)
def test_pascal5i_has_the_published_numbers_of_each_class(
    data_root, part, counts, pictures
):
    of_fold = pascal_lines(data_root, part)
    classes = [[line.rpartition("__")[2] for line in lines] for lines in of_fold]
    found = [
        tuple(ids.count(f"{5 * fold + i + 1:02}") for i in range(5))
        for fold, ids in enumerate(classes)
    ]
    assert tuple(found) == counts
    names = {line.rpartition("__")[0] for lines in of_fold for line in lines}
    assert len(names) == pictures


def pascal_lines(data_root, part):
    """The lines of a part's four lists."""
    folder = data_root / "splits" / "pascal5i"
    files = [folder / f"{part}_fold{fold}.txt" for fold in range(4)]
    return [file.read_text().split() for file in files]


def test_pictures_of_a_fold_are_in_the_training_lists_of_the_others(data_root):
    """So with "keep_unseen" a run learns that these classes are others."""
    names = [
        {line.rpartition("__")[0] for line in lines}
        for lines in pascal_lines(data_root, "train")
    ]
    leaks = [
        len(own & set().union(*(names[:fold] + names[fold + 1 :])))
        for fold, own in enumerate(names)
    ]
    assert leaks == [637, 1298, 1945, 896]


@pytest.mark.parametrize(
    ("fold", "train", "val"),
    [(0, 62040, 26052), (1, 74381, 15305), (2, 73035, 13138), (3, 73808, 12640)],
)
def test_coco20i_has_the_published_numbers_of_pictures(data_root, fold, train, val):
    folder = data_root / "splits" / "coco20i"
    listed = (read_coco20i(folder, fold=fold, train=part) for part in (True, False))
    assert [len({line.name for line in lines}) for lines in listed] == [train, val]


class RealMasks(Photographs):
    """The masks of voc_mini, read once."""

    def __init__(self, root):
        super().__init__()
        base = voc.VOC(root=str(root))
        sources = {split: base.source(split) for split in ("train", "val")}
        self.splits = {
            split: Masks(*(source.label(i) for i in range(len(source))))
            for split, source in sources.items()
        }

    def source(self, split):
        return self.splits[split]


@pytest.fixture(scope="module")
def real_masks(data_root):
    return RealMasks(data_root / "voc_mini")


@pytest.mark.parametrize(
    ("fold", "train", "purged", "val"),
    [(0, 404, 349, 40), (1, 396, 305, 41), (2, 324, 204, 63), (3, 406, 351, 35)],
)
def test_folds_of_the_photographs_need_no_lists(real_masks, fold, train, purged, val):
    few = FewShot(base=real_masks, fold=fold, test_episodes=0)
    shown = few.source("train")
    assert (len(shown), len(few.source("val"))) == (train, val)
    without = dataclasses.replace(few, train_images="purge_unseen")
    assert len(without.source("train")) == purged
    for index in range(0, train, 20):
        example = shown[index]
        assert int(example["class_id"]) not in few.labels.unseen
        assert set(np.unique(example["label"])) <= {0, int(example["class_id"]), 255}


def test_listed_classes_are_in_the_masks_of_the_photographs(data_root):
    source = voc.VOC(root=str(data_root / "voc_mini")).source("val")
    stems = {pathlib.PurePath(source.name(i)).stem for i in range(len(source))}
    for fold in range(4):
        listed = read_pascal5i(
            data_root / "splits" / "pascal5i", fold=fold, train=False
        )
        pairs = match(source, listed, VOC_IDS, partial=True)
        assert len(pairs) == sum(line.name in stems for line in listed) > 10
        episodes = Episodes(source, pairs)
        assert all((episodes[i]["label"] == 1).any() for i in range(0, len(pairs), 5))
