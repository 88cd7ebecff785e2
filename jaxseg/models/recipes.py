"""How the networks' authors train them, whatever the data set, as parts of a config.

A config adds what depends on its pictures: steps, batch, crop, learning rate, decay.

    config.data = dict(name=..., crop=(512, 512), **SEGFORMER.augmentation)
    config.optimizer = dict(SEGFORMER.optimizer, weight_decay=0.01)
    config.schedule = dict(SEGFORMER.schedule, peak=6e-5)
"""

import dataclasses
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Parts of a config's sections `data`, `optimizer` and `schedule`."""

    augmentation: Mapping[str, Any]
    optimizer: Mapping[str, Any]
    schedule: Mapping[str, Any]


def _poly(**fields: Any) -> dict[str, Any]:
    return dict(name="poly", power=0.9, warmup_steps=0, warmup_power=1.0) | fields


# Of SegFormer, Segmenter and MaskFormer: colours distorted rather than shifted.
_DISTORTED: dict[str, Any] = dict(
    scale=(0.5, 2.0),
    aspect=(1.0, 1.0),
    flip=0.5,
    brightness=0,
    max_class_share=0.75,
    distort=True,
)

# HRNet, OCR and DeepLabV3 in the code of openseg, ContrastiveSeg and PiCo. The decay
# takes biases and normalisations, too, and no part of the network learns faster.
OPENSEG = Recipe(
    augmentation=dict(
        scale=(0.5, 2.0),
        aspect=(0.9, 1.1),
        flip=0.5,
        brightness=10,
        max_class_share=1.0,
        distort=False,
    ),
    optimizer=dict(
        name="sgd",
        momentum=0.9,
        decay_all=True,
        undecayed=(),
        clip_norm=0.0,
        multipliers=(),
    ),
    schedule=_poly(),
)

# Xie et al. 2021: no decay of normalisations; what is new learns ten times as fast.
SEGFORMER = Recipe(
    augmentation=_DISTORTED,
    optimizer=dict(
        name="adamw",
        b1=0.9,
        b2=0.999,
        decay_all=True,
        undecayed=("norm",),
        clip_norm=0.0,
        multipliers=(("^backbone", 1.0), ("", 10.0)),
    ),
    schedule=_poly(power=1.0, warmup_steps=1_500),
)

# Strudel et al. 2021.
SEGMENTER = Recipe(
    augmentation=_DISTORTED,
    optimizer=OPENSEG.optimizer,
    schedule=_poly(),
)

# Cheng et al. 2021: the pretrained backbone learns a tenth as fast; no decay of
# normalisations and of the queries' positions. They clip all gradients as one vector;
# ours are clipped by sub-network, so that what is beside the segmentor cannot take from
# its share.
MASKFORMER = Recipe(
    augmentation=_DISTORTED | dict(max_class_share=1.0),
    optimizer=dict(
        name="adamw",
        b1=0.9,
        b2=0.999,
        decay_all=True,
        undecayed=("norm", "query_embed"),
        clip_norm=0.01,
        multipliers=(("^backbone", 0.1),),
    ),
    schedule=_poly(),
)
