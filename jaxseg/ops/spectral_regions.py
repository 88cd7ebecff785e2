"""Pictures cut into several regions by their eigenvectors: `spectral_regions`.

Deep Spectral Segmentation (Melas-Kyriazi et al., CVPR 2022), multi-region segmentation.
"""

import jax
import jax.numpy as jnp

from jaxseg.ops.kmeans import kmeans


def spectral_regions(
    maps: jax.Array,
    key: jax.Array,
    *,
    num_regions: int,
    count: jax.Array | None = None,
    valid: jax.Array | None = None,
    restarts: int = 10,
) -> jax.Array:
    """Clusters the nodes of a picture by their entries in its eigenvectors.

    The region with most nodes at the border of the grid becomes 0, as background, and
    the one that was 0 takes its number. Each node of the border counts once; the
    authors' code counts those of the corners twice.

    Args:
        maps: [h, w, K] float, the eigenvectors without the constant one.
        key: of the starts of k-means.
        num_regions: at most.
        count: [] int, how many of them, as `count_by_gap` says; all if None.
        valid: [h, w] bool, the nodes that there are, a rectangle at the top left; all
            if None.
        restarts: of k-means.

    Returns:
        int32 [h, w] regions from 0; -1 where there is no node. One region, 0, where the
        eigenvectors are zero.
    """
    h, w, k = maps.shape
    if valid is None:
        valid = jnp.ones((h, w), bool)
    found = kmeans(
        maps.reshape(h * w, k),
        key,
        num_clusters=num_regions,
        count=count,
        valid=valid.ravel(),
        restarts=restarts,
    )
    labels = found.labels.reshape(h, w)
    counted = jnp.where(border(valid), labels, -1)
    at_border = jnp.sum(
        counted[..., None] == jnp.arange(num_regions), axis=(0, 1), dtype=jnp.int32
    )
    outside = jnp.argmax(at_border)
    swapped = jnp.where(labels == outside, 0, jnp.where(labels == 0, outside, labels))
    return swapped.astype(jnp.int32)


def count_by_gap(values: jax.Array) -> jax.Array:
    """How many regions the largest gap between eigenvalues suggests.

    Args:
        values: [K] float32 ascending, the constant vector's first, K >= 3.

    Returns:
        [] int32, i + 1 for the largest values[i + 1] - values[i] with i >= 1 (the gap
        behind the constant vector says only that the graph is connected).
    """
    gaps = jnp.diff(values)[1:]
    return (jnp.argmax(gaps) + 2).astype(jnp.int32)


def rayleigh(maps: jax.Array, affinity: jax.Array) -> jax.Array:
    """The eigenvalues that belong to vectors: mu = v^T (D - W) v / v^T D v.

    Args:
        maps: [h, w, K] float, generalised eigenvectors v of a graph.
        affinity: W, [N, N] with N = h w.

    Returns:
        [K] float32; 1, as of a node without neighbours, for a vector of zeros.
    """
    vectors = maps.reshape(len(affinity), -1)
    precision = jax.lax.Precision.HIGHEST
    pulled = jnp.matmul(affinity, vectors, precision=precision)
    degree = jnp.sum(affinity, axis=1)[:, None]
    length = jnp.sum(degree * vectors**2, axis=0)
    return 1 - jnp.sum(vectors * pulled, axis=0) / jnp.where(length > 0, length, 1)


def border(valid: jax.Array) -> jax.Array:
    """The nodes [h, w] at the border of a rectangle of nodes [h, w], bool."""
    padded = jnp.pad(valid, 1)
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return valid & ~inner
