"""Checks of DINO's features and of DPT's parts against the code that SAZS builds on."""

import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from jaxseg.models.backbones.vit import ViT
from jaxseg.models.heads.dpt import Fusion, Reassemble
from jaxseg.models.layers import Conv
from jaxseg.ops.resize import resize_bicubic, resize_bilinear
from jaxseg.pretrained.keymap import KeyMap
from jaxseg.pretrained.keymaps import dpt, vit
from tests.golden.case import Case


def dino_keys(case: Case) -> None:
    """Keys and attention of the last block, tokens, and the table of positions."""
    variables = _renamed(case, vit.KEY_MAPS[0])["backbone"]
    image = _channels_last(case["image"])
    model = _vit(variables, case, patch_size=case.number("patch"))

    keys = model.apply(variables, image, method="keys")
    b, h, w, d = keys.shape
    case.close("keys", keys.reshape(b, h * w, d), atol=1e-4)
    tokens = model.apply(variables, image, method="tokens")
    case.close("last_tokens", tokens, atol=1e-4)
    attention = model.apply(variables, image, method="class_attention")
    rows = attention.reshape(b, h * w, -1).transpose(0, 2, 1)
    case.close("cls_attention", rows, atol=1e-5)

    first, grid = _table(variables, model.image_grid)
    grid = resize_bicubic(grid, (h, w), offset=0.1).reshape(1, h * w, d)
    ours = jnp.concatenate([first, grid], axis=1)
    case.close("pos_embed_interp", ours, atol=1e-5)


def dpt_encoder(case: Case) -> None:
    """The first taps reassembled; the last block and what hangs on it are not there."""
    variables = _renamed(case, dpt.AUTHORS, prefix="pretrained.")
    image = _channels_last(case["image"])
    patch = case["p:model.patch_embed.proj.weight"].shape[-1]
    backbone = variables["backbone"]
    taps = tuple(tap for tap in case["hook_blocks"].tolist() if tap < _depth(backbone))
    model = _vit(
        backbone,
        case,
        patch_size=patch,
        taps=taps,
        final_norm=False,
        position_resize="bilinear",
        readout="project",
    )
    stages = model.apply(backbone, image, train=False)
    _, h, w, _ = stages[0].shape
    for level, scale in enumerate((4, 2, 1, 0.5)[: len(taps)]):
        params = variables["head"]["params"][f"reassemble_{level}"]
        head = Reassemble(params["project"]["bias"].size, scale, level)
        layer = head.apply({"params": params}, stages, train=False)
        case.close(f"layer_{level + 1}", _channels_first(layer), atol=1e-4)
        if level == 1:
            _edge_logit(case, layer)

    first, grid = _table(backbone, model.image_grid)
    grid = resize_bilinear(grid, (h, w), align_corners=False)
    ours = jnp.concatenate([first, grid.reshape(1, h * w, -1)], axis=1)
    case.close("pos_embed_resized", ours, atol=1e-5)


def dpt_decoder(case: Case) -> None:
    """The four fusions of a given pyramid."""
    variables = _renamed(case, dpt.AUTHORS, prefix="scratch.")["head"]
    variables = {name: tree["fusion"] for name, tree in variables.items()}
    pyramid = [_channels_last(case[f"in_{level}"]) for level in range(1, 5)]
    features = case["p:refinenet1.out_conv.bias"].size
    paths = Fusion(features).apply(variables, pyramid, train=False)
    for level, path in enumerate(paths, start=1):
        case.close(f"path_{level}", _channels_first(path), atol=1e-4)


def _edge_logit(case: Case, layer: jnp.ndarray) -> None:
    kernel = case["p:edgeocr_cls_head.weight"].transpose(2, 3, 1, 0)
    bias = case["p:edgeocr_cls_head.bias"]
    edge = Conv(1, use_bias=True).apply(
        {"params": {"kernel": kernel, "bias": bias}}, layer
    )
    case.close("edge_logit", _channels_first(edge), atol=1e-4)


def _vit(variables: dict, case: Case, **fields) -> ViT:
    """A backbone of the sizes of its weights."""
    params = variables["params"]
    _, tokens, width = params["position_embedding"].shape
    side = round((tokens - 1) ** 0.5)
    return ViT(
        width=width,
        depth=_depth(variables),
        num_heads=case.number("heads"),
        mlp_ratio=params["blocks_0"]["mlp"]["fc1"]["bias"].size / width,
        image_grid=(side, side),
        **fields,
    )


def _depth(variables: dict) -> int:
    return sum(name.startswith("blocks_") for name in variables["params"])


def _table(variables: dict, grid: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The positions of the class token [1, 1, D] and of the patches [1, h, w, D]."""
    table = variables["params"]["position_embedding"]
    return table[:, :1], table[:, 1:].reshape(1, *grid, -1)


def _renamed(case: Case, key_map: KeyMap, *, prefix: str = "") -> dict[str, dict]:
    """Our variables by entry, as `apply` takes them; all names must be known."""
    tensors = {
        prefix + name.removeprefix("p:"): case[name]
        for name in case.names
        if name.startswith("p:") and "edgeocr" not in name
    }
    renamed = key_map.rename(tensors)
    assert not renamed.unknown, renamed.unknown
    entries: dict[str, dict] = {}
    for (collection, entry, *path), value in renamed.arrays.items():
        entries.setdefault(entry, {})[(collection, *path)] = value
    return {
        entry: traverse_util.unflatten_dict(flat) for entry, flat in entries.items()
    }


def _channels_last(x: np.ndarray) -> jnp.ndarray:
    return jnp.asarray(np.moveaxis(x, 1, -1))


def _channels_first(x: jnp.ndarray) -> np.ndarray:
    return np.moveaxis(np.asarray(x), -1, 1)
