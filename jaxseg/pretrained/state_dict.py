"""Finds the arrays of a network in what a checkpoint holds: `find`."""

from collections.abc import Iterator, Mapping
from typing import Any

from jaxseg.pretrained.unpickling import Foreign, Tensor

# Under what name the network lies beside epochs, arguments and optimiser; of several
# the first. In a distillation (DINO) the teacher is the published network.
WRAPPERS = (
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "net",
    "network",
    "teacher",
    "student",
    "params",
)
# Beginnings of names of what only training needs.
TRAINING_ONLY = ("optim", "scheduler", "lr_scheduler", "lr_sched", "scaler", "amp")


class NoArraysError(ValueError):
    """Nothing in the file is an array with a name."""


def find(tree: Any) -> dict[str, Tensor]:
    """The tensors of a network by flat name: {"a": {"b": t}} has "a.b".

    If the tree has one of `WRAPPERS` with tensors in it, only what is in there counts,
    and so on inward. Else all tensors do, but those of optimisers. What is not a tensor
    is left out.

    Args:
        tree: what a pickle holds.

    Raises:
        NoArraysError: there are none; its text is what to say of the file.
    """
    tensors = _network(tree, frozenset()) if isinstance(tree, Mapping) else {}
    if not tensors:
        raise NoArraysError(
            f"holds {_describe(tree)}, and no arrays by name: save the network's "
            "state_dict() with torch.save where its code is, and give that file"
        )
    return tensors


def _network(tree: Mapping[Any, Any], above: frozenset[int]) -> dict[str, Tensor]:
    above = above | {id(tree)}
    for name in WRAPPERS:
        inner = tree.get(name)
        if isinstance(inner, Mapping) and id(inner) not in above:
            tensors = _network(inner, above)
            if tensors:
                return tensors
    return dict(_leaves(tree, "", set()))


def _leaves(
    tree: Mapping[Any, Any], prefix: str, visited: set[int]
) -> Iterator[tuple[str, Tensor]]:
    """All tensors; each dict once, since a pickle can nest dicts without end."""
    visited.add(id(tree))
    for key, value in tree.items():
        if isinstance(value, Tensor):
            yield f"{prefix}{key}", value
        elif (
            isinstance(value, Mapping)
            and id(value) not in visited
            and not str(key).startswith(TRAINING_ONLY)
        ):
            yield from _leaves(value, f"{prefix}{key}.", visited)


def _describe(tree: Any) -> str:
    if isinstance(tree, Foreign):
        return f"an object of {tree.wanted}"
    if isinstance(tree, Tensor):
        return f"one tensor of shape {tree.shape}"
    if not isinstance(tree, Mapping):
        return f"a {type(tree).__name__}"
    held = [f"{key!r}{_of_foreign(value)}" for key, value in list(tree.items())[:5]]
    return f"a dict with {', '.join(held) or 'nothing in it'}"


def _of_foreign(value: Any) -> str:
    return f" ({value.wanted})" if isinstance(value, Foreign) else ""
