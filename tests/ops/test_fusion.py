"""Masks chosen by overlap against loops, hand-worked pictures and laws."""

import functools
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.ops import fusion

# Compiled, which eagerly each operation would be by itself.
overlaps = jax.jit(fusion.overlaps)
fuse = jax.jit(fusion.fuse)
fuse_oracle = jax.jit(fusion.fuse_oracle)
fuse_classes = jax.jit(
    fusion.fuse_classes, static_argnames=("num_classes", "background")
)
soft_projection = jax.jit(
    lambda z, u, v, share=0.5: fusion.soft_projection(
        z, SimpleNamespace(symmetric=u, vectors=v), share=share
    )
)

RNG = np.random.default_rng(0)


def masks(*shape):
    return jnp.asarray(RNG.random(shape) < 0.4)


def iou(a, b):
    a, b = np.asarray(a), np.asarray(b)
    return (a & b).sum() / max((a | b).sum(), 1)


def strip(text):
    """A picture of one row, "aab..": letters are classes from 1, dots background."""
    return jnp.array([[[0 if c == "." else ord(c) - ord("a") + 1 for c in text]]])


def bits(*texts):
    """Segments of a picture of one row."""
    return jnp.array(
        [[[[c == "x" for c in column] for column in zip(*texts, strict=True)]]]
    )


def classes(text, *texts, num_classes=4, **options):
    ids = fuse_classes(
        strip(text), bits(*texts), num_classes=num_classes, background=0, **options
    )
    return "".join("." if i == 0 else chr(ord("a") + i - 1) for i in ids[0, 0].tolist())


def test_overlaps_are_those_of_sets():
    segments, mask, valid = masks(2, 5, 6, 3), masks(2, 5, 6), masks(2, 5, 6)
    ours = overlaps(segments, mask, valid=valid)
    for b in range(2):
        for k in range(3):
            expected = iou(segments[b, :, :, k] & valid[b], mask[b] & valid[b])
            assert ours[b, k] == pytest.approx(expected, abs=1e-6)


def test_nothing_overlaps_nothing_by_zero():
    assert overlaps(jnp.zeros((1, 2, 2, 1), bool), jnp.zeros((1, 2, 2), bool)) == 0


@pytest.mark.parametrize("threshold", [0.0, 0.2, 0.5])
def test_the_best_segment_replaces_the_mask_above_the_threshold(threshold):
    prediction, segments = masks(6, 4, 5), masks(6, 4, 5, 3)
    ours = fuse(prediction, segments, threshold=threshold)
    for p, e, found in zip(prediction, segments, ours, strict=True):
        values = [iou(e[..., k], p) for k in range(3)]
        best = int(np.argmax(values))
        expected = e[..., best] if values[best] > threshold else p
        np.testing.assert_array_equal(found, expected)


def test_an_empty_prediction_stays_empty():
    nothing = jnp.zeros((1, 4, 5), bool)
    assert not fuse(nothing, masks(1, 4, 5, 3), threshold=0.0).any()
    with_padding = fuse(masks(1, 4, 5), masks(1, 4, 5, 3), threshold=0.0, valid=nothing)
    assert with_padding.shape == (1, 4, 5)


def test_pixels_that_do_not_count_do_not_choose():
    prediction, segments = masks(1, 4, 5), masks(1, 4, 5, 3)
    valid = jnp.ones((1, 4, 7), bool).at[:, :, 5:].set(False)
    noise = functools.partial(jnp.pad, constant_values=True)
    padded = fuse(
        noise(prediction, ((0, 0), (0, 0), (0, 2))),
        noise(segments, ((0, 0), (0, 0), (0, 2), (0, 0))),
        threshold=0.2,
        valid=valid,
    )
    alone = fuse(prediction, segments, threshold=0.2)
    np.testing.assert_array_equal(padded[:, :, :5], alone)


def test_the_oracle_is_the_best_of_all_candidates():
    prediction, segments = masks(5, 4, 6), masks(5, 4, 6, 3)
    truth, labelled = masks(5, 4, 6), masks(5, 4, 6)
    ours = fuse_oracle(prediction, segments, truth, labelled)
    for b in range(5):
        candidates = [prediction[b], *jnp.moveaxis(segments[b], -1, 0)]
        best = max(iou(c & labelled[b], truth[b] & labelled[b]) for c in candidates)
        assert iou(ours[b] & labelled[b], truth[b] & labelled[b]) == best


def test_the_oracle_keeps_a_prediction_that_is_as_good():
    truth = masks(1, 4, 6)
    prediction = truth
    both = jnp.stack([truth, truth], axis=-1)
    ours = fuse_oracle(prediction, both.at[0, 0, 0].set(True), truth, truth)
    np.testing.assert_array_equal(ours, prediction)


def test_a_class_grows_into_background_and_gives_pixels_back():
    assert classes("aaaa....", ".xxxx...") == ".aaaa..."


