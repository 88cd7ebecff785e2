"""Undoes normalisations that were folded into convolutions, before training.

Published weights often have no normalisation any more: it computes y = x + bias, with
scale 1, mean 0 and variance 1 - epsilon. In evaluation that is the published function,
but in training the batch's own statistics take over and the network forgets what it
knew. Here each normalisation gets back the statistics of its inputs.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from jaxseg.models.segmentor import Segmentor

Path = tuple[str, ...]
Sample = tuple[float, np.ndarray, np.ndarray]  # weight, mean [D], variance [D]


def calibrate_batch_norm(
    segmentor: Segmentor,
    params: Mapping[str, Any],
    batch_stats: Mapping[str, Any],
    batches: Iterable[Mapping[str, np.ndarray]],
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Measures the inputs of the backbone's normalisations and rewrites these.

    A normalisation y = scale (x - mean) / sqrt(var + e) + offset whose inputs have mean
    m and variance v becomes

        mean' = m,  var' = v,  scale' = scale sqrt((v + e) / (var + e)),
        offset' = offset + scale (m - mean) / sqrt(var + e),

    which is the same function in evaluation, and nearly the same in training, when the
    batch resembles the pictures measured. As evaluation never changes, one pass
    measures all layers. It also holds for weights that were not folded.

    Args:
        segmentor: the network.
        params: its parameters; unchanged outside the backbone's normalisations.
        batch_stats: its batch statistics.
        batches: batches with "image" [B, H, W, 3], 0..255, as for training; some
            hundred pictures are enough. Equal shapes spare compilations.

    Returns:
        New params and batch_stats.

    Raises:
        ValueError: there were no batches.
    """
    epsilons: dict[Path, float] = {}

    @jax.jit
    def measure(variables, image) -> dict[Path, tuple[jax.Array, jax.Array]]:
        inputs = _norm_inputs(segmentor, variables, image, epsilons)
        return {path: _moments(x) for path, x in inputs.items()}

    variables = {"params": params, "batch_stats": batch_stats}
    total: dict[Path, Sample] = {}
    for batch in batches:
        moments = jax.device_get(measure(variables, batch["image"]))
        weight = float(np.prod(batch["image"].shape[:3]))
        for path, (mean, variance) in moments.items():
            part = (weight, mean.astype(np.float64), variance.astype(np.float64))
            total[path] = _pool(total[path], part) if path in total else part
    if not total:
        raise ValueError("no pictures to measure the normalisations' inputs with")

    flat_params = traverse_util.flatten_dict(dict(params))
    flat_stats = traverse_util.flatten_dict(dict(batch_stats))
    for path, (_, mean, variance) in total.items():
        _rewrite(flat_params, flat_stats, path, mean, variance, epsilons[path])
    return (
        traverse_util.unflatten_dict(flat_params),
        traverse_util.unflatten_dict(flat_stats),
    )


def _norm_inputs(
    segmentor: Segmentor,
    variables: Mapping[str, Any],
    image: jax.Array,
    epsilons: dict[Path, float],
) -> dict[Path, jax.Array]:
    """What each normalisation of the backbone is given in evaluation, by path.

    Runs while tracing: `epsilons` is filled with a constant of each layer.
    """
    inputs: dict[Path, jax.Array] = {}

    def record(next_function, args, kwargs, context):
        if isinstance(context.module, nn.BatchNorm):
            inputs[context.module.path] = args[0]
            epsilons[context.module.path] = context.module.epsilon
        return next_function(*args, **kwargs)

    with nn.intercept_methods(record):
        segmentor.apply(variables, image, train=False, method="stages")
    return inputs


def _moments(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Mean and variance [D] of x [B, h, w, D], in two passes in float32."""
    x = x.astype(jnp.float32)
    mean = jnp.mean(x, axis=(0, 1, 2))
    return mean, jnp.mean(jnp.square(x - mean), axis=(0, 1, 2))


def _pool(one: Sample, other: Sample) -> Sample:
    """Two samples as one (Chan et al. 1979)."""
    weight, mean, variance = one
    other_weight, other_mean, other_variance = other
    share = other_weight / (weight + other_weight)
    difference = other_mean - mean
    return (
        weight + other_weight,
        mean + share * difference,
        (1 - share) * variance
        + share * other_variance
        + share * (1 - share) * difference**2,
    )


def _rewrite(params, stats, path, mean, variance, epsilon) -> None:
    """Gives the normalisation at `path` new statistics without changing its result."""
    scale = np.float64(params[(*path, "scale")])
    slope = scale / np.sqrt(np.float64(stats[(*path, "var")]) + epsilon)
    shift = slope * (mean - np.float64(stats[(*path, "mean")]))
    offset = np.float64(params[(*path, "bias")]) + shift
    params[(*path, "scale")] = np.float32(slope * np.sqrt(variance + epsilon))
    params[(*path, "bias")] = np.float32(offset)
    stats[(*path, "mean")] = np.float32(mean)
    stats[(*path, "var")] = np.float32(variance)
