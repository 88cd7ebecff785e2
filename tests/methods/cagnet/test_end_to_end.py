"""From no idea of unseen classes to naming them, where words say what things look like.

A class is a colour, and its word vector says which: what lies between colours that were
seen can be guessed from those.
"""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxseg.data.labels import LabelSet
from jaxseg.methods.cagnet.losses import Content, Weights
from jaxseg.methods.cagnet.synthesis import Synthesis
from jaxseg.models.generator import Generator
from jaxseg.models.heads.context import ContextHead, ContextModule
from jaxseg.models.heads.deeplabv2 import DeepLabV2
from jaxseg.models.heads.feature_classifier import FeatureClassifier
from tests.methods.cagnet.setting import make_method, make_segmentor

COLOURS = np.array(list(itertools.product((0, 80, 160, 240), repeat=2)), np.float32)
UNSEEN = 5, 10  # inside the square of colours
LABELS = LabelSet(
    names=tuple(f"colour {red:.0f} {green:.0f}" for red, green in COLOURS),
    palette=tuple((int(red), int(green), 120) for red, green in COLOURS),
    seen=tuple(i for i in range(16) if i not in UNSEEN),
    unseen=UNSEEN,
)


def vectors():
    """Unit vectors on which colours that are alike are near."""
    places = COLOURS / 240 - 0.5
    found = np.concatenate([places, 1 - places**2], axis=1)
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def pictures(seed, *, hide):
    """Eight pictures of blocks in the colours of random classes."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 16, (8, 4, 4)).repeat(8, 1).repeat(8, 2)
    image = np.asarray(LABELS.palette)[label] + rng.normal(0, 6, (*label.shape, 3))
    if hide:
        label[np.isin(label, UNSEEN)] = 255
    return dict(image=image.astype(np.float32), label=label.astype(np.int32))


def method_of(**options):
    segmentor = make_segmentor().copy(
        num_classes=16,
        head=ContextHead(
            head=DeepLabV2(features=32, rates=(1,)), context=ContextModule(width=16)
        ),
        decoder=FeatureClassifier(hidden=64, dropout=0.1),
    )
    return make_method(
        segmentor=segmentor,
        labels=dataclasses.replace(LABELS, word_vectors=vectors()),
        optimizer=optax.adam(3e-3),
        critic_optimizer=optax.adam(3e-3),
        generator_optimizer=optax.adam(3e-3),
        generator=Generator(features=32, hidden=(64,), dropout=(0.1,)),
        content=Content(slots=32),
        scales=(1.0,),
        **options,
    )


def run(method, state, steps):
    step = jax.jit(method.train_step)
    for seed in range(steps):
        batch = jax.tree.map(jnp.asarray, pictures(seed, hide=True))
        state, _ = step(state, batch)
    return state


def scores(method, state):
    """Mean IoU of the seen and of the unseen classes, on other pictures."""
    batch = pictures(10_000, hide=False)
    found = np.asarray(jnp.argmax(jax.jit(method.predict)(state, batch), axis=-1))
    same = [(found == c) & (batch["label"] == c) for c in range(16)]
    either = [(found == c) | (batch["label"] == c) for c in range(16)]
    iou = np.array([s.sum() / e.sum() for s, e in zip(same, either, strict=True)])
    return iou[list(LABELS.seen)].mean(), iou[list(UNSEEN)].mean()


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_fine_tuning_finds_unseen_classes_and_keeps_the_seen_ones(seed):
    first = method_of(weights=Weights(encoder_divergence=1.0))
    state = jax.jit(first.init)(jax.random.key(seed), pictures(0, hide=True))
    state = run(first, state, 300)
    seen, unseen = scores(first, state)
    assert seen > 0.6 and unseen == 0
    second = method_of(
        trains_encoder=False,
        weights=Weights(critic_real=0.75, critic_generated=0.25),
        synthesis=Synthesis(
            interval=(5, 5), features_per_step=512, unseen_rate=1.0, critic_weight=1.0
        ),
    )
    tuned = jax.jit(second.init)(jax.random.key(seed), pictures(0, hide=True))
    tuned = run(second, tuned.replace(params=state.params), 100)
    seen_after, unseen_after = scores(second, tuned)
    assert unseen_after > 0.15 and seen_after > seen - 0.07
