"""What a trained network makes of pictures, to look at and to measure.

`embed` gives what the contrast moves, `features` what the classifier reads, which a
network without contrast has too; `sample_pixels` draws as many points as a plot holds.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxseg.methods import base
from jaxseg.methods.pico import sampling
from jaxseg.methods.pico.method import PiCo
from jaxseg.ops.lengths import unit_length
from jaxseg.ops.resize import resize_nearest
from jaxseg.state import TrainState


def embed(method: PiCo, state: TrainState, images: Any) -> jax.Array:
    """Embeds pictures in evaluation mode, as the contrast of training sees them.

    Args:
        method: with a projection.
        state: `params` and `batch_stats` are read.
        images: [B, H, W, 3] RGB, 0..255.

    Returns:
        [B, h, w, D] float32 unit vectors.

    Raises:
        ValueError: if the method has no projection, as with contrast_weight = 0.
    """
    if "projection" not in state.params:
        raise ValueError(
            f"the state has no projection, only {sorted(state.params)}: a run with "
            "contrast_weight = 0 trains none; compare `features` instead"
        )
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    _, embeddings = _evaluate(method.network, variables, images)
    return embeddings


def features(method: base.Method, state: TrainState, images: Any) -> jax.Array:
    """What the classifier reads, brought to unit length; of any method.

    With or without contrast the network has these, so that they tell what contrast does
    to the part of it that predicts.

    Args:
        method: gives the segmentor.
        state: `params` and `batch_stats` are read.
        images: [B, H, W, 3] RGB, 0..255.

    Returns:
        [B, h, w, D] float32 unit vectors.
    """
    variables = {
        "params": state.params["segmentor"],
        "batch_stats": state.batch_stats.get("segmentor", {}),
    }
    outputs = _evaluate(method.segmentor, variables, images)
    return unit_length(outputs.features.astype(jnp.float32))


def sample_pixels(
    vectors: Any,
    labels: Any,
    *,
    num_classes: int,
    num_picks: int,
    rng: jax.Array,
) -> tuple[np.ndarray, np.ndarray]:
    """Draws a few positions of every class in every picture, without replacement.

    The same key draws the same positions of another network's vectors of equal size.

    Args:
        vectors: [B, h, w, D] of `embed` or `features`.
        labels: [B, H, W] class ids at the pictures' size, brought to h x w as in
            training; ids outside [0, C) are never drawn.
        num_classes: C.
        num_picks: most positions of a class in a picture.
        rng: chooses.

    Returns:
        [N, D] float32 and [N] int32 class ids, on the host: N depends on the labels,
        and is 0 if nothing is labelled.
    """
    b, h, w, d = vectors.shape
    coarse = resize_nearest(jnp.asarray(labels, jnp.int32), (h, w))
    picks = sampling.pick_pixels(
        coarse,
        sampling.draw_priority(rng, coarse.shape),
        num_classes=num_classes,
        num_picks=num_picks,
    )
    picture, class_id, place = np.nonzero(np.asarray(picks) >= 0)
    position = np.asarray(picks)[picture, class_id, place]
    pixels = np.asarray(vectors, np.float32).reshape(b, h * w, d)
    return pixels[picture, position], class_id.astype(np.int32)


@functools.partial(jax.jit, static_argnames="network")
def _evaluate(network: Any, variables: Any, images: Any) -> Any:
    return network.apply(variables, images, train=False)
