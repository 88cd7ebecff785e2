"""The training order, and that no loader changes it."""

import functools
import threading
import time

import numpy as np
import pytest

from jaxseg.data import loaders
from jaxseg.data.folder import Folder
from jaxseg.data.pipeline import Stream, eval_batches, train_batches
from jaxseg.data.source import PictureError, UnknownLabelError
from jaxseg.data.transforms import TrainTransform


class Numbers:
    """Pictures whose pixels are their index; some cannot be read."""

    def __init__(self, length, *, broken=(), error=PictureError, sizes=()):
        self._length = length
        self._broken = broken
        self._error = error
        self._sizes = dict(sizes)

    def __len__(self):
        return self._length

    def __getitem__(self, index):
        if index in self._broken:
            raise self._error(f"cannot read {self.name(index)}")
        size = self._sizes.get(index, (4, 6))
        image = np.full((*size, 3), index, np.uint8)
        return {"image": image, "label": np.full(size, index, np.uint8)}

    def name(self, index):
        return f"picture_{index}"


def unchanged(example, rng):
    return example


def mark(example, rng):
    """Writes a random level into the second channel."""
    image = example["image"].copy()
    image[..., 1] = rng.integers(256)
    return {**example, "image": image}


AUGMENT = TrainTransform(crop=(20, 20))
open_numbers = functools.partial(
    train_batches, Numbers(10), transform=mark, seed=1, batch_size=4
)


def take(batches, count):
    with batches:
        return [next(batches) for _ in range(count)]


def assert_same(left, right):
    assert len(left) == len(right)
    for a, b in zip(left, right, strict=True):
        assert a.keys() == b.keys()
        for key in a:
            assert a[key].dtype == b[key].dtype
            np.testing.assert_array_equal(a[key], b[key])


def indices(batches):
    return np.concatenate([batch["label"][:, 0, 0] for batch in batches])


def test_every_epoch_holds_every_picture_once_in_a_new_order():
    stream = Stream(Numbers(10), transform=unchanged, seed=3)
    order = [int(stream[p]["label"][0, 0]) for p in range(30)]
    epochs = [order[:10], order[10:20], order[20:]]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


def test_epochs_are_crossed_without_dropping():
    shown = indices(take(open_numbers(), 5))  # 20 pictures are 2 epochs
    np.testing.assert_array_equal(np.bincount(shown), [2] * 10)


def test_the_random_numbers_are_those_of_seed_epoch_and_picture():
    stream = Stream(Numbers(10), transform=mark, seed=3)
    example = stream[27]
    rng = np.random.default_rng((3, 2, int(example["label"][0, 0])))
    assert example["image"][0, 0, 1] == rng.integers(256)


def test_positions_may_be_read_in_any_order():
    forward, back = (Stream(Numbers(10), transform=mark, seed=3) for _ in "ab")
    first = [forward[p]["image"] for p in range(40)]
    second = [back[p]["image"] for p in reversed(range(40))][::-1]
    np.testing.assert_array_equal(first, second)


def test_another_seed_is_another_order():
    orders = [indices(take(open_numbers(seed=seed), 3)).tolist() for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]


def test_batches_have_the_documented_types():
    batch = take(open_numbers(), 1)[0]
    assert {k: (v.dtype, v.shape) for k, v in batch.items()} == {
        "image": (np.uint8, (4, 4, 6, 3)),
        "label": (np.int32, (4, 4, 6)),
        "valid": (bool, (4,)),
    }
    assert batch["valid"].all()


@pytest.mark.parametrize("loader", ["threads", "grain"])
@pytest.mark.parametrize("num_threads", [1, 3])
def test_loader_and_threads_do_not_change_the_batches(tree, loader, num_threads):
    source = Folder(root=str(tree)).source("train")
    given = dict(transform=AUGMENT, seed=5, batch_size=4)
    plain = Stream(source, transform=AUGMENT, seed=5)
    batches = train_batches(source, loader=loader, num_threads=num_threads, **given)
    for step, batch in enumerate(take(batches, 5)):
        for i in range(4):
            expected = plain[4 * step + i]
            np.testing.assert_array_equal(batch["image"][i], expected["image"])
            np.testing.assert_array_equal(batch["label"][i], expected["label"])


@pytest.mark.slow
def test_processes_do_not_change_the_batches(tree):
    source = Folder(root=str(tree)).source("train")
    given = dict(transform=AUGMENT, seed=5, batch_size=4, start_step=3)
    processes = train_batches(source, loader="grain", num_workers=2, **given)
    assert_same(take(processes, 5), take(train_batches(source, **given), 5))


@pytest.mark.parametrize("loader", ["threads", "grain"])
@pytest.mark.parametrize("start", [1, 2, 3, 7])
def test_resuming_inside_an_epoch_continues_exactly(loader, start):
    whole = take(open_numbers(loader=loader), start + 3)
    resumed = take(open_numbers(loader=loader, start_step=start), 3)
    assert_same(resumed, whole[start:])


