"""All that a training run remembers from one step to the next."""

from typing import Any

import jax
from flax import struct


class TrainState(struct.PyTreeNode):
    """One PyTree, passed into every step and returned by it.

    Attributes:
        step: [] int32, the number of steps done.
        rng: typed key of the run; never changes, a step folds `step` into it.
        params: one entry per sub-network; `params["segmentor"]` is what predicts.
        batch_stats: running statistics of normalisation layers, keyed like `params`.
        opt_state: one optimiser state per entry of `params`; None when evaluating.
        memory: belongs to the method: queues, prototypes, a teacher, or None.
    """

    step: jax.Array
    rng: jax.Array
    params: Any
    batch_stats: Any
    opt_state: Any = None
    memory: Any = None
