"""Who moves in the stage "generator": the segmentor's classifier and the generators.

A player has parameters, the classifier's being a part of the segmentor's, and an
optimiser state of its own.
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxseg.state import TrainState

CLASSIFIER = "classifier"


def params_of(state: TrainState, player: str) -> Any:
    """The parameters of a player."""
    if player == CLASSIFIER:
        return state.params["segmentor"][CLASSIFIER]
    return state.params[player]


def replaced(state: TrainState, player: str, params: Any, opt_state: Any) -> TrainState:
    """The same state with other parameters, and optimiser state, of one player."""
    changed = {player: params}
    if player == CLASSIFIER:
        changed = {"segmentor": {**state.params["segmentor"], CLASSIFIER: params}}
    return state.replace(
        params={**state.params, **changed},
        opt_state={**state.opt_state, player: opt_state},
    )


def moved(
    optimizer: optax.GradientTransformation,
    grads: Any,
    opt_state: Any,
    params: Any,
    *,
    where: jax.Array,
) -> tuple[Any, Any]:
    """New parameters and optimiser state, or the old ones where there is no cause.

    Without the condition Adam would go on in its old direction by a gradient of zero.
    """
    updates, new_state = optimizer.update(grads, opt_state, params)
    new = optax.apply_updates(params, updates), new_state
    return jax.tree.map(
        lambda after, before: jnp.where(where, after, before), new, (params, opt_state)
    )
