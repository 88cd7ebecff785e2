"""DINO's vision transformers, from a published file alone: `load`.

Caron et al., ICCV 2021: ViT S/16, S/8, B/16 and B/8. Which it is, the shapes say.
"""

import math
import pathlib
import re
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from jaxseg import config
from jaxseg.models.backbones.vit import ViT
from jaxseg.models.heads.identity import Identity
from jaxseg.models.segmentor import Segmentor
from jaxseg.pretrained import readers
from jaxseg.pretrained.keymap import Flat
from jaxseg.pretrained.keymaps import vit
from jaxseg.pretrained.load import Report, fill

HEAD_WIDTH = 64  # of all of them
BACKBONE = ("params", "backbone")


def load(path: str | pathlib.Path) -> tuple[Segmentor, Mapping[str, Any], Report]:
    """Reads a file of a vision transformer, as DINO's authors or Hugging Face publish.

    Args:
        path: a .safetensors, .pth, .pt or .npz file; `$VARS` and `~` are expanded.

    Returns:
        A network whose backbone is the transformer (`Segmentor.keys` are DINO's
        features), its variables, for the backbone only, and what was done.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, or holds no vision transformer with heads of 64
            channels and a square table of positions.
    """
    expanded = config.expand(str(path))
    tensors = readers.read(expanded)
    network = recognise(tensors, source=expanded)
    image = np.zeros((1, *[network.backbone.patch_size] * 2, 3), np.float32)
    shapes = jax.eval_shape(
        lambda: network.backbone.init(jax.random.key(0), image, train=False)
    )
    zeros = jax.tree.map(
        lambda leaf: np.broadcast_to(np.float32(0), leaf.shape), shapes["params"]
    )
    params, _, report = fill(tensors, network, {"backbone": zeros}, {}, source=expanded)
    return network, {"params": params}, report


def recognise(tensors: Mapping[str, np.ndarray], *, source: str) -> Any:
    """Makes the network that a file's arrays are of.

    Args:
        tensors: by published name.
        source: what to call the file in messages.

    Raises:
        ValueError: if they are of no such vision transformer.
    """
    arrays = _renamed(tensors)
    kernel = arrays.get((*BACKBONE, "patch_embedding", "kernel"))
    table = arrays.get((*BACKBONE, "position_embedding"))
    if kernel is None or table is None:
        raise ValueError(
            f"{source} holds no vision transformer: of the arrays that DINO's files "
            "have, patch_embed.proj.weight or pos_embed is missing. Give one of ViT "
            "S/16, S/8, B/16, B/8, or a network by --config"
        )
    patch, _, _, width = kernel.shape
    distilled = (*BACKBONE, "distillation_embedding") in arrays
    side = math.isqrt(table.shape[1] - 1 - distilled)
    depth = _depth(arrays)
    hidden = arrays.get((*BACKBONE, "blocks_0", "mlp", "fc1", "bias"))
    if (
        width % HEAD_WIDTH
        or side**2 != table.shape[1] - 1 - distilled
        or hidden is None
        or not depth
    ):
        raise ValueError(
            f"{source} holds a vision transformer of width {width}, {depth} blocks and "
            f"{table.shape[1]} positions: expected a multiple of {HEAD_WIDTH}, blocks, "
            "and a square of positions beside the class token"
        )
    backbone = ViT(
        patch_size=patch,
        width=width,
        depth=depth,
        num_heads=width // HEAD_WIDTH,
        mlp_ratio=hidden.size / width,
        image_grid=(side, side),
        distillation_token=distilled,
    )
    return Segmentor(backbone=backbone, head=Identity(), num_classes=1)


def _renamed(tensors: Mapping[str, np.ndarray]) -> Flat:
    """The arrays in our names, by the key map that knows most of theirs."""
    found = []
    for key_map in vit.KEY_MAPS:
        try:
            found.append(key_map.rename(tensors))
        except ValueError:  # it has pieces of another publisher's
            continue
    return max((renamed.arrays for renamed in found), key=len, default={})


def _depth(arrays: Flat) -> int:
    names = {key[2] for key in arrays if key[:2] == BACKBONE}
    return sum(bool(re.fullmatch(r"blocks_\d+", name)) for name in names)
