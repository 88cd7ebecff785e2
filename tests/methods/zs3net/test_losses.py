import jax
import jax.numpy as jnp
import numpy as np

from jaxseg.methods.zs3net import losses

BANDWIDTHS = (2.0, 5.0)


def draw(shape, seed):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def slow_mmd(generated, real):
    """Mean kernels of all ordered pairs, one by one."""

    def mean(one, other):
        distances = ((u - v) @ (u - v) for u in one for v in other)
        kernels = [sum(np.exp(-d / (2 * b)) for b in BANDWIDTHS) for d in distances]
        return np.mean(kernels)

    square = mean(generated, generated) + mean(real, real) - 2 * mean(generated, real)
    return np.sqrt(square)


def test_sets_of_unequal_size_have_right_weights():
    generated, real = draw((3, 4), 0), draw((7, 4), 1) + 1
    ours = losses.pair_losses(generated, real, bandwidths=BANDWIDTHS)
    np.testing.assert_allclose(ours, slow_mmd(generated, real), rtol=1e-4)


def test_nodes_are_compared_class_by_class():
    generated, real = draw((2, 6, 4), 0), draw((2, 6, 4), 1)
    labels = np.asarray([[0, 1, 0, 2, -1, -1], [1, 1, 1, 2, 2, 0]])
    classes = np.asarray([[0, 2, -1], [1, 3, 0]])
    ours = losses.node_losses(
        generated,
        real,
        jnp.asarray(labels),
        jnp.asarray(classes),
        bandwidths=BANDWIDTHS,
    )
    for picture, slot in np.ndindex(2, 3):
        members = labels[picture] == classes[picture, slot]
        if classes[picture, slot] < 0 or not members.any():
            assert ours[picture, slot] == 0
            continue
        expected = slow_mmd(generated[picture, members], real[picture, members])
        np.testing.assert_allclose(ours[picture, slot], expected, rtol=1e-4)


def test_nodes_that_are_not_there_get_no_gradient():
    labels = jnp.asarray([[0, -1, 1]])

    def loss(generated):
        found = losses.node_losses(
            generated,
            draw((1, 3, 4), 1),
            labels,
            jnp.asarray([[0, -1]]),
            bandwidths=BANDWIDTHS,
        )
        return jnp.sum(found)

    grad = jax.jit(jax.grad(loss))(jnp.asarray(draw((1, 3, 4), 0)))
    assert jnp.any(grad[0, 0] != 0) and not jnp.any(grad[0, 1:])


def test_the_classifiers_loss_is_the_weighted_mean_over_the_pictures():
    logits, labels = draw((3, 5, 4), 2), np.random.default_rng(0).integers(0, 4, (3, 5))
    labels[0, 0] = 255
    weights = np.asarray([1.0, 100.0, 1.0, 2.0])
    ours = losses.classifier_loss(logits, labels, class_weights=weights)
    log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    total = mass = 0.0
    for row, t in zip(log_probs.reshape(-1, 4), labels.ravel(), strict=True):
        if t != 255:
            total, mass = total - weights[t] * row[t], mass + weights[t]
    np.testing.assert_allclose(ours, total / mass / 3, rtol=1e-5)


def test_nothing_labelled_is_nothing_lost():
    loss = losses.classifier_loss(
        draw((2, 3, 4), 0), jnp.full((2, 3), 255), class_weights=jnp.ones(4)
    )
    assert loss == 0
    nowhere = jnp.zeros(3, bool)
    assert losses.mean_where(jnp.ones(3), nowhere) == 0
