import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.methods.zs3net.self_training import most_certain, pseudo_labels

UNSEEN = (1, 3)


def slow_pseudo_labels(logits, labels, percent):
    """Pixel by pixel: candidates sorted by falling confidence, the first of equals."""
    out = labels.copy()
    logits = logits.astype(np.float32)
    shares = np.asarray(jax.nn.softmax(jnp.asarray(logits)))
    for picture in range(len(labels)):
        candidates = []
        for y, x in np.ndindex(*labels.shape[1:]):
            best = int(np.argmax(logits[picture, y, x]))
            if not 0 <= labels[picture, y, x] < logits.shape[-1] and best in UNSEEN:
                candidates.append((-shares[picture, y, x].max(), y, x, best))
        number = -(-len(candidates) * percent // 100)
        for _, y, x, best in sorted(candidates)[:number]:
            out[picture, y, x] = best
    return out


def random_case(seed=0, levels=4):
    """Logits of few levels, so that confidences tie."""
    rng = np.random.default_rng(seed)
    logits = rng.integers(0, levels, (3, 7, 9, 4)).astype(np.float32)
    labels = rng.choice([0, 2, 255, -1], (3, 7, 9), p=[0.2, 0.2, 0.4, 0.2])
    return logits, labels.astype(np.int32)


@pytest.mark.parametrize("percent", [0, 1, 25, 33, 75, 100])
def test_the_share_is_exact_with_ties_as_in_a_slow_loop(percent):
    logits, labels = random_case()
    ours = pseudo_labels(
        jnp.asarray(logits), jnp.asarray(labels), unseen=UNSEEN, percent=percent
    )
    np.testing.assert_array_equal(ours, slow_pseudo_labels(logits, labels, percent))


def test_a_labelled_pixel_is_never_overwritten():
    logits, labels = random_case(seed=1)
    logits[..., 3] += 100.0  # certain, and everywhere
    ours = np.asarray(
        pseudo_labels(
            jnp.asarray(logits), jnp.asarray(labels), unseen=UNSEEN, percent=100
        )
    )
    labelled = (labels >= 0) & (labels < 4)
    np.testing.assert_array_equal(ours[labelled], labels[labelled])
    assert (ours[~labelled] == 3).all()


def test_where_nothing_looks_unseen_nothing_is_labelled():
    logits, labels = random_case(seed=2)
    logits[..., 0] += 100.0
    find = jax.jit(lambda *x: pseudo_labels(*x, unseen=UNSEEN, percent=100))
    np.testing.assert_array_equal(find(jnp.asarray(logits), labels), labels)


def test_a_fully_labelled_batch_stays():
    logits, labels = random_case(seed=3)
    labels = np.abs(labels) % 4
    ours = pseudo_labels(jnp.asarray(logits), labels, unseen=UNSEEN, percent=50)
    np.testing.assert_array_equal(ours, labels)


def test_of_equal_ones_the_first_are_chosen():
    candidates = jnp.asarray([[True, False, True, True, True]])
    chosen = most_certain(jnp.full((1, 5), 0.5), candidates, jnp.asarray([2]))
    assert chosen.tolist() == [[True, False, True, False, False]]
