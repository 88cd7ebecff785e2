"""The confusion matrix of a batch, counted on the device."""

import jax
import jax.numpy as jnp


def confusion_matrix(
    labels: jax.Array, predictions: jax.Array, *, num_classes: int
) -> jax.Array:
    """Counts pixels by true class (row) and predicted class (column).

    Add the counts of a whole split up on the host in int64: int32 holds 2^31 pixels,
    enough for one batch but not for every data set.

    Args:
        labels: [...] integer ids of the truth; pixels outside [0, C) do not count.
        predictions: [...] integer ids; pixels outside [0, C) do not count either.
        num_classes: C.

    Returns:
        [C, C] int32 counts, all 0 if no pixel counts.

    Raises:
        ValueError: if the shapes differ.
    """
    if labels.shape != predictions.shape:
        raise ValueError(
            f"labels {labels.shape} and predictions {predictions.shape} must have the "
            "same shape: resize the logits to the labels before taking class ids"
        )
    truth = labels.astype(jnp.int32).ravel()  # uint8 would overflow below
    predicted = predictions.astype(jnp.int32).ravel()
    counts = (truth >= 0) & (truth < num_classes)
    counts &= (predicted >= 0) & (predicted < num_classes)
    cell = jnp.where(counts, truth * num_classes + predicted, -1)  # -1 is dropped
    total = jax.ops.segment_sum(jnp.ones_like(cell), cell, num_classes * num_classes)
    return total.reshape(num_classes, num_classes)
