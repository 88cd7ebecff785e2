"""Canvases: few, large enough, the same on every host, and worth their merging."""

import itertools
import time

import numpy as np
import pytest

from jaxseg.data.buckets import assign, choose, plan, read_sizes
from jaxseg.data.pipeline import eval_batches
from jaxseg.data.source import PictureError
from jaxseg.data.voc import VOC
from tests.data.test_pipeline import Numbers

PHOTOS = [(375, 500), (500, 375), (333, 500), (500, 332), (281, 500), (500, 500)]


def random_sizes(count, seed=0, low=1, high=700):
    return np.random.default_rng(seed).integers(low, high, (count, 2))


def cost(sizes, canvases, batch_size):
    """Pixels of all batches, counted one picture at a time."""
    total = 0
    filled = dict.fromkeys(canvases, 0)
    for height, width in sizes:
        holding = [(h * w, (h, w)) for h, w in canvases if height <= h and width <= w]
        filled[min(holding)[1]] += 1
    for (height, width), count in filled.items():
        total += height * width * -(-count // batch_size) * batch_size
    return total


@pytest.mark.parametrize("max_shapes", [1, 2, 5])
@pytest.mark.parametrize("seed", range(5))
def test_few_canvases_hold_all_pictures(max_shapes, seed):
    sizes = random_sizes(60, seed)
    canvases = choose(sizes, max_shapes=max_shapes)
    assert 1 <= len(canvases) <= max_shapes and len(set(canvases)) == len(canvases)
    assert all(side % 32 == 0 for side in np.ravel(canvases))
    assert (assign(sizes, canvases) >= 0).all()


def test_landscape_and_portrait_photos_get_a_canvas_each():
    sizes = np.array([PHOTOS[0]] * 50 + [PHOTOS[1]] * 50 + [(374, 499)])
    assert set(choose(sizes, max_shapes=2)) == {(384, 512), (512, 384)}


def test_one_canvas_is_the_largest_height_and_width():
    assert choose(np.array(PHOTOS), max_shapes=1) == ((512, 512),)


def test_merging_is_nearly_as_good_as_the_best_of_all_pairs():
    sizes = np.array(PHOTOS * 4)
    canvases = list(itertools.product((288, 352, 384, 512), repeat=2))
    pairs = list(itertools.combinations(canvases, 2))
    holding = [pair for pair in pairs if (assign(sizes, pair) >= 0).all()]
    best = min(cost(sizes, pair, 1) for pair in holding)
    assert best <= cost(sizes, choose(sizes, max_shapes=2), 1) <= 1.1 * best


def test_batches_that_would_be_mostly_padding_are_merged():
    sizes = np.array([(64, 64)] * 7 + [(96, 96)])
    assert len(choose(sizes, max_shapes=4, batch_size=1)) == 2
    assert choose(sizes, max_shapes=4, batch_size=8) == ((96, 96),)


def test_each_picture_takes_the_smallest_canvas_that_holds_it():
    canvases = ((512, 512), (512, 384), (384, 512))
    sizes = np.array([*PHOTOS, (1, 1), (513, 10)])
    assert assign(sizes, canvases).tolist() == [2, 1, 2, 1, 2, 0, 1, -1]


@pytest.mark.parametrize("seed", range(3))
def test_more_canvases_are_never_worse(seed):
    sizes = random_sizes(100, seed)
    costs = [
        cost(sizes, choose(sizes, max_shapes=n, batch_size=8), 8) for n in range(1, 9)
    ]
    assert costs == sorted(costs, reverse=True)


def test_thousands_of_sizes_are_no_longer_to_choose_for():
    sizes = random_sizes(5000, low=200, high=2000)
    begin = time.perf_counter()
    assert len(choose(sizes, max_shapes=6, batch_size=8)) <= 6
    assert time.perf_counter() - begin < 5


def test_the_order_of_the_pictures_does_not_change_the_canvases():
    sizes = random_sizes(40)
    assert choose(sizes, max_shapes=4) == choose(sizes[::-1], max_shapes=4)


def test_batches_are_of_one_canvas_and_hold_every_picture_once():
    sizes = random_sizes(41)
    canvases = choose(sizes, max_shapes=4, batch_size=6)
    batches = plan(sizes, canvases, batch_size=6, name=str)
    assert all(len({place.canvas for place in batch}) == 1 for batch in batches)
    assert all(len(batch) == 6 for batch in batches)
    shown = [
        place.picture for batch in batches for place in batch if place.picture >= 0
    ]
    assert sorted(shown) == list(range(41))


def test_a_picture_that_no_canvas_holds_is_named():
    with pytest.raises(ValueError, match=r"photo 1 is \(40, 8\).*add a larger one"):
        plan(
            np.array([(8, 8), (40, 8)]),
            ((32, 32),),
            batch_size=2,
            name=lambda index: f"photo {index}",
        )


class WithHeaders(Numbers):
    """Knows sizes without reading pictures."""

    def size(self, index):
        self.asked = True
        return self._sizes.get(index, (4, 6))


def test_sizes_come_from_headers_where_there_are_any():
    source = WithHeaders(3, broken=(0, 1, 2), sizes={1: (7, 9)})
    assert read_sizes(source).tolist() == [[4, 6], [7, 9], [4, 6]]


def test_sizes_are_read_from_pictures_otherwise():
    source = Numbers(3, broken=(0,), sizes={1: (7, 9)})
    assert read_sizes(source, on_error="skip").tolist() == [[0, 0], [7, 9], [4, 6]]
    with pytest.raises(PictureError, match="picture_0"):
        read_sizes(source)


MIXED = {1: (40, 20), 2: (20, 40), 5: (33, 33), 6: (30, 60)}


def test_evaluation_in_buckets_shows_every_picture_once_with_its_size():
    source = Numbers(9, sizes=MIXED)
    seen = {}
    for batch in eval_batches(source, batch_size=2, buckets=3):
        for i in np.flatnonzero(batch["valid"]):
            index = int(batch["index"][i])
            assert index not in seen
            height, width = seen[index] = tuple(batch["size"][i].tolist())
            inside = batch["label"][i, :height, :width]
            assert (inside == index).all()
            assert (batch["label"][i] == index).sum() == height * width
            assert (batch["image"][i, :height, :width] == index).all()
    assert seen == {i: MIXED.get(i, (4, 6)) for i in range(9)}


def test_padding_of_a_bucket_has_no_index_and_no_size():
    batches = list(eval_batches(Numbers(3, sizes=MIXED), batch_size=2, buckets=8))
    for batch in batches:
        assert ((batch["index"] == -1) == ~batch["valid"]).all()
        assert (batch["size"][~batch["valid"]] == 0).all()
        assert (batch["label"][~batch["valid"]] == 255).all()
        assert batch["index"].dtype == batch["size"].dtype == np.int32


@pytest.mark.parametrize("buckets", [3, ((64, 64), (32, 32))])
def test_buckets_on_two_hosts_are_those_on_one(buckets):
    given = dict(batch_size=4, buckets=buckets)
    one = list(eval_batches(Numbers(9, sizes=MIXED), **given))
    hosts = [
        list(
            eval_batches(
                Numbers(9, sizes=MIXED), process_index=i, process_count=2, **given
            )
        )
        for i in (0, 1)
    ]
    assert len(hosts[0]) == len(hosts[1]) == len(one)
    for whole, *halves in zip(one, *hosts, strict=True):
        for key in whole:
            np.testing.assert_array_equal(
                np.concatenate([half[key] for half in halves]), whole[key]
            )


def test_an_unreadable_picture_keeps_its_place_in_a_bucket():
    source = Numbers(5, broken=(3,), sizes=MIXED)
    batches = eval_batches(source, batch_size=2, buckets=2, on_error="skip")
    indices = np.concatenate([batch["index"] for batch in batches])
    assert sorted(indices[indices >= 0]) == [0, 1, 2, 4] and batches.skipped == 1


def test_networks_that_align_corners_get_one_pixel_more():
    source = Numbers(9, sizes=MIXED)
    for batch in eval_batches(source, batch_size=2, buckets=3, align_corners=True):
        assert {side % 32 for side in batch["label"].shape[1:]} == {1}
    assert choose(np.array([[33, 65], [33, 1]]), max_shapes=1, more=1) == ((33, 65),)


def test_exact_buckets_pad_nothing():
    shapes = set()
    for batch in eval_batches(Numbers(9, sizes=MIXED), batch_size=2, buckets="exact"):
        shapes.add(batch["label"].shape[1:])
        assert (batch["size"][batch["valid"]] == batch["label"].shape[1:]).all()
    assert shapes == {(4, 6), *MIXED.values()}


def test_a_word_that_is_no_buckets_is_refused():
    with pytest.raises(ValueError, match="'exactly'.*'exact'"):
        eval_batches(Numbers(3), batch_size=1, buckets="exactly")


def test_canvas_and_buckets_exclude_each_other():
    with pytest.raises(ValueError, match="give one"):
        eval_batches(Numbers(3), batch_size=1, canvas=(8, 8), buckets=2)


def test_photographs_fill_most_of_four_canvases(data_root):
    source = VOC(root=str(data_root / "voc_mini")).source("val")
    sizes = read_sizes(source)
    canvases = choose(sizes, max_shapes=4, batch_size=8)
    assert len(canvases) <= 4
    assert sizes.prod(axis=1).sum() / cost(sizes, canvases, 8) > 0.8
