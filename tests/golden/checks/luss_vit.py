"""Checks of the vision transformer of LUSS's semi-supervised networks."""

import jax.numpy as jnp

from jaxseg.ops.resize import resize_bicubic
from tests.golden.case import Case


def vit_pos_embed_resize(case: Case) -> None:
    """The table of positions for other sizes; the class token's stays."""
    table = case["pos_embed"]
    side = round((table.shape[1] - 1) ** 0.5)
    first, grid = table[:, :1], table[:, 1:].reshape(1, side, side, -1)
    for name in (name for name in case.names if name.startswith("size_")):
        rows, columns = case[name].tolist()
        resized = resize_bicubic(jnp.asarray(grid), (rows, columns), offset=0.1)
        ours = jnp.concatenate([first, resized.reshape(1, rows * columns, -1)], axis=1)
        case.close(name.replace("size", "out"), ours, atol=2e-5)
