"""Labels for ignored pixels, against a walk down each pixel's ranking."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.ops.pseudo_labels import PseudoLabels, pseudo_labels, share_labelled

RNG = np.random.default_rng(0)
SCORES = RNG.normal(size=(2, 6, 5, 7)).astype(np.float32)
LABELS = RNG.choice([0, 1, 3, 4, 255, 255, 255], (2, 6, 5)).astype(np.int32)
UNSEEN = np.isin(np.arange(7), (2, 5, 6))
IGNORED = LABELS == 255


def walk(scores, top_p):
    """The first unseen class among the best `top_p`; 255 if there is none."""
    ranking = np.argsort(-scores, kind="stable")[:top_p]
    return next((c for c in ranking if UNSEEN[c]), 255)


@pytest.mark.parametrize("top_p", [1, 2, 4, 7, 20])
def test_ignored_pixels_get_the_first_unseen_class_of_their_ranking(top_p):
    ours = jax.jit(pseudo_labels, static_argnames="top_p")(
        SCORES, LABELS, UNSEEN, top_p=top_p
    )
    wanted = LABELS.copy()
    for index in zip(*np.nonzero(IGNORED), strict=True):
        wanted[index] = walk(SCORES[index], top_p)
    np.testing.assert_array_equal(ours, wanted)
    assert ours.dtype == jnp.int32


def test_equal_scores_rank_as_a_stable_sort_has_them():
    scores = np.zeros((1, 7), np.float32)
    ours = [
        int(pseudo_labels(scores, np.array([255]), UNSEEN, top_p=top_p)[0])
        for top_p in (1, 2, 3)
    ]
    assert ours == [255, 255, 2]


def test_labelled_pixels_keep_their_label():
    sure = SCORES + 100.0 * UNSEEN
    ours = pseudo_labels(sure, LABELS, UNSEEN, top_p=7)
    np.testing.assert_array_equal(ours[~IGNORED], LABELS[~IGNORED])
    assert UNSEEN[np.asarray(ours[IGNORED])].all()


def test_more_ranks_label_more_pixels_and_change_none():
    few, many = (pseudo_labels(SCORES, LABELS, UNSEEN, top_p=p) for p in (1, 3))
    taken = few != 255
    np.testing.assert_array_equal(few[taken], many[taken])
    assert (many != 255).sum() > taken.sum()


def test_improbable_classes_stay_out():
    probabilities = np.asarray(jax.nn.softmax(SCORES))
    limit = 0.2
    ours = pseudo_labels(SCORES, LABELS, UNSEEN, top_p=7, min_probability=limit)
    free = pseudo_labels(SCORES, LABELS, UNSEEN, top_p=7)
    found = np.take_along_axis(probabilities, np.asarray(free)[..., None] % 7, -1)
    sure = ~IGNORED | (found[..., 0] >= limit)
    np.testing.assert_array_equal(ours, np.where(sure, free, 255))
    assert 0 < (np.asarray(ours)[IGNORED] != 255).mean() < 1


def test_calibrated_the_probabilities_rank_less_gamma_for_seen_classes():
    probabilities = np.asarray(jax.nn.softmax(SCORES))
    gamma = 0.3
    wanted = LABELS.copy()
    for index in zip(*np.nonzero(IGNORED), strict=True):
        best = np.argmax(probabilities[index] - gamma * ~UNSEEN)
        wanted[index] = best if UNSEEN[best] else 255
    options = dict(top_p=1, calibration=gamma)
    ours = pseudo_labels(SCORES, LABELS, UNSEEN, **options)
    np.testing.assert_array_equal(ours, wanted)
    plain = pseudo_labels(SCORES, LABELS, UNSEEN, top_p=1)
    assert (wanted != plain).any()
    # The least probability is that of the class, before anything is taken off.
    limited = pseudo_labels(SCORES, LABELS, UNSEEN, min_probability=0.4, **options)
    picked = np.where(wanted == 255, 0, wanted)[..., None]
    sure = ~IGNORED | (np.take_along_axis(probabilities, picked, -1)[..., 0] >= 0.4)
    np.testing.assert_array_equal(limited, np.where(sure, wanted, 255))


def test_what_is_no_number_is_no_label():
    compiled = jax.jit(pseudo_labels, static_argnames="top_p")
    ours = compiled(np.full_like(SCORES, np.nan), LABELS, UNSEEN, top_p=7)
    np.testing.assert_array_equal(ours, LABELS)


def test_a_calibration_is_a_probability():
    with pytest.raises(ValueError, match="give 0 to 1, got 1.5"):
        PseudoLabels(calibration=1.5)


def test_without_unseen_classes_there_is_nothing_to_take():
    ours = pseudo_labels(SCORES, LABELS, np.zeros(7, bool), top_p=7)
    np.testing.assert_array_equal(ours, LABELS)


def from_pixels(image):
    """Logits of each pixel's colour: what flips and enlarges with the picture."""
    return jnp.stack([image[..., i % 3] * (i + 1) for i in range(7)], axis=-1)


def test_consistency_asks_the_mirrored_and_the_enlarged_picture():
    image = jnp.asarray(RNG.normal(size=(2, 6, 5, 3)), jnp.float32)
    blank = jnp.full((2, 6, 5), 255)
    free, strict = (
        PseudoLabels(top_p=2, consistency=consistency)(
            from_pixels, image, blank, UNSEEN
        )
        for consistency in (False, True)
    )
    np.testing.assert_array_equal(strict[strict != 255], free[strict != 255])
    assert 0 < (strict != 255).sum() < (free != 255).sum()


def test_of_a_plain_picture_all_predictions_agree():
    image = jnp.broadcast_to(jnp.array([1.0, 3.0, 2.0]), (1, 6, 5, 3))
    blank = jnp.full((1, 6, 5), 255)
    options = dict(predict=from_pixels, image=image, labels=blank, unseen=UNSEEN)
    strict = PseudoLabels(top_p=3, consistency=True)(**options)
    np.testing.assert_array_equal(strict, PseudoLabels(top_p=3)(**options))
    assert (strict != 255).all()


def test_a_prediction_that_depends_on_the_side_is_dropped():
    def by_side(image):
        return from_pixels(image) + 100 * jax.nn.one_hot(
            jnp.where(jnp.arange(image.shape[2]) < image.shape[2] / 2, 2, 5), 7
        )

    options = dict(
        predict=by_side,
        image=jnp.ones((1, 6, 4, 3)),
        labels=jnp.full((1, 6, 4), 255),
        unseen=UNSEEN,
    )
    assert (PseudoLabels()(**options) != 255).all()
    assert (PseudoLabels(consistency=True)(**options) == 255).all()


def test_the_share_is_of_unlabelled_pixels():
    before = jnp.array([[0, 255, -1, 7], [6, 255, 1, 2]])
    after = jnp.array([[0, 5, -1, 2], [6, 255, 1, 2]])
    assert share_labelled(before, after, 7) == 0.5
    assert share_labelled(before, before, 7) == 0
    labelled = jnp.array([0, 6])
    assert share_labelled(labelled, labelled, 7) == 0
