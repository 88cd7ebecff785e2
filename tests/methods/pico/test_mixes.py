import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.methods.pico import synthesis
from jaxseg.methods.pico.rule import MIX_PAIRS, ExampleRule
from tests.methods.pico.test_chosen import (
    TEMPERATURES,
    compile_anew,
    contrast,
    random_inputs,
)


@pytest.mark.parametrize("mix_pairs", MIX_PAIRS)
def test_mixes_are_as_if_they_were_built(mix_pairs, monkeypatch):
    anchors, labels, banks = random_inputs("full")
    rule = ExampleRule(
        mode="all", num_mixed_negatives=5, num_anchor_mixes=3, mix_pairs=mix_pairs
    )
    monkeypatch.setattr(synthesis, "draw_pairs", fixed_pairs)
    monkeypatch.setattr(synthesis, "draw_partners", fixed_partners)
    found, gradient = contrast(anchors, labels, banks, rule, compiled=compile_anew)
    expected, expected_gradient = jax.value_and_grad(with_built_mixes)(
        anchors, labels, banks
    )
    np.testing.assert_allclose(found.loss, expected, rtol=1e-5)
    np.testing.assert_allclose(gradient, expected_gradient, atol=1e-5)


def fixed_pairs(rng, count, num_pairs):
    del rng
    first = jnp.broadcast_to(jnp.arange(num_pairs), (*count.shape, num_pairs))
    alpha = jnp.linspace(0.1, 0.8, num_pairs)
    return synthesis.Draws(
        first=first, second=first * 2 + 1, alpha=jnp.broadcast_to(alpha, first.shape)
    )


def fixed_partners(rng, count, num_partners):
    del rng
    ranks = jnp.broadcast_to(jnp.arange(num_partners) * 7, (*count.shape, num_partners))
    beta = jnp.linspace(0.05, 0.45, num_partners)
    return ranks, jnp.broadcast_to(beta, ranks.shape)


def with_built_mixes(anchors, labels, banks):
    """The loss with mixes of negatives by rank as vectors, anchor after anchor."""
    entries = jnp.concatenate([values for values, _ in banks], axis=1)
    groups = []
    for x, y in zip(anchors, np.asarray(labels), strict=True):
        losses = []
        for i in np.flatnonzero(y >= 0):
            others = np.arange(len(entries)) != y[i]
            negatives = entries[others].reshape(-1, entries.shape[-1])
            first, alpha = np.arange(5), np.linspace(0.1, 0.8, 5)[:, None]
            beta, itself = np.linspace(0.05, 0.45, 3)[:, None], x[i]
            mixes = [
                alpha * negatives[first] + (1 - alpha) * negatives[first * 2 + 1],
                beta * itself + (1 - beta) * negatives[np.arange(3) * 7],
            ]
            mixes = jnp.concatenate(mixes)
            mixes /= jnp.linalg.norm(mixes, axis=1, keepdims=True)
            there = (y >= 0) & (np.arange(len(y)) != i)
            same = there & (y == y[i])
            positives = jnp.concatenate([entries[y[i]], x[same]])
            all_others = [negatives, jax.lax.stop_gradient(mixes), x[there & ~same]]
            tau = TEMPERATURES["temperature"]
            lse = jax.nn.logsumexp(jnp.concatenate(all_others) @ x[i] / tau)
            scores = positives @ x[i] / tau
            losses.append(jnp.mean(jnp.logaddexp(scores, lse) - scores))
        groups.append(jnp.mean(jnp.stack(losses)))
    return 2 * jnp.mean(jnp.stack(groups))


def test_mixes_of_a_bank_in_bfloat16_are_as_if_they_were_built(monkeypatch):
    anchors, labels, banks = random_inputs("full")
    banks = [(values.astype(jnp.bfloat16), filled) for values, filled in banks]
    anchors = anchors.astype(jnp.bfloat16).astype(jnp.float32)
    rule = ExampleRule(mode="all", num_mixed_negatives=5, num_anchor_mixes=3)
    monkeypatch.setattr(synthesis, "draw_pairs", fixed_pairs)
    monkeypatch.setattr(synthesis, "draw_partners", fixed_partners)
    found, gradient = contrast(anchors, labels, banks, rule, compiled=compile_anew)
    rounded = [(values.astype(jnp.float32), filled) for values, filled in banks]
    expected, expected_gradient = jax.value_and_grad(with_built_mixes)(
        anchors, labels, rounded
    )
    np.testing.assert_allclose(found.loss, expected, rtol=1e-5)
    # What a bank in bfloat16 gives back to the anchors is of its dtype.
    np.testing.assert_allclose(gradient, expected_gradient, atol=3e-3)
