"""Weights of the terms, and the kinds of content loss."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.losses.cross_entropy import cross_entropy
from jaxseg.losses.mmd import mmd_per_class, mmd_runs
from jaxseg.methods.cagnet import losses
from jaxseg.methods.cagnet.losses import Content, Weights
from jaxseg.methods.cagnet.network import Verdict

RNG = np.random.default_rng(0)
KEY = jax.random.key(0)
LABELS = np.array([[[0, 2, 255], [1, 1, -1]]])
GENERATED, REAL = RNG.random((2, 1, 2, 3, 4)).astype(np.float32)
NOTHING = Weights(**{field.name: 0.0 for field in dataclasses.fields(Weights)})


def verdict(seed):
    rng = np.random.default_rng(seed)
    return Verdict(
        rng.random((1, 2, 3)).astype(np.float32),
        rng.normal(size=(1, 2, 3, 3)).astype(np.float32),
    )


def of_critic(weights):
    loss, metrics = losses.critic_loss(
        verdict(0), verdict(1), jnp.float32(0.3), LABELS, weights=weights, gan="lsgan"
    )
    return loss, metrics


def of_generator(weights):
    return losses.generator_loss(
        verdict(1), jnp.float32(0.7), LABELS, weights=weights, gan="lsgan"
    )


def masked(values):
    return values[(LABELS >= 0) & (LABELS < 3)].mean()


@pytest.mark.parametrize(
    "name, wanted",
    [
        (
            "critic_adversarial",
            lambda: masked((verdict(0).real - 1) ** 2) + masked(verdict(1).real ** 2),
        ),
        ("critic_real", lambda: 0.3),
        ("critic_generated", lambda: cross_entropy(verdict(1).logits, LABELS)),
        ("generator_adversarial", lambda: masked((verdict(1).real - 1) ** 2)),
        ("generator_content", lambda: 0.7),
        ("generator_generated", lambda: cross_entropy(verdict(1).logits, LABELS)),
        ("encoder_divergence", lambda: 0.2),
        ("encoder_real", lambda: 0.3),
    ],
)
def test_each_weight_is_of_its_term(name, wanted):
    weights = dataclasses.replace(NOTHING, **{name: 2.0})
    player = name.partition("_")[0]
    loss = {
        "critic": lambda: of_critic(weights)[0],
        "generator": lambda: of_generator(weights)[0],
        "encoder": lambda: losses.encoder_loss(
            jnp.float32(0.2), jnp.float32(0.3), weights=weights
        ),
    }
    np.testing.assert_allclose(loss[player](), 2.0 * wanted(), rtol=1e-5)


def test_the_penalty_is_of_the_adversarial_term():
    weights = dataclasses.replace(NOTHING, critic_adversarial=2.0, critic_penalty=5.0)
    given = verdict(0), verdict(1), jnp.float32(0.3), LABELS
    options = dict(weights=weights, gan="wgan_gp")
    without, with_it = (
        losses.critic_loss(*given, **options, penalty=penalty)[0]
        for penalty in (0.0, 0.7)
    )
    np.testing.assert_allclose(with_it - without, 2.0 * 5.0 * 0.7, rtol=1e-5)


def test_metrics_are_the_terms_before_weighting():
    assert of_critic(NOTHING)[0] == 0 and of_generator(NOTHING)[0] == 0
    metrics = of_critic(NOTHING)[1] | of_generator(NOTHING)[1]
    ones = of_critic(Weights())[1] | of_generator(Weights())[1]
    for name in set(metrics) - {"critic_loss", "generator_loss"}:
        assert metrics[name] == ones[name] > 0


def test_classification_is_the_mean_over_maps_of_several_sizes():
    small = verdict(3).logits[:, :1], LABELS[:, :1]
    maps = [(verdict(0).logits, LABELS), small, (verdict(1).logits, LABELS)]
    wanted = np.mean([cross_entropy(*pair) for pair in maps])
    ours = losses.real_classification(*zip(*maps, strict=True))
    np.testing.assert_allclose(ours, wanted, rtol=1e-6)


@pytest.mark.parametrize("kind, power", [("l1", 1), ("mse", 2)])
def test_paired_content_is_a_mean_over_labelled_pixels_and_channels(kind, power):
    ours = Content(kind=kind)(KEY, GENERATED, REAL, LABELS, num_classes=3)
    wanted = masked(np.abs(GENERATED - REAL) ** power)
    np.testing.assert_allclose(ours, wanted, rtol=1e-5)


@pytest.mark.parametrize("kind", ["mmd_per_class", "mmd_runs", "l1", "mse"])
def test_equal_features_and_held_ones_get_no_gradient(kind):
    content = functools.partial(Content(kind=kind), KEY, num_classes=3)

    def loss(generated, real):
        return content(generated, real, LABELS)

    of_generated, of_real = jax.grad(loss, argnums=(0, 1))(GENERATED, REAL)
    assert (of_real == 0).all() and (of_generated[0, 0, 0] != 0).all()
    assert (of_generated[0, 0, 2] == 0).all() and (of_generated[0, 1, 2] == 0).all()
    if kind in ("l1", "mse"):
        assert (jax.grad(loss)(jnp.asarray(REAL), jnp.asarray(REAL)) == 0).all()


def test_sets_are_compared_over_the_whole_batch():
    flat = GENERATED.reshape(-1, 4), REAL.reshape(-1, 4), LABELS.reshape(-1)
    call = functools.partial(
        Content.__call__,
        key=KEY,
        generated=GENERATED,
        real=REAL,
        labels=LABELS,
        num_classes=3,
    )
    bandwidths = (1.0, 3.0)
    classes = call(Content(slots=6, bandwidths=bandwidths))
    runs = call(Content(kind="mmd_runs", bandwidths=bandwidths))
    options = dict(num_classes=3, bandwidths=bandwidths)
    np.testing.assert_allclose(classes, mmd_per_class(KEY, *flat, slots=6, **options))
    np.testing.assert_allclose(runs, mmd_runs(*flat, **options)[0])


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="got 'mmd'"):
        Content(kind="mmd")(KEY, GENERATED, REAL, LABELS, num_classes=3)