@pytest.mark.parametrize("loader", ["threads", "grain"])
def test_starting_late_takes_no_longer(loader):
    def seconds(start_step):
        begin = time.perf_counter()
        take(open_numbers(loader=loader, start_step=start_step), 1)
        return time.perf_counter() - begin

    seconds(0)  # imports
    assert seconds(10**6) < seconds(0) + 0.5


@pytest.mark.parametrize("loader", ["threads", "grain"])
def test_two_hosts_read_the_halves_of_one_hosts_batch(loader):
    one = take(open_numbers(loader=loader), 4)
    hosts = [
        take(open_numbers(loader=loader, process_index=i, process_count=2), 4)
        for i in (0, 1)
    ]
    joined = [
        {key: np.concatenate([a[key], b[key]]) for key in a}
        for a, b in zip(*hosts, strict=True)
    ]
    assert_same(joined, one)


@pytest.mark.parametrize("loader", ["threads", "grain"])
def test_an_unreadable_picture_surfaces_with_its_message(loader):
    source = Numbers(10, broken=(6,))
    given = dict(transform=unchanged, seed=1, batch_size=4, loader=loader)
    with pytest.raises(PictureError, match="cannot read picture_6"):
        take(train_batches(source, **given), 3)


@pytest.mark.parametrize("loader", ["threads", "grain"])
def test_skipping_shows_the_next_picture_of_the_epoch_and_counts(loader, caplog):
    given = dict(transform=unchanged, seed=1, batch_size=5, loader=loader)
    whole = indices(take(train_batches(Numbers(10), **given), 4))
    source = Numbers(10, broken=(6,))
    with train_batches(source, on_error="skip", **given) as batches:
        shown = indices([next(batches) for _ in range(4)])
        assert batches.skipped == 2  # once an epoch
        assert batches.skipped_files == {"picture_6"}
    assert "1 unreadable pictures were skipped: picture_6" in caplog.text
    for epoch in (slice(0, 10), slice(10, 20)):
        order = whole[epoch]
        at = order.tolist().index(6)
        order[at] = order[(at + 1) % 10]
        np.testing.assert_array_equal(shown[epoch], order)


def test_a_skipped_file_is_logged_once_when_met_and_once_in_the_end(caplog):
    source = Numbers(4, broken=(2,))
    given = dict(transform=unchanged, seed=1, batch_size=4, on_error="skip")
    with caplog.at_level("WARNING"):
        take(train_batches(source, **given), 5)
    said = [r.getMessage() for r in caplog.records if "picture_2" in r.getMessage()]
    assert said == [
        "Skipping a picture: cannot read picture_2",
        "1 unreadable pictures were skipped: picture_2",
    ]


def test_skipping_all_pictures_is_an_error():
    source = Numbers(3, broken=(0, 1, 2))
    given = dict(transform=unchanged, seed=1, batch_size=2, on_error="skip")
    with pytest.raises(PictureError, match="none of 3 pictures can be read"):
        take(train_batches(source, **given), 1)


def test_unknown_ids_are_not_skipped():
    source = Numbers(3, broken=(0,), error=UnknownLabelError)
    given = dict(transform=unchanged, seed=1, batch_size=3, on_error="skip")
    with pytest.raises(UnknownLabelError):
        take(train_batches(source, **given), 1)


def test_an_error_of_the_transform_surfaces():
    def fail(example, rng):
        raise ZeroDivisionError("of the transform")

    with pytest.raises(ZeroDivisionError, match="of the transform"):
        take(open_numbers(transform=fail), 1)


def reading_threads():
    names = ("jaxseg-read", "jaxseg-stack", "grain-prefetch")
    return [t for t in threading.enumerate() if t.name.startswith(names)]


def test_closing_ends_the_threads_quickly():
    batches = open_numbers()
    next(batches)
    assert reading_threads()
    begin = time.perf_counter()
    batches.close()
    assert time.perf_counter() - begin < 1 and not reading_threads()
    with pytest.raises(StopIteration):
        next(batches)


def test_an_error_leaves_no_threads():
    source = Numbers(10, broken=range(10))
    batches = train_batches(source, transform=unchanged, seed=1, batch_size=4)
    with pytest.raises(PictureError):
        next(batches)
    assert not reading_threads()


def test_no_more_than_two_batches_are_read_ahead():
    read = []

    def note(example, rng):
        read.append(1)
        return example

    with open_numbers(transform=note) as batches:
        next(batches)
        time.sleep(0.3)
        assert len(read) == (1 + loaders.PREFETCH) * 4


