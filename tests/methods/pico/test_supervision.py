import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.losses.cross_entropy import segmentation_loss
from jaxseg.losses.mask_classification import mask_classification_loss
from jaxseg.methods.pico.supervision import supervised_loss
from jaxseg.models.heads.maskformer import Queries
from jaxseg.models.segmentor import Outputs

WEIGHTS = (0.5, 1.0, 2.0)


def outputs_of(logits, auxiliary=None, queries=None):
    return Outputs(
        logits=logits,
        features=logits,
        stages=(),
        coarse=logits,
        auxiliary=auxiliary,
        queries=queries,
    )


@pytest.fixture(scope="module")
def maps():
    """Logits, auxiliary ones and labels; few labelled pixels in the first pair."""
    rng = np.random.default_rng(0)
    logits, auxiliary = rng.normal(size=(2, 6, 4, 5, 3)).astype(np.float32)
    labels = rng.integers(0, 3, (6, 4, 5))
    labels[:2, :, 1:] = 255
    labels[4:] = -1
    return jnp.asarray(logits), jnp.asarray(auxiliary), jnp.asarray(labels)


def numpy_mean(logits, labels):
    """The weighted mean of negative log probabilities, pixel by pixel."""
    total = weight = 0.0
    for scores, label in zip(logits.reshape(-1, 3), labels.ravel(), strict=True):
        if 0 <= label < 3:
            loss = np.log(np.exp(scores.astype(np.float64)).sum()) - scores[label]
            total += WEIGHTS[label] * loss
            weight += WEIGHTS[label]
    return total / weight


def test_per_group_is_the_mean_of_the_groups_own_means(maps):
    logits, auxiliary, labels = map(np.asarray, maps)
    groups = [slice(0, 2), slice(2, 4)]  # the third has no label and does not count
    wanted = np.mean(
        [
            numpy_mean(logits[g], labels[g]) + 0.3 * numpy_mean(auxiliary[g], labels[g])
            for g in groups
        ]
    )
    loss, terms = supervised_loss(
        outputs_of(*maps[:2]),
        maps[2],
        class_weights=WEIGHTS,
        auxiliary_weight=0.3,
        group_size=2,
    )
    np.testing.assert_allclose(loss, wanted, rtol=1e-6)
    assert terms == {"cross_entropy": loss}


def test_without_groups_it_is_the_mean_of_all_pixels(maps):
    logits, auxiliary, labels = maps
    loss, _ = supervised_loss(outputs_of(logits, auxiliary), labels)
    assert loss == segmentation_loss(logits, auxiliary, labels)
    grouped, _ = supervised_loss(outputs_of(logits, auxiliary), labels, group_size=6)
    np.testing.assert_allclose(grouped, loss, rtol=1e-6)
    uneven, _ = supervised_loss(outputs_of(logits, auxiliary), labels, group_size=2)
    assert abs(uneven - loss) > 1e-3


def test_groups_compile_and_unlabelled_ones_have_no_gradient(maps):
    logits, _, labels = maps

    def loss(logits):
        return supervised_loss(outputs_of(logits), labels, group_size=2)[0]

    np.testing.assert_allclose(jax.jit(loss)(logits), loss(logits), rtol=1e-6)
    gradient = jax.grad(loss)(logits)
    assert np.isfinite(gradient).all() and gradient[:4].any()
    assert not gradient[4:].any()


def test_no_label_at_all_is_zero_with_zero_gradient(maps):
    logits, auxiliary, labels = maps

    def loss(logits):
        nothing = jnp.full_like(labels, 255)
        return supervised_loss(outputs_of(logits, auxiliary), nothing, group_size=3)[0]

    value, gradient = jax.value_and_grad(loss)(logits)
    assert value == 0 and not gradient.any()


def test_a_batch_of_broken_groups_is_refused(maps):
    with pytest.raises(ValueError, match="groups of 4"):
        supervised_loss(outputs_of(maps[0]), maps[2], group_size=4)


@pytest.fixture(scope="module")
def queried(maps):
    rng = np.random.default_rng(1)
    queries = Queries(
        jnp.asarray(rng.normal(size=(2, 6, 5, 4)), jnp.float32),
        jnp.asarray(rng.normal(size=(2, 6, 5, 2, 3)), jnp.float32),
    )
    return outputs_of(maps[0], queries=queries)


def test_queries_are_trained_as_classified_masks(maps, queried):
    queries, labels = queried.queries, maps[2]
    loss, terms = supervised_loss(queried, labels)
    wanted, parts = mask_classification_loss(
        queries.class_logits, queries.mask_logits, labels
    )
    assert loss == wanted > 0
    assert terms == parts and set(terms) == {"class", "focal", "dice"}


@pytest.mark.parametrize("option", [dict(class_weights=WEIGHTS), dict(group_size=2)])
def test_queries_have_no_cross_entropy_of_pixels_to_change(maps, queried, option):
    with pytest.raises(ValueError, match="classified masks"):
        supervised_loss(queried, maps[2], **option)
