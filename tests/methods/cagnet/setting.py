"""A CaGNet of a few layers, and pictures of a few pixels to train it on."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxseg.data import word_vectors
from jaxseg.data.scenes import SCENES
from jaxseg.methods.cagnet.losses import Content
from jaxseg.methods.cagnet.method import CaGNet
from jaxseg.models.backbones.tiny import Tiny
from jaxseg.models.generator import Generator
from jaxseg.models.heads.context import ContextHead, ContextModule
from jaxseg.models.heads.deeplabv2 import DeepLabV2
from jaxseg.models.heads.feature_classifier import FeatureClassifier
from jaxseg.models.segmentor import Segmentor

SIZE = 16, 24
FEATURES, WORDS = 6, 5
SPLIT = SCENES.with_unseen(("car", "tree"))
LABELS = dataclasses.replace(
    SPLIT, word_vectors=word_vectors.drawn(SPLIT.names, size=WORDS)
)


def make_segmentor(**decoder):
    return Segmentor(
        backbone=Tiny(widths=(6, 8), depths=(0, 0)),
        head=ContextHead(
            head=DeepLabV2(features=FEATURES, rates=(1,)),
            context=ContextModule(width=4),
        ),
        num_classes=LABELS.num_classes,
        decoder=FeatureClassifier(**{"hidden": 12, **decoder}),
    )


def make_method(**options):
    """A CaGNet whose critic's learning rate is a number of its optimiser's state."""
    critic = optax.inject_hyperparams(optax.sgd)(learning_rate=0.1)
    defaults = dict(
        segmentor=make_segmentor(),
        labels=LABELS,
        optimizer=optax.sgd(0.1),
        critic_optimizer=critic,
        generator_optimizer=optax.sgd(0.1),
        generator=Generator(features=FEATURES, hidden=(9,), dropout=(0.2,)),
        content=Content(slots=24),
        scales=(1.0, 0.5),
    )
    return CaGNet(**{**defaults, **options})


def make_batch(batch_size=2, size=SIZE, seed=0):
    """Blocks of random classes in their own colours; unseen classes are hidden."""
    rng = np.random.default_rng(seed)
    shape = (batch_size, size[0] // 4, size[1] // 4)
    label = rng.integers(0, LABELS.num_classes, shape).repeat(4, 1).repeat(4, 2)
    image = np.asarray(LABELS.palette)[label] + rng.integers(0, 30, (*label.shape, 3))
    label[np.isin(label, LABELS.unseen)] = 255
    return dict(
        image=jnp.asarray(np.clip(image, 0, 255), jnp.uint8),
        label=jnp.asarray(label, jnp.int32),
        valid=jnp.ones(batch_size, bool),
    )


def with_critic_rate(state, rate):
    """The state whose critic learns at another rate, without compiling again."""
    critic = state.opt_state["critic"]
    hyperparams = {"learning_rate": jnp.asarray(rate, jnp.float32)}
    changed = critic._replace(hyperparams=hyperparams)
    return state.replace(opt_state={**state.opt_state, "critic": changed})


def differ(one, other):
    """Whether any leaf differs."""
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return any(bool((a != b).any()) for a, b in pairs)
