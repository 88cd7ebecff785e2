"""Maximum mean discrepancy: how far generated features are from real ones, as sets.

`mmd` compares two sets; `mmd_per_class` all classes of a batch at once, in static
shapes; `mmd_runs` groups as CaGNet's release does, to compare with it.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from jaxseg.ops.sampling import smallest_in_groups

CAGNET_BANDWIDTHS = (2.0, 5.0, 10.0, 20.0, 40.0, 60.0)


def mmd(
    generated: jax.Array,
    real: jax.Array,
    generated_weights: jax.Array,
    real_weights: jax.Array,
    *,
    bandwidths: Sequence[float],
    scale: float,
) -> jax.Array:
    """The root of a multiple of the squared MMD of two weighted sets.

    sqrt(scale sum_b a^T K_b a), K_b(u, v) = exp(-|u - v|^2 / (2 b)), with a = w / sum w
    on generated rows and -w / sum w on real ones. CaGNet has scale 1/2, ZS3Net 1.

    Args:
        generated: [..., Q, D]; gradients flow into these only.
        real: [..., R, D].
        generated_weights: [..., Q], 0 for rows that are not there.
        real_weights: [..., R].
        bandwidths: b.
        scale: before the root.

    Returns:
        [...] float32; 0 with zero gradient where a set is empty, or the sum is not
        positive.
    """
    totals = [jnp.sum(w, -1, keepdims=True) for w in (generated_weights, real_weights)]
    both = (totals[0] > 0) & (totals[1] > 0)
    ours, theirs = (
        weights / jnp.where(both, total, 1.0)
        for weights, total in zip(
            (generated_weights, real_weights), totals, strict=True
        )
    )

    # In three blocks of pairs: the fourth is one of them transposed, and half of the
    # gradient's products would be of constants.
    def mean(x: jax.Array, y: jax.Array, a: jax.Array, b: jax.Array) -> jax.Array:
        # The three nearly cancel: products may not be rounded, as by default on GPUs.
        kernel = _kernel(x, y, bandwidths)
        return jnp.einsum("...i,...ij,...j->...", a, kernel, b, precision="highest")

    real = jax.lax.stop_gradient(real)
    found = (
        mean(generated, generated, ours, ours)
        - 2.0 * mean(generated, real, ours, theirs)
        + mean(real, real, theirs, theirs)
    )
    return _safe_sqrt(jnp.where(both[..., 0], scale * found, 0.0))


def mmd_per_class(
    key: jax.Array,
    generated: jax.Array,
    real: jax.Array,
    labels: jax.Array,
    *,
    num_classes: int,
    slots: int,
    bandwidths: Sequence[float] = CAGNET_BANDWIDTHS,
) -> jax.Array:
    """The mean over present classes of the MMD of their pixels.

    A class with more than `slots` pixels is represented by that many, drawn without
    replacement; both sets take the same pixels.

    Args:
        key: draws the pixels.
        generated: [N, D] features, one a pixel; gradients flow into these only.
        real: [N, D].
        labels: [N] class ids; pixels of ids outside [0, C) take no part.
        num_classes: C.
        slots: the most pixels of a class.
        bandwidths: of `mmd`.

    Returns:
        [] float32; 0 with zero gradient if no class is present.
    """
    priority = jax.random.uniform(key, (1, len(labels)))
    picks = smallest_in_groups(
        labels[None], priority, num_groups=num_classes, num_picks=slots
    )[0]  # [C, Q]
    weights = (picks >= 0).astype(jnp.float32)
    safe = jnp.maximum(picks, 0)
    losses = mmd(
        generated[safe],
        real[safe],
        weights,
        weights,
        bandwidths=bandwidths,
        scale=0.5,
    )
    present = jnp.any(picks >= 0, axis=1)
    return jnp.sum(losses * present) / jnp.maximum(jnp.sum(present), 1)


def mmd_runs(
    generated: jax.Array,
    real: jax.Array,
    labels: jax.Array,
    *,
    num_classes: int,
    bandwidths: Sequence[float] = CAGNET_BANDWIDTHS,
) -> tuple[jax.Array, jax.Array]:
    """The mean over runs of equal labels, which is what CaGNet's release minimises.

    A run ends where the next labelled pixel in raster order has another label, so a set
    is a few neighbours of one row. Takes memory of N^2: to compare with the release.

    Args:
        generated: [N, D] features, one a pixel; gradients flow into these only.
        real: [N, D].
        labels: [N] class ids in raster order; ids outside [0, C) are dropped first.
        num_classes: C.
        bandwidths: of `mmd`.

    Returns:
        [] float32 the mean, 0 if there is no run; [] int32 the number of runs.
    """
    length = len(labels)
    labelled = (labels >= 0) & (labels < num_classes)
    order = jnp.argsort(~labelled, stable=True)
    labels, labelled = labels[order], labelled[order]
    first = jnp.concatenate([jnp.ones(1, bool), labels[1:] != labels[:-1]])
    run = jnp.cumsum(first & labelled) - 1  # [N]
    both = labelled[:, None] & labelled
    member = (both & (run[:, None] == run)).astype(jnp.float32)  # [N, N] of one run
    real = jax.lax.stop_gradient(real)
    rows = jnp.concatenate([generated[order], real[order]])
    kernel = _kernel(rows, rows, bandwidths).reshape(2, length, 2, length)
    sign = jnp.asarray([1.0, -1.0])
    paired = jnp.einsum(
        "a,aibj,b,ij->i", sign, kernel, sign, member, precision="highest"
    )
    sums = jax.ops.segment_sum(paired * labelled, run, num_segments=length)
    sizes = jax.ops.segment_sum(labelled.astype(jnp.float32), run, num_segments=length)
    losses = _safe_sqrt(0.5 * sums / jnp.maximum(sizes, 1.0) ** 2)
    num_runs = jnp.sum(first & labelled)
    return jnp.sum(losses) / jnp.maximum(num_runs, 1), num_runs


def _kernel(x: jax.Array, y: jax.Array, bandwidths: Sequence[float]) -> jax.Array:
    """The sum of Gaussian kernels of rows [..., N, D] and [..., M, D], [..., N, M]."""
    x, y = x.astype(jnp.float32), y.astype(jnp.float32)
    products = jnp.einsum("...id,...jd->...ij", x, y, precision="highest")
    of_x, of_y = (jnp.sum(jnp.square(rows), axis=-1) for rows in (x, y))
    distances = of_x[..., :, None] + of_y[..., None, :] - 2.0 * products
    distances = jnp.maximum(distances, 0.0)
    return sum(
        (jnp.exp(distances * (-0.5 / b)) for b in bandwidths),
        start=jnp.zeros_like(distances),
    )


def _safe_sqrt(x: jax.Array) -> jax.Array:
    """The root; 0 with zero gradient where x is not positive."""
    positive = x > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, x, 1.0)), 0.0)
