"""Who learns what from a step on pictures, against the three losses by themselves."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxseg.losses.cross_entropy import cross_entropy
from jaxseg.losses.mmd import mmd_per_class
from jaxseg.methods.cagnet.losses import Weights
from jaxseg.methods.cagnet.patch_network import PatchNetwork
from jaxseg.methods.cagnet.pixelcnn import PixelCNN
from jaxseg.methods.cagnet.players import joined, players
from jaxseg.methods.cagnet.synthesis import Synthesis
from jaxseg.models.generator import Generator, synthesise
from jaxseg.ops.pseudo_labels import PseudoLabels
from jaxseg.ops.scales import labels_at, largest, shrink
from tests.methods.cagnet.setting import (
    LABELS,
    differ,
    make_batch,
    make_method,
    make_segmentor,
    with_critic_rate,
)
from tests.test_train import assert_same

RATE = 0.1
NETWORK = PatchNetwork(model=PixelCNN(width=4, depth=2), optimizer=optax.sgd(0.1))
WEIGHTS = Weights(
    critic_real=0.7,
    critic_generated=0.3,
    critic_adversarial=0.9,
    encoder_divergence=2.0,
    encoder_real=0.5,
    generator_adversarial=1.5,
    generator_content=4.0,
    generator_generated=0.2,
)
BATCH = make_batch()


@functools.cache
def ready(update="simultaneous"):
    """A method, its first state, and its compiled step."""
    method = make_method(update=update, weights=WEIGHTS)
    state = jax.jit(method.init)(jax.random.key(0), BATCH)
    return method, state, jax.jit(method.train_step)


def close(one, other, **tolerance):
    jax.tree.map(functools.partial(np.testing.assert_allclose, **tolerance), one, other)


def losses_by_hand(method, state, now, met):
    """L_D, L_B and L_G, written one after the other; they share all draws.

    Args:
        method: gives the networks.
        state: gives the keys.
        now: the players, of whom each loss is to move one.
        met: the critic that the others meet.
    """
    rng = jax.random.fold_in(state.rng, state.step)
    keys = jax.random.split(jax.random.split(rng, 4)[0], 5)
    noise, drop, judge_key, generated_key, pixels = keys
    map_keys = jax.random.split(judge_key, 3)
    contexts = [
        method.parts.describe(state, now["encoder"], shrink(BATCH["image"], s), key)
        for s, key in zip((1.0, 0.5), jax.random.split(noise, 2), strict=True)
    ]
    maps = [context.features for context in contexts]
    maps.append(largest(maps))
    label = labels_at(BATCH["label"], maps[0].shape[1:3])
    labels = [label, labels_at(BATCH["label"], maps[1].shape[1:3]), label]
    table, latent = jnp.asarray(LABELS.word_vectors), contexts[0].latent
    generated = synthesise(
        method.generator, now["generator"], drop, table, label, latent
    )
    mask = label != 255

    def of_pictures(critic):
        entropies = [
            cross_entropy(method.parts.judge(critic, x, key).logits, y)
            for x, y, key in zip(maps, labels, map_keys, strict=True)
        ]
        return sum(entropies) / 3

    def mean(values):
        return jnp.sum(jnp.where(mask, values, 0)) / jnp.sum(mask)

    real = method.parts.judge(now["critic"], maps[0], map_keys[0])
    fake = method.parts.judge(now["critic"], generated, generated_key)
    critic = (
        0.9 * (mean(1 - real.real) + mean(fake.real))
        + 0.7 * of_pictures(now["critic"])
        + 0.3 * cross_entropy(fake.logits, label)
    )
    m, s = contexts[0].mean, contexts[0].log_variance
    divergence = mean(jnp.mean(0.5 * (m**2 + jnp.exp(s) - 1 - s), axis=-1))
    encoder = 2.0 * divergence + 0.5 * of_pictures(met)
    dim = generated.shape[-1]
    content = mmd_per_class(
        pixels,
        generated.reshape(-1, dim),
        maps[0].reshape(-1, dim),
        label.reshape(-1),
        num_classes=10,
        slots=24,
    )
    passed = method.parts.judge(met, generated, generated_key)
    generator = (
        1.5 * mean(1 - passed.real)
        + 4.0 * content
        + 0.2 * cross_entropy(passed.logits, label)
    )
    return {"critic": critic, "encoder": encoder, "generator": generator}


@functools.partial(jax.jit, static_argnums=0)
def gradients_by_hand(method, state, met):
    """The gradient of each player's loss, all others held still."""
    now = players(state.params)
    values, grads = {}, {}
    for name in now:

        def loss(mine, name=name):
            return losses_by_hand(method, state, now | {name: mine}, met)[name]

        values[name], grads[name] = jax.value_and_grad(loss)(now[name])
    return values, grads