def with_further_keys(example, rng):
    number = example["label"][0, 0]
    return {**example, "number": number, "pair": np.array([number, 0.5], np.float32)}


def test_further_keys_are_stacked_as_they_are():
    batch = take(open_numbers(transform=with_further_keys), 1)[0]
    np.testing.assert_array_equal(batch["number"], batch["label"][:, 0, 0])
    np.testing.assert_array_equal(batch["pair"][:, 0], batch["number"])
    assert batch["number"].dtype == np.uint8 and batch["pair"].dtype == np.float32


def of_its_own_length(example, rng):
    return {**example, "row": np.zeros(int(example["label"][0, 0]))}


def test_further_keys_of_several_shapes_are_refused_by_name():
    with pytest.raises(ValueError, match="'row' has different shapes"):
        take(open_numbers(transform=of_its_own_length), 1)


def test_pictures_of_several_sizes_need_a_crop():
    source = Numbers(4, sizes={2: (5, 5)})
    with pytest.raises(ValueError, match="config.data.crop"):
        take(train_batches(source, transform=unchanged, seed=1, batch_size=4), 1)


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(loader="torch"), "'threads' or 'grain'"),
        (dict(num_workers=-1), "num_workers must be at least 0"),
        (dict(num_threads=0), "num_threads"),
        (dict(on_error="ignore"), "'raise' or 'skip'"),
        (dict(process_count=3), "multiple of the 3 hosts"),
        (dict(process_index=1), "process_index 1 of 1"),
    ],
)
def test_settings_without_sense_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        open_numbers(**change)


def test_no_pictures_at_all_is_an_error():
    with pytest.raises(ValueError, match="no pictures"):
        Stream(Numbers(0), transform=unchanged, seed=1)


def test_grain_is_asked_for_by_name_where_it_is_missing(monkeypatch):
    monkeypatch.setattr(loaders.extras, "installed", lambda module: False)
    with pytest.raises(
        ModuleNotFoundError, match=r"jaxseg\[data\].*loader=\"threads\""
    ):
        open_numbers(loader="grain")


def test_evaluation_shows_every_picture_once_in_order():
    batches = list(eval_batches(Numbers(10), batch_size=4))
    valid = np.concatenate([batch["valid"] for batch in batches])
    np.testing.assert_array_equal(indices(batches)[valid], range(10))
    assert valid.tolist() == [True] * 10 + [False] * 2
    assert (batches[-1]["label"][2:] == 255).all()


def test_evaluation_on_three_hosts_is_that_on_one():
    one = list(eval_batches(Numbers(7), batch_size=6))
    hosts = [
        list(eval_batches(Numbers(7), batch_size=6, process_index=i, process_count=3))
        for i in range(3)
    ]
    joined = [
        {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
        for parts in zip(*hosts, strict=True)
    ]
    assert_same(joined, one)


def test_an_unreadable_picture_is_an_invalid_place_of_an_evaluation():
    source = Numbers(5, broken=(0, 3))
    with eval_batches(source, batch_size=5, on_error="skip") as batches:
        batch = next(batches)
        assert batch["valid"].tolist() == [False, True, True, False, True]
        assert (batch["label"][[0, 3]] == 255).all()
        assert batches.skipped == 2


def test_an_unreadable_picture_ends_an_evaluation_otherwise():
    with pytest.raises(PictureError, match="picture_3"):
        list(eval_batches(Numbers(5, broken=(3,)), batch_size=5))


def test_a_canvas_is_filled_at_the_bottom_and_on_the_right():
    source = Numbers(2, sizes={1: (3, 8)})
    batch = next(eval_batches(source, batch_size=2, canvas=(5, 8), fill=(7, 8, 9)))
    assert (batch["label"][1, :3] == 1).all() and (batch["label"][1, 3:] == 255).all()
    assert (batch["image"][0, 4:] == (7, 8, 9)).all()
    assert (batch["image"][0, :4, :6] == 0).all()


class Wide(Numbers):
    """Masks of 16 bits."""

    def __getitem__(self, index):
        example = super().__getitem__(index)
        return {**example, "label": np.full((4, 6), 300 + index, np.uint16)}


def test_masks_of_16_bits_are_padded_with_their_own_unlabelled():
    batch = next(eval_batches(Wide(1), batch_size=2, canvas=(4, 7)))
    assert batch["label"][0, 0].tolist() == [300] * 6 + [65535]
    assert (batch["label"][1] == 65535).all() and batch["label"].dtype == np.int32


@pytest.mark.parametrize("canvas", [None, (4, 6)])
def test_sizes_that_differ_ask_for_a_canvas(canvas):
    source = Numbers(9, sizes={7: (3, 8)})
    with pytest.raises(ValueError, match=r"picture_7 .*canvas to at least \(4, 8\)"):
        list(eval_batches(source, batch_size=2, canvas=canvas))
