"""Classes without pictures are found after the generator's stage, by their words.

Pictures are blocks of colour with noise, and the word vector of a class is its colour:
what an unseen class looks like follows from its name.
"""

import dataclasses

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxseg.metrics import iou
from jaxseg.metrics.confusion import confusion_matrix
from tests.methods.zs3net import settings

COLOURS = np.asarray(
    [
        *((30, 30, 30), (220, 40, 40), (40, 220, 40), (40, 40, 220), (220, 220, 40)),
        *((220, 40, 220), (40, 220, 220), (220, 220, 220), (220, 130, 40)),
        (40, 130, 220),
    ]
)


def make(stage, optimizer, **options):
    words = ((COLOURS - 128) / 64).astype(np.float32)
    labels = dataclasses.replace(settings.labels(), word_vectors=words)
    method = settings.make(stage, **options)
    return dataclasses.replace(method, labels=labels, optimizer=optimizer)


def blocks(seed, size=8, hide=True):
    batch = settings.make_batch(size, seed, unseen=True)
    label = np.asarray(batch["label"])
    noise = np.random.default_rng(seed).normal(0, 12, (*label.shape, 3))
    image = np.clip(COLOURS[label] + noise, 0, 255)
    label = settings.hidden(label) if hide else label
    return batch | {
        "image": jnp.asarray(image, jnp.uint8),
        "label": jnp.asarray(label, jnp.int32),
    }


def trained(method, state, steps):
    for seed in range(steps):
        state, _ = settings.compiled(method)[1](state, blocks(seed))
    return state


def scores(method, state):
    batch = blocks(999, size=16, hide=False)
    guess = jnp.argmax(method.predict(state, batch), axis=-1)
    counts = confusion_matrix(batch["label"], guess, num_classes=10)
    labels = method.labels
    return iou.scores(np.asarray(counts), seen=labels.seen, unseen=labels.unseen)


@pytest.mark.slow
def test_unseen_classes_are_found_by_their_words():
    first = make("segmentation", optax.adam(3e-3))
    state = trained(first, settings.start(first, blocks(0)), 200)
    before = scores(first, state)
    second = make(
        "generator",
        optax.sgd(0.3, momentum=0.9),
        generator_rate=5e-3,
        samples=16,
        max_classes=8,
        hidden=64,
        dropout=0.0,
        region_share=0.25,
        unseen_weight=10.0,
    )
    start = settings.start(second, blocks(0))
    params = {**start.params, "segmentor": state.params["segmentor"]}
    start = start.replace(params=params, batch_stats=state.batch_stats)
    after = scores(second, trained(second, start, 150))
    assert before["unseen_iou"] < 0.1
    assert after["unseen_iou"] > before["unseen_iou"] + 0.1
    assert after["seen_iou"] > before["seen_iou"] - 0.15