def moved(before, after):
    """What was subtracted from each player's parameters, over the learning rate."""
    before, after = players(before.params), players(after.params)
    return jax.tree.map(lambda a, b: (a - b) / RATE, before, after)


def test_each_player_follows_its_own_loss():
    method, state, step = ready()
    after, metrics = step(state, BATCH)
    values, grads = gradients_by_hand(method, state, players(state.params)["critic"])
    np.testing.assert_allclose(metrics["critic_loss"], values["critic"], rtol=1e-4)
    np.testing.assert_allclose(
        metrics["generator_loss"], values["generator"], rtol=1e-4
    )
    close(moved(state, after), grads, rtol=1e-3, atol=2e-5)


def test_in_sequence_the_others_meet_the_new_critic():
    _, state, step = ready("sequential")
    after, metrics = step(state, BATCH)
    method, now = ready()[0], players(state.params)["critic"]
    values, grads = gradients_by_hand(method, state, now)
    found = moved(state, after)
    close(found["critic"], grads["critic"], rtol=1e-3, atol=2e-5)
    new_values, new_grads = gradients_by_hand(
        method, state, players(after.params)["critic"]
    )
    for name in ("encoder", "generator"):
        close(found[name], new_grads[name], rtol=1e-3, atol=2e-5)
    loss = metrics["generator_loss"]
    np.testing.assert_allclose(loss, new_values["generator"], rtol=1e-4)
    assert abs(loss - values["generator"]) > 1e-4


@pytest.mark.parametrize("update", ["simultaneous", "sequential"])
def test_the_critics_rate_matters_to_the_others_only_in_sequence(update):
    _, state, step = ready(update)
    slow, fast = (
        players(step(with_critic_rate(state, rate), BATCH)[0].params)
        for rate in (0.1, 0.9)
    )
    assert differ(slow["critic"], fast["critic"])
    for name in ("encoder", "generator"):
        assert differ(slow[name], fast[name]) == (update == "sequential")


def test_the_gradient_penalty_is_of_lines_between_real_and_generated_features():
    """The same draws without it leave its gradient, taken pixel by pixel here."""
    method = make_method(gan="wgan_gp", weights=WEIGHTS, scales=(1.0,))
    plain = make_method(gan="wgan", weights=WEIGHTS, scales=(1.0,))
    state = jax.jit(method.init)(jax.random.key(0), BATCH)
    with_it, without = (
        players(jax.jit(m.train_step)(state, BATCH)[0].params)["critic"]
        for m in (method, plain)
    )
    step_key = jax.random.split(jax.random.fold_in(state.rng, state.step), 4)[0]
    noise, drop, *_ = jax.random.split(step_key, 5)
    now = players(state.params)
    image = shrink(BATCH["image"], 1.0)
    full = jax.random.split(noise, 1)[0]
    context = method.parts.describe(state, now["encoder"], image, full)
    label = labels_at(BATCH["label"], context.features.shape[1:3])
    table = jnp.asarray(LABELS.word_vectors)
    generated = synthesise(
        method.generator, now["generator"], drop, table, label, context.latent
    )
    share_key, dropout_key = jax.random.split(jax.random.fold_in(step_key, 5))
    share = jax.random.uniform(share_key, (len(label), 1, 1, 1))
    between = generated + share * (context.features - generated)
    counts = np.nonzero(np.asarray(label) != 255)

    @jax.jit
    @jax.grad
    def wanted(critic):
        def score(x):
            return method.parts.judge(critic, x, dropout_key).real

        _, back = jax.vjp(score, between)
        slopes = back(jnp.ones(between.shape[:3]))[0][counts]
        lengths = jnp.sqrt(jnp.sum(slopes**2, axis=-1) + 1e-24)  # a slope may be 0
        return WEIGHTS.critic_adversarial * 10.0 * jnp.mean((lengths - 1) ** 2)

    found = jax.tree.map(lambda a, b: (b - a) / RATE, with_it, without)
    close(found, wanted(now["critic"]), rtol=2e-3, atol=5e-5)


def test_a_batch_without_labels_changes_nothing():
    _, state, step = ready()
    blank = {**BATCH, "label": jnp.full_like(BATCH["label"], 255)}
    after, metrics = step(state, blank)
    assert_same(state.params, after.params)
    assert all(value == 0 for value in metrics.values())
    assert after.step == 1


