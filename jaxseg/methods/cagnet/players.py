"""The entries of a state by who moves them: encoder, critic, generator, patches."""

from collections.abc import Mapping
from typing import Any

from jaxseg.methods.cagnet import patch_network as patch_networks
from jaxseg.state import TrainState


def players(params: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters by who moves them: encoder, critic, generator."""
    segmentor = params["segmentor"]
    return {
        "encoder": {k: v for k, v in segmentor.items() if k != "decoder"},
        "critic": {
            "decoder": segmentor["decoder"],
            "discriminator": params["discriminator"],
        },
        "generator": params["generator"],
    }


def joined(players: Mapping[str, Any]) -> dict[str, Any]:
    """Undoes `players`."""
    critic = players["critic"]
    return {
        "segmentor": {**players["encoder"], "decoder": critic["decoder"]},
        "generator": players["generator"],
        "discriminator": critic["discriminator"],
    }


def patches_of(state: TrainState) -> patch_networks.Variables:
    """The entries of the network over patches in a state."""
    name = patch_networks.NAME
    return patch_networks.Variables(
        state.params[name], state.batch_stats.get(name, {}), state.opt_state[name]
    )


def with_patches(state: TrainState, variables: patch_networks.Variables) -> TrainState:
    """The state with other such entries."""
    name = patch_networks.NAME
    return state.replace(
        params={**state.params, name: variables.params},
        batch_stats={**state.batch_stats, name: variables.batch_stats},
        opt_state={**state.opt_state, name: variables.opt_state},
    )
