"""Learning-rate schedules and optimisers, by the names that configs use.

`poly` and `sgd` are the field's usual pair; see them first.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxseg.sharding import path_name


def poly(
    *,
    peak: float,
    total_steps: int,
    power: float = 0.9,
    warmup_steps: int = 0,
    warmup_power: float = 4.0,
    refresh_every: int = 1,
) -> optax.Schedule:
    """Polynomial decay, peak * (1 - t/T)^power, times ((t+1)/W)^warmup_power for t < W.

    Args:
        peak: learning rate at the start.
        total_steps: T; the rate is 0 there and after.
        power: 0.9 wherever DeepLab's recipe is followed.
        warmup_steps: W, 0 for none.
        warmup_power: 1 warms up linearly; the code base of PiCo uses 4.
        refresh_every: the rate stays that of the last multiple of so many steps, 10 in
            the code of SPNet and CaGNet.

    Returns:
        A schedule: [] int step -> [] float32 learning rate.

    Raises:
        ValueError: if `refresh_every` is below 1.
    """
    if refresh_every < 1:
        raise ValueError(f"refresh_every is 1 step or more, got {refresh_every}")

    def schedule(step: Any) -> jax.Array:
        step = step // refresh_every * refresh_every
        # Not 1 - t/T, which cancels in float32 at the end.
        left = jnp.clip(total_steps - step, min=0) / total_steps
        rate = peak * left**power
        if warmup_steps:
            rate = rate * jnp.clip((step + 1) / warmup_steps, max=1.0) ** warmup_power
        return jnp.asarray(rate, jnp.float32)

    return schedule


def cosine(
    *, peak: float, total_steps: int, warmup_steps: int = 0, end: float = 0.0
) -> optax.Schedule:
    """Linear warm-up from 0 to `peak`, then half a cosine down to `end`."""
    return optax.warmup_cosine_decay_schedule(
        init_value=0.0 if warmup_steps else peak,
        peak_value=peak,
        warmup_steps=warmup_steps,
        decay_steps=total_steps,
        end_value=end,
    )


def constant(*, peak: float, total_steps: int = 0) -> optax.Schedule:
    """The same rate at every step, however many there are."""
    del total_steps
    return optax.constant_schedule(peak)


def step_decay(
    *,
    peak: float,
    start: int,
    every: int,
    factor: float,
    total_steps: int | None = None,
) -> optax.Schedule:
    """A rate cut by `factor` at step `start`, and again `every` so many steps.

    peak for t < start, else peak * factor^(floor((t - start) / every) + 1), as CaGNet's
    code has for its generator and discriminator.

    Args:
        peak: learning rate at the start.
        start: the step of the first cut.
        every: steps from one cut to the next, at least 1.
        factor: of each cut.
        total_steps: of the run, which every schedule of a config is told; the cuts do
            not depend on it.

    Raises:
        ValueError: if `every` is below 1.
    """
    del total_steps
    if every < 1:
        raise ValueError(f"every is 1 step or more, got {every}")

    def schedule(step: Any) -> jax.Array:
        cuts = jnp.clip((step - start) // every + 1, min=0)
        return jnp.asarray(peak * factor**cuts, jnp.float32)

    return schedule


def sgd(
    schedule: optax.Schedule,
    *,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    decay_all: bool = True,
    undecayed: Sequence[str] = (),
    clip_norm: float = 0.0,
    multipliers: Sequence[tuple[str, float]] = (),
) -> optax.GradientTransformation:
    """Momentum SGD as torch has it: v = momentum v + (g + decay p);  p -= rate v.

    Args:
        schedule: learning rate by step.
        momentum: of the velocity v; no Nesterov.
        weight_decay: added to the gradient before the momentum.
        decay_all: also decay biases and normalisation scales, as the field's code
            does; otherwise only kernels (arrays of two or more dimensions).
        undecayed: patterns of parameters without decay all the same, as ("norm",).
        clip_norm: gradients of a sub-network are scaled down to this global norm; 0
            does not clip.
        multipliers: (pattern, factor) pairs on the rate of matching parameters, first
            match wins, such as (("backbone", 0.1),).
    """
    return optax.chain(
        optax.clip_by_global_norm(clip_norm) if clip_norm else optax.identity(),
        optax.add_decayed_weights(weight_decay, _decayed(decay_all, undecayed)),
        optax.trace(decay=momentum),
        scale_by_path(multipliers),
        optax.scale_by_learning_rate(schedule),
    )


def adam(
    schedule: optax.Schedule,
    *,
    b1: float = 0.9,
    b2: float = 0.999,
    weight_decay: float = 0.0,
    decay_all: bool = True,
    undecayed: Sequence[str] = (),
    clip_norm: float = 0.0,
    multipliers: Sequence[tuple[str, float]] = (),
) -> optax.GradientTransformation:
    """Adam as torch has it: the decay is added to the gradient, before the moments.

    So weights whose gradients are large decay less, unlike in `adamw`. The arguments
    are those of `sgd`.
    """
    return optax.chain(
        optax.clip_by_global_norm(clip_norm) if clip_norm else optax.identity(),
        optax.add_decayed_weights(weight_decay, _decayed(decay_all, undecayed)),
        optax.scale_by_adam(b1=b1, b2=b2),
        scale_by_path(multipliers),
        optax.scale_by_learning_rate(schedule),
    )


def adamw(
    schedule: optax.Schedule,
    *,
    b1: float = 0.9,
    b2: float = 0.999,
    weight_decay: float = 0.01,
    decay_all: bool = False,
    undecayed: Sequence[str] = (),
    clip_norm: float = 0.0,
    multipliers: Sequence[tuple[str, float]] = (),
) -> optax.GradientTransformation:
    """Adam with decoupled weight decay; the arguments are those of `sgd`."""
    return optax.chain(
        optax.clip_by_global_norm(clip_norm) if clip_norm else optax.identity(),
        optax.scale_by_adam(b1=b1, b2=b2),
        optax.add_decayed_weights(weight_decay, _decayed(decay_all, undecayed)),
        scale_by_path(multipliers),
        optax.scale_by_learning_rate(schedule),
    )


def scale_by_path(
    multipliers: Sequence[tuple[str, float]],
) -> optax.GradientTransformation:
    """Multiplies each update by the factor of the first pattern found in its path."""

    def factor(path: Any) -> float:
        name = path_name(path)
        return next((f for pattern, f in multipliers if re.search(pattern, name)), 1.0)

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        del params
        scaled = jax.tree_util.tree_map_with_path(
            lambda path, leaf: leaf * factor(path), updates
        )
        return scaled, state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def _decayed(decay_all: bool, undecayed: Sequence[str]) -> Callable[[Any], Any] | None:
    """The mask of parameters that decay, None for all."""
    if decay_all and not undecayed:
        return None

    def decays(path: Any, leaf: Any) -> bool:
        name = path_name(path)
        excepted = any(re.search(pattern, name) for pattern in undecayed)
        return (decay_all or leaf.ndim > 1) and not excepted

    return lambda params: jax.tree_util.tree_map_with_path(decays, params)
