"""Starts a segmentor from published weights: `load_weights`."""

import dataclasses
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from flax import traverse_util

from jaxseg import config
from jaxseg.pretrained import mobilenet_v2, safetensors

Tree = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Report:
    """What a file changed.

    Attributes:
        path: the file, with variables expanded.
        filled: parameters and statistics that came from the file.
        kept: those that stayed as they were, head and classifier.
        ignored: names in the file that the segmentor has no use for.
    """

    path: str
    filled: tuple[str, ...]
    kept: tuple[str, ...]
    ignored: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"{self.path}: {len(self.filled)} arrays loaded, {len(self.kept)} left as "
            f"initialised, ignored: {', '.join(self.ignored) or 'none'}"
        )


def load_weights(
    path: str | pathlib.Path, params: Tree, batch_stats: Tree
) -> tuple[Tree, Tree, Report]:
    """Fills a segmentor's backbone from a published file.

    Normalisations of these files are folded into the convolutions, so the result
    computes the published function in evaluation; before training from it, call
    `jaxseg.pretrained.calibration.calibrate_batch_norm`.

    Args:
        path: a .safetensors file; `$VARS` and `~` are expanded.
        params: the segmentor's parameters, with an entry "backbone".
        batch_stats: its batch statistics, likewise.

    Returns:
        New params and batch_stats (arrays that are not in the file are the given ones)
        and what was done.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, of an unknown network, or does not fit the
            backbone; all missing, surplus and misshapen arrays are named.
    """
    expanded = config.expand(str(path))
    if not os.path.isfile(expanded):
        raise FileNotFoundError(f"there is no weights file {expanded}")
    tensors = safetensors.read(expanded)
    if not any(name.startswith(mobilenet_v2.PREFIX) for name in tensors):
        raise ValueError(
            f"{expanded} holds no network known here (MobilenetV2/...); its first "
            f"names are {', '.join(sorted(tensors)[:5])}"
        )
    new_params, new_stats, ignored = mobilenet_v2.rename(tensors)

    old_params = traverse_util.flatten_dict(dict(params))
    old_stats = traverse_util.flatten_dict(dict(batch_stats))
    given = _below_backbone("params", new_params)
    given |= _below_backbone("batch_stats", new_stats)
    there = {("params", *key): value for key, value in old_params.items()}
    there |= {("batch_stats", *key): value for key, value in old_stats.items()}
    _check(given, there, expanded)

    merged = traverse_util.unflatten_dict(there | given)
    report = Report(
        path=expanded,
        filled=tuple(sorted("/".join(key) for key in given)),
        kept=tuple(sorted("/".join(key) for key in there.keys() - given.keys())),
        ignored=ignored,
    )
    return merged["params"], merged["batch_stats"], report


def _below_backbone(collection: str, flat: mobilenet_v2.Flat) -> mobilenet_v2.Flat:
    return {(collection, "backbone", *key): value for key, value in flat.items()}


def _check(given: mobilenet_v2.Flat, there: dict, path: str) -> None:
    """Raises ValueError unless the file holds exactly the backbone's arrays."""
    wanted = {key for key in there if key[1] == "backbone"}
    problems = [
        f"missing in the file: {'/'.join(key)}" for key in sorted(wanted - given.keys())
    ]
    problems += [
        f"not in the backbone: {'/'.join(key)}" for key in sorted(given.keys() - wanted)
    ]
    problems += [
        f"{'/'.join(key)}: {given[key].shape} in the file, {np.shape(there[key])} in "
        "the backbone"
        for key in sorted(wanted & given.keys())
        if given[key].shape != np.shape(there[key])
    ]
    if problems:
        raise ValueError(f"{path} does not fit the backbone:\n" + "\n".join(problems))