def test_a_segment_claims_nothing_of_another_class():
    assert classes("aaaab...", "xxxxxx..") == "aaaaba.."


def test_the_larger_class_chooses_first_and_each_segment_serves_once():
    # The segment fits b, too, and would be its best.
    assert classes("aaaaabbb", "xxxxxx..") == "aaaaabbb"
    assert classes("aaa..bb.", "xxx.....", "xxxx....") == "aaa..bb."
    assert classes("bb.aaa..", "xxx.....", "..xxxx..") == "bbaaaa.."


def test_a_segment_with_less_than_half_in_the_class_is_passed_over():
    # IoU is 3/8 with the wide one, 1/3 with the narrow one.
    wide, narrow = "xxxxxxxx..", "x........."
    assert classes("aaa.......", wide, threshold=0.3) == "aaa......."
    assert classes("aaa.......", wide, narrow, threshold=0.3) == "a........."


def test_without_a_segment_above_the_threshold_nothing_changes():
    assert classes("aaaabb..", "...x...x", "x.......") == "aaaabb.."


def test_one_class_is_fused_as_a_mask():
    mask, segments = masks(20, 4, 5), np.asarray(masks(20, 4, 5, 2))
    inside = (segments & np.asarray(mask)[..., None]).sum((1, 2))
    segments = segments & (2 * inside >= segments.sum((1, 2)))[:, None, None]
    ours = fuse_classes(
        mask.astype(jnp.int32), segments, num_classes=2, background=0, threshold=0.2
    )
    np.testing.assert_array_equal(ours == 1, fuse(mask, segments, threshold=0.2))


def test_order_of_classes_does_not_matter():
    ids = jnp.asarray(RNG.integers(0, 4, (3, 6, 7)))
    segments = masks(3, 6, 7, 4)
    again = jnp.array([0, 3, 1, 2])
    fused = functools.partial(fuse_classes, num_classes=4, background=0, threshold=0.1)
    areas = [sorted(np.bincount(x.ravel(), minlength=4)[1:]) for x in np.asarray(ids)]
    keep = np.array([len(set(a)) == 3 for a in areas])  # no two of one size
    assert keep.any()
    ours = np.asarray(fused(again[ids], segments))[keep]
    expected = np.asarray(again)[np.asarray(fused(ids, segments))[keep]]
    np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize(
    "function",
    [
        lambda m, e: fusion.fuse(m, e, threshold=0.2),
        lambda m, e: fusion.fuse_oracle(m, e, m[:, ::-1], m | True),
        lambda m, e: fusion.fuse_classes(
            m.astype(jnp.int32), e, num_classes=3, background=0, threshold=0.2
        ),
    ],
    ids=["fuse", "fuse_oracle", "fuse_classes"],
)
def test_compiled_as_eager(function):
    arguments = masks(3, 4, 5), masks(3, 4, 5, 3)
    eager, compiled = function(*arguments), jax.jit(function)(*arguments)
    np.testing.assert_array_equal(eager, compiled)


def graph(n, m, *, isolated=0):
    """The first eigenvectors of a random graph, and its degrees, in float64."""
    weights = RNG.random((n, n))
    weights = weights + weights.T
    weights[n - isolated :] = weights[:, n - isolated :] = 0
    degree = weights.sum(axis=1)
    root = np.sqrt(np.where(degree > 0, degree, 1))
    _, u = np.linalg.eigh(weights / root / root[:, None])
    u = u[:, ::-1][:, :m] * (degree > 0)[:, None]
    return u, np.where(degree > 0, degree, 0), root


def test_projection_is_the_formula():
    u, degree, root = graph(12, 3)
    v = u / root[:, None]
    z = RNG.normal(size=(3, 4, 2))
    flat = z.reshape(12, 2)
    smooth = (u / root[:, None]) @ u.T @ (np.sqrt(degree)[:, None] * flat)
    expected = (0.7 * flat + 0.3 * smooth).reshape(3, 4, 2)
    ours = soft_projection(z, u, v, share=0.3)
    np.testing.assert_allclose(ours, expected, atol=1e-5)


def test_constant_logits_stay_as_they_are():
    u, _, root = graph(12, 3)
    v = u / root[:, None]
    ours = soft_projection(jnp.full((3, 4, 2), 2.5), u, v, share=1.0)
    np.testing.assert_allclose(ours, 2.5, rtol=1e-5)


def test_nodes_outside_of_the_graph_keep_their_logits():
    u, _, root = graph(12, 3, isolated=4)
    v = u / root[:, None]
    z = jnp.asarray(RNG.normal(size=(3, 4, 2)), jnp.float32)
    ours = soft_projection(z, u, v)
    np.testing.assert_array_equal(ours[2], z[2])
    assert (ours[:2] != z[:2]).all()
