"""A small ZS3Net on scenes of 16 x 24 pixels: methods, states and batches."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxseg.data.scenes import SCENES
from jaxseg.methods.zs3net import ZS3Net
from jaxseg.models import build

UNSEEN = ("car", "person")
SIZE = (16, 24)
SMALL = dict(
    hidden=8,
    samples=4,
    max_classes=3,
    bandwidths=(2.0, 10.0),
    num_nodes=8,
    region_share=0.5,
)


def labels(word_vectors=True):
    chosen = SCENES.with_unseen(UNSEEN)
    if not word_vectors:
        return chosen
    vectors = np.random.default_rng(0).normal(size=(chosen.num_classes, 5))
    return dataclasses.replace(chosen, word_vectors=vectors.astype(np.float32))


def segmentor(dropout=0.0):
    model = dict(
        name="segmentor.Segmentor",
        backbone=dict(name="backbones.tiny.Tiny", widths=(6, 8), depths=(0, 1)),
        head=dict(name="heads.fcn.FCN", features=8, dropout=dropout),
    )
    return build(model, num_classes=SCENES.num_classes)


@functools.cache  # a method's steps are compiled once for all tests
def make(stage="generator", word_vectors=True, **options):
    return ZS3Net(
        segmentor=segmentor(),
        optimizer=options.pop("optimizer", optax.sgd(0.1, momentum=0.9)),
        labels=labels(word_vectors),
        stage=stage,
        **SMALL | options,
    )


def make_batch(size=2, seed=0, unseen=False):
    """Pictures, and labels of blocks of 4 pixels; unseen ones are 255 or kept."""
    rng = np.random.default_rng(seed)
    h, w = SIZE
    blocks = rng.integers(0, SCENES.num_classes, (size, h // 4, w // 4))
    label = blocks.repeat(4, 1).repeat(4, 2)
    if not unseen:
        label = hidden(label)
    return {
        "image": jnp.asarray(rng.integers(0, 256, (size, h, w, 3)), jnp.uint8),
        "label": jnp.asarray(label, jnp.int32),
        "valid": jnp.ones(size, bool),
    }


def hidden(label):
    return np.where(np.isin(label, labels().unseen), 255, label)


@functools.cache
def compiled(method):
    return jax.jit(method.init), jax.jit(method.train_step)


def start(method, batch):
    return compiled(method)[0](jax.random.key(0), batch)


def run(method, batch, steps=1, state=None):
    state = start(method, batch) if state is None else state
    for _ in range(steps):
        state, metrics = compiled(method)[1](state, batch)
    return state, metrics


def assert_same(one, other):
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        np.testing.assert_array_equal(a, b)


def differs(one, other):
    leaves = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return any(np.any(np.asarray(a) != np.asarray(b)) for a, b in leaves)
