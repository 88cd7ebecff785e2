"""Fingerprints and their comparison, against loops."""

import itertools

import numpy as np
import pytest
from PIL import Image

from jaxseg.data.inspection import duplicates


def picture(seed, size=(96, 128)):
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size[::-1], Image.Resampling.BICUBIC)


def distance(one, other):
    first, second = (duplicates.fingerprint(np.asarray(x)) for x in (one, other))
    return sum(
        bin(int(a) ^ int(b)).count("1") for a, b in zip(first, second, strict=True)
    )


def test_the_hash_says_where_it_gets_brighter():
    ramp = np.tile(np.arange(170, dtype=np.uint8)[None, :, None], (160, 1, 3))
    assert duplicates.fingerprint(ramp).tolist() == [2**64 - 1] * 4
    assert duplicates.fingerprint(ramp[:, ::-1]).tolist() == [0] * 4


def test_a_flat_picture_has_none():
    assert duplicates.fingerprint(np.full((20, 20, 3), 9, np.uint8)) is None


@pytest.mark.parametrize("size", [(48, 64), (200, 260)])
def test_a_resized_picture_stays_near(size):
    assert distance(picture(1), picture(1).resize(size[::-1])) <= 8


def test_a_brighter_picture_stays_near():
    lifted = np.asarray(picture(1)).astype(int) * 0.9 + 20
    assert distance(picture(1), lifted.astype(np.uint8)) <= 8


def test_other_pictures_are_far():
    pairs = itertools.combinations([picture(i) for i in range(8)], 2)
    assert min(itertools.starmap(distance, pairs)) > 3 * duplicates.MAX_DISTANCE


@pytest.mark.parametrize("block", [1, 2**22])
def test_near_finds_what_a_loop_finds(monkeypatch, block):
    monkeypatch.setattr(duplicates, "_BLOCK", block)
    rng = np.random.default_rng(0)
    first = [rng.integers(0, 2**64, 4, np.uint64) for _ in range(5)]
    second = [
        first[3] ^ np.uint64(5),
        first[1],
        None,
        rng.integers(0, 2**64, 4, np.uint64),
    ]
    first[4] = None
    assert set(duplicates.near(first, second)) == {(3, 0), (1, 1)}
    assert set(duplicates.near(first, second, max_distance=7)) == {(1, 1)}


def test_nothing_is_near_nothing():
    assert not list(duplicates.near([], [None]))


def test_same_finds_equal_digests():
    assert list(duplicates.same([b"a", b"b"], [b"b", b"c", b"b"])) == [(1, 0), (1, 2)]
