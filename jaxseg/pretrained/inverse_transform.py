"""Reads the regression network of the shape constraint: `read`.

The package brings one, trained on synthetic scenes by `configs/sazs_inverseform.py`;
files by the published names are read alike, of any tile and any widths.
"""

import importlib.resources
import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from jaxseg import config
from jaxseg.models.inverse_transform import NUM_PARAMETERS, InverseTransform
from jaxseg.pretrained import readers

# Every second module of the published sequence is a ReLU.
WEIGHT = re.compile(r"(?:module\.)?fc\.(\d*[02468])\.weight")
EXPECTED = (
    "expected fc.0, fc.2, fc.4 with weight and bias, 2 t^2 -> hidden -> 4, as "
    "InverseForm publishes them and configs/sazs_inverseform.py makes them"
)


class Regression(NamedTuple):
    """A network and its parameters, as `inverse_transform_loss` takes them.

    Attributes:
        network: with the tile and the widths of the file.
        params: float32, for `network.transforms`.
    """

    network: InverseTransform
    params: Mapping[str, Any]


def read(path: str = "") -> Regression:
    """Reads a file of a regression network.

    Args:
        path: a .safetensors, .pth, .pt or .npz file, `$VARS` and `~` are expanded; the
            one that comes with the package if empty.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, or of another network; the text names the file.
    """
    expanded = config.expand(path) if path else str(packaged())
    return from_tensors(readers.read(expanded), source=expanded)


def packaged() -> Any:
    """Where the package has its own file."""
    folder = importlib.resources.files("jaxseg.pretrained")
    return folder / "weights" / "inverse_transform.safetensors"


def from_tensors(tensors: Mapping[str, np.ndarray], *, source: str) -> Regression:
    """Finds the network that arrays by the published names are of.

    Args:
        tensors: by name, weights [out, in] and biases [out] in any float type.
        source: what to call them in messages.

    Raises:
        ValueError: if they are no such network.
    """
    layers = sorted(
        (int(match[1]), name) for name in tensors if (match := WEIGHT.fullmatch(name))
    )
    if not layers or [number for number, _ in layers] != [
        2 * i for i in range(len(layers))
    ]:
        names = ", ".join(sorted(tensors)[:5]) or "nothing"
        raise ValueError(f"{source} holds {names}: {EXPECTED}")
    params: dict[str, dict[str, np.ndarray]] = {}
    for index, (_, name) in enumerate(layers):
        params[f"dense_{index}"] = _layer(tensors, name, source)
    return Regression(_network(params, source), params)


def to_tensors(params: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Parameters by the published names; `from_tensors` is the way back."""
    tensors = {}
    for index in range(len(params)):
        layer = params[f"dense_{index}"]
        tensors[f"fc.{2 * index}.weight"] = np.asarray(layer["kernel"]).T
        tensors[f"fc.{2 * index}.bias"] = np.asarray(layer["bias"])
    return tensors


def _layer(
    tensors: Mapping[str, np.ndarray], name: str, source: str
) -> dict[str, np.ndarray]:
    weight, bias_name = tensors[name], name.removesuffix("weight") + "bias"
    bias = tensors.get(bias_name)
    if weight.ndim != 2 or bias is None or bias.shape != weight.shape[:1]:
        found = "no array" if bias is None else f"shape {bias.shape}"
        raise ValueError(
            f"{source}: {name} has shape {weight.shape} and {bias_name} is {found}: "
            f"{EXPECTED}"
        )
    return {
        "kernel": np.ascontiguousarray(weight.T, np.float32),
        "bias": np.asarray(bias, np.float32),
    }


def _network(params: Mapping[str, Mapping[str, Any]], source: str) -> InverseTransform:
    shapes = [layer["kernel"].shape for layer in params.values()]
    widths = [width for _, width in shapes]
    tile = math.isqrt(shapes[0][0] // 2)
    chained = [inputs for inputs, _ in shapes[1:]] == widths[:-1]
    if 2 * tile**2 != shapes[0][0] or widths[-1] != NUM_PARAMETERS or not chained:
        chain = ", ".join(f"{inputs} -> {width}" for inputs, width in shapes)
        raise ValueError(f"{source} holds layers {chain}: {EXPECTED}")
    return InverseTransform(tile=tile, hidden=tuple(widths[:-1]))
