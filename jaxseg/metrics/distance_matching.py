"""Segmentation by the nearest labelled instances: what features know, untrained.

Gao et al. 2022, distance matching. `instance_embeddings` turns the masks of labelled
pictures into a bank of vectors; `nearest_votes` gives each pixel of another picture
the class of the bank's entries most like it.
"""

import jax
import jax.numpy as jnp
from jax import lax

# The votes magnify what TF32 or bfloat16 would lose.
EXACT = lax.Precision.HIGHEST
CHUNK = 1024  # pixels whose similarities to the whole bank are held at a time


def instance_embeddings(
    features: jax.Array, labels: jax.Array, *, num_classes: int
) -> tuple[jax.Array, jax.Array]:
    """Averages the features of each class in each picture.

        e_c = sum of the features of class c / (h w),

    over all positions, as their code has it; the scale is of no consequence, vectors
    are compared by their angle.

    Args:
        features: [B, h, w, D].
        labels: [B, h, w] class ids; those outside [0, C) count nowhere.
        num_classes: C.

    Returns:
        [B, C, D] float32 embeddings and, bool [B, C], which of them there are.
    """
    _, height, width, _ = features.shape
    masks = jax.nn.one_hot(labels, num_classes, dtype=jnp.float32)
    sums = jnp.einsum(
        "bhwc,bhwd->bcd", masks, features.astype(jnp.float32), precision=EXACT
    )
    return sums / (height * width), jnp.any(masks > 0, axis=(1, 2))


def nearest_votes(
    queries: jax.Array,
    bank: jax.Array,
    bank_labels: jax.Array,
    *,
    num_classes: int,
    num_neighbours: int = 10,
    temperature: float = 0.07,
) -> jax.Array:
    """Lets the nearest entries of a bank vote on the class of each vector.

    With s the cosine similarity to an entry of class c among the nearest k, the votes
    of c are the sum of exp(s / temperature).

    Args:
        queries: [N, D].
        bank: [M, D], M >= k.
        bank_labels: [M] class ids.
        num_classes: C.
        num_neighbours: k.
        temperature: divides the similarities.

    Returns:
        [N, C] float32; the class is the argmax.

    Raises:
        ValueError: if the bank holds fewer entries than k.
    """
    if len(bank) < num_neighbours:
        raise ValueError(
            f"{num_neighbours} neighbours are asked of a bank of {len(bank)} instances"
        )
    bank, bank_labels = _unit(bank), jnp.asarray(bank_labels)

    def of_chunk(query: jax.Array) -> jax.Array:
        similarities = jnp.matmul(bank, query, precision=EXACT)
        similarity, nearest = lax.top_k(similarities, num_neighbours)
        weights = jnp.exp(similarity / temperature)
        return jax.ops.segment_sum(weights, bank_labels[nearest], num_classes)

    return lax.map(of_chunk, _unit(queries), batch_size=CHUNK)


def _unit(x: jax.Array) -> jax.Array:
    x = jnp.asarray(x, jnp.float32)
    norm = jnp.linalg.norm(x, axis=-1, keepdims=True)
    return x / jnp.maximum(norm, 1e-12)