def test_ids_that_are_no_class_all_mean_unlabelled():
    _, state, step = ready()
    label = BATCH["label"]
    other = {**BATCH, "label": jnp.where(label == 255, -7, label)}
    assert_same(step(state, BATCH)[0].params, step(state, other)[0].params)


def test_a_step_depends_on_its_number():
    _, state, step = ready()
    again, later = step(state, BATCH), step(state.replace(step=state.step + 1), BATCH)
    assert_same(step(state, BATCH)[0].params, again[0].params)
    assert differ(again[0].params, later[0].params)


def test_twenty_steps_lower_the_loss():
    _, state, step = ready()
    entropies = []
    for _ in range(20):
        state, metrics = step(state, BATCH)
        entropies.append(float(metrics["cross_entropy"]))
    assert np.mean(entropies[-5:]) < 0.95 * np.mean(entropies[:5])
    assert jnp.isfinite(metrics["loss"])


def test_players_are_all_parameters():
    _, state, _ = ready()
    assert_same(joined(players(state.params)), dict(state.params))
    assert set(players(state.params)["encoder"]) == {"backbone", "head"}


def test_prediction_is_the_segmentors():
    method, state, _ = ready()
    logits = method.predict(state, BATCH)
    assert logits.shape == (2, 16, 24, 10)
    noise = {**state.params, "generator": {}, "discriminator": {}}
    np.testing.assert_array_equal(
        logits, method.predict(state.replace(params=noise), BATCH)
    )


def test_a_look_at_what_was_learnt_draws_nothing_for_pictures():
    method, state, _ = ready()
    context = method.describe(state, BATCH)
    np.testing.assert_array_equal(context.latent, context.mean)
    ids = jnp.zeros((4, 2), jnp.int32)
    one, other = (method.synthesise(state, jax.random.key(i), ids) for i in range(2))
    assert one.shape == (4, 2, 6) and differ(one, other)


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(update="alternating"), "update is one of"),
        (dict(scales=(0.5, 1.0)), "scales begin with 1.0"),
        (dict(scales=()), "scales begin with 1.0"),
        (dict(labels=LABELS.with_unseen(())), "config.data.unseen"),
        (
            dict(segmentor=make_segmentor(window=3), synthesis=Synthesis(patch=1)),
            "set config.method.synthesis.patch to 3",
        ),
        (dict(patch_network=NETWORK, synthesis=Synthesis(patch=1)), "and not read"),
        (dict(patch_network=NETWORK, synthesis=Synthesis(patch=3)), "and not read"),
        (dict(synthesis=Synthesis(patch=3, unseen_rate=-1)), "draws none"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make_method(**options)


def test_negative_weights_are_refused():
    with pytest.raises(ValueError, match="weights are 0 or more.*'critic_real': -1"):
        Weights(critic_real=-1.0)


def test_a_run_too_short_for_synthesis_says_so():
    method = make_method(synthesis=Synthesis(interval=(100, 10)))
    means = {"cross_entropy": 1.0}
    (said,) = method.warnings(10, 99, means)
    assert "none of the 99 steps" in said and "synthesis.interval = (100, 10)" in said
    assert not method.warnings(10, 100, means)
    assert not make_method().warnings(10, 99, means)


def test_self_training_that_finds_nothing_says_so():
    method = make_method(pseudo_labels=PseudoLabels(min_probability=0.9999))
    _, state, _ = ready()
    _, metrics = jax.jit(method.train_step)(state, BATCH)
    assert metrics["pseudo_labelled"] == 0
    (said,) = method.warnings(1, 9, jax.tree.map(float, metrics))
    assert "no unlabelled pixel was taken for an unseen class" in said


def test_a_generator_of_another_size_is_refused():
    generator = Generator(features=7, hidden=(9,), dropout=(0.2,))
    method = make_method(generator=generator)
    with pytest.raises(ValueError, match="features to the head's features"):
        jax.eval_shape(method.init, jax.random.key(0), BATCH)


def test_pseudo_labels_teach_unseen_classes_and_leave_labelled_pixels():
    method = make_method(pseudo_labels=PseudoLabels(top_p=10), scales=(1.0,))
    _, state, _ = ready()
    assert method.self_training and not make_method().self_training

    @jax.jit
    def labels_of(state, batch):
        return method.encoder_of(state, batch, jax.random.key(0))[1]

    (found,) = labels_of(state, BATCH)
    given = labels_at(BATCH["label"], found.shape[1:3])
    logits = method.parts.logits_of(state, BATCH["image"])
    unseen = jnp.asarray(LABELS.unseen)
    best = unseen[jnp.argmax(logits[..., unseen], axis=-1)]
    np.testing.assert_array_equal(found, jnp.where(given == 255, best, given))
