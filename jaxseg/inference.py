"""From a trained state to class ids, compiled once and spread over the devices."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxseg import sharding
from jaxseg.data.labels import IGNORE
from jaxseg.methods.base import Batch, Method
from jaxseg.metrics.confusion import confusion_matrix
from jaxseg.ops.backward import compiler_options
from jaxseg.state import TrainState


def predicting(state: TrainState) -> TrainState:
    """Returns the part of a state that prediction reads."""
    return state.replace(opt_state=None, memory=None)


def make_predict(
    method: Method, mesh: Mesh
) -> Callable[[TrainState, Batch], jax.Array]:
    """Compiles `(state, batch) -> class ids`, uint8 [B, H, W].

    The method never sees the labels of the batch.
    """

    def predict(state: TrainState, batch: Batch) -> jax.Array:
        return _class_ids(method, state, batch)

    data = sharding.batched(mesh)
    return jax.jit(predict, out_shardings=data, compiler_options=compiler_options())


def make_count(
    method: Method, mesh: Mesh
) -> Callable[[TrainState, Batch], tuple[jax.Array, jax.Array]]:
    """Compiles `(state, batch) -> (confusion [C, C] int32, class ids [B, H, W])`.

    Rows of the confusion are the truth. Unlabelled pixels and the examples that pad a
    batch, where `valid` is false, do not count.
    """

    def count(state: TrainState, batch: Batch) -> tuple[jax.Array, jax.Array]:
        prediction = _class_ids(method, state, batch)
        truth = jnp.where(batch["valid"][:, None, None], batch["label"], IGNORE)
        confusion = confusion_matrix(
            truth, prediction, num_classes=method.labels.num_classes
        )
        return confusion, prediction

    outputs = (sharding.replicated(mesh), sharding.batched(mesh))
    return jax.jit(count, out_shardings=outputs, compiler_options=compiler_options())


def _class_ids(method: Method, state: TrainState, batch: Batch) -> jax.Array:
    unlabelled = {key: value for key, value in batch.items() if key != "label"}
    logits = method.predict(state, unlabelled)
    return jnp.argmax(logits, axis=-1).astype(jnp.uint8)  # 255 is no class


def local_rows(array: jax.Array) -> np.ndarray:
    """Returns the rows of a batch that this process holds, in order."""
    shards: dict[Any, np.ndarray] = {
        shard.index[0].start or 0: np.asarray(shard.data)
        for shard in array.addressable_shards
    }
    return np.concatenate([shards[start] for start in sorted(shards)])
