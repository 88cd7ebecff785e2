"""Scores the network that compares tiles of edges, and writes it as a file.

    python -m jaxseg.tools.inverse_transform --workdir runs/inverse --out x.safetensors
    python -m jaxseg.tools.inverse_transform                    # the packaged one
    python -m jaxseg.tools.inverse_transform --weights published.pth

`--workdir` is a run of configs/sazs_inverseform.py. The pairs are made as in training,
of a seed of their own, and no run has seen them. Prints the figures beside what is
asked of them; the exit code is 1 if the full-size tiles miss one.
"""

import argparse
import functools
import sys
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxseg import config as config_lib
from jaxseg import inference, initialization, sharding, workfolder
from jaxseg.checkpoints import CheckpointError, Checkpoints
from jaxseg.data import inputs
from jaxseg.methods import base
from jaxseg.methods.inverse_transform import pairs
from jaxseg.metrics import transforms
from jaxseg.models.inverse_transform import InverseTransform
from jaxseg.ops import scenes
from jaxseg.pretrained import inverse_transform, safetensors
from jaxseg.pretrained.inverse_transform import Regression

SEED = 2_000_000_000  # of the scored pairs; a run's are made of its config's seed
NUM_PAIRS = 4_096
BATCH = 512
STILL_SHARE = 0.2
# What is asked: at least, or at most where the sign is negative.
ASKED = {
    "scale_r2": 0.55,
    "shift_r2": 0.75,
    "rank_correlation": 0.75,
    "still_norm": -0.1,
    "clean_still_norm": -0.1,
}

Figures = Mapping[str, float]


def figures(
    regression: Regression,
    *,
    num_pairs: int = NUM_PAIRS,
    side: int = 0,
    seed: int = SEED,
) -> dict[str, float]:
    """How well a network finds scales and shifts, on pairs made by a seed.

    Args:
        regression: a network and its parameters.
        num_pairs: pairs made; those with too few edges do not count.
        side: of the label maps whose edges are enlarged to a tile; a tile's if 0.
        seed: of the pairs.

    Returns:
        The keys of `ASKED`: R^2 of scales and of shifts (means of both axes) where
        something was moved, Spearman's correlation of |theta_hat| and |theta| over all
        pairs, and the mean |theta_hat| where nothing was moved, and of those that are
        clean.
    """
    network, params = regression
    predict = jax.jit(functools.partial(_batch, network, side or network.tile))
    root = jax.random.key(seed)
    parts = [
        jax.device_get(predict(params, jax.random.fold_in(root, i)))
        for i in range(-(-num_pairs // BATCH))
    ]
    theta, true, counts, is_still, is_clean = (
        np.concatenate(arrays)[:num_pairs] for arrays in zip(*parts, strict=True)
    )
    moved = counts & ~is_still
    r2 = transforms.explained(*map(jnp.asarray, (theta, true, moved)))
    norms = [np.linalg.norm(rows, axis=1) for rows in (theta, true)]
    found, wanted = (jnp.asarray(rows[counts]) for rows in norms)
    return {
        "scale_r2": float(r2[:2].mean()),
        "shift_r2": float(r2[2:].mean()),
        "rank_correlation": float(transforms.rank_correlation(found, wanted)),
        "still_norm": float(norms[0][counts & is_still].mean()),
        "clean_still_norm": float(norms[0][counts & is_still & is_clean].mean()),
    }


def missed(found: Figures) -> list[str]:
    """The figures that are not as good as is asked."""
    return [
        name
        for name, limit in ASKED.items()
        if not (found[name] >= limit if limit > 0 else found[name] <= -limit)
    ]


def from_run(workdir: str) -> Regression:
    """The network of a run's newest checkpoint.

    Raises:
        ConfigError: if the folder holds no run, or one of something else.
        CheckpointError: if it has no checkpoint.
    """
    recorded = workfolder.read_config(workdir)
    if recorded is None:
        raise config_lib.ConfigError(f"{workdir} holds no run: there is no config.json")
    config = {key: recorded[key] for key in config_lib.SECTIONS if key in recorded}
    mesh = sharding.make_mesh(1)
    method = base.from_config(config, inputs.make_dataset(config).labels)
    network: Any = method.segmentor
    if not isinstance(network, InverseTransform):
        raise config_lib.ConfigError(
            f"{workdir} is a run of {config['method']['name']}, and this scores runs "
            "of inverse_transform.InverseTransformPretraining"
        )
    target = inference.predicting(initialization.describe(config, method, mesh))
    with Checkpoints(workdir, read_only=True) as checkpoints:
        state = checkpoints.restore_for_evaluation(target)
    params = jax.tree.map(np.asarray, dict(state.params["segmentor"]))
    return Regression(network, params)


def table(rows: Mapping[str, Figures]) -> str:
    """The figures of several kinds of tiles, below what is asked of the first."""
    width = max(len(name) for name in ("asked of the first", *rows))
    asked = (f"{'<=' if v < 0 else '>='} {abs(v):.2f}" for v in ASKED.values())
    lines = [[""] + list(ASKED), ["asked of the first", *asked]]
    lines += [
        [name, *(f"{found[key]:.3f}" for key in ASKED)] for name, found in rows.items()
    ]
    return "\n".join(
        f"{first:<{width}}" + "".join(f"{cell:>18}" for cell in cells)
        for first, *cells in lines
    )


def _batch(
    network: InverseTransform, side: int, params: Any, key: jax.Array
) -> tuple[jax.Array, ...]:
    draw_key, pair_key = jax.random.split(key)
    labels = scenes.draw(draw_key, BATCH, side)
    true = pairs.outlines(labels, num_classes=scenes.MOST_SHAPES + 1, size=network.tile)
    made = pairs.make(pair_key, true, still_share=STILL_SHARE)
    theta = network.transforms(params, made.predicted, made.true)
    return theta, made.parameters, made.counts, made.is_still, made.is_clean


def main(argv: list[str] | None = None) -> int:
    """Parses the command line, prints the table, writes the file."""
    parser = argparse.ArgumentParser(prog="python -m jaxseg.tools.inverse_transform")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--workdir", help="a run of configs/sazs_inverseform.py")
    source.add_argument(
        "--weights", default="", help="a file; the packaged one if none"
    )
    parser.add_argument("--out", help="the .safetensors file to write, of --workdir")
    parser.add_argument(
        "--pairs", type=int, default=NUM_PAIRS, help="how many to score"
    )
    arguments = parser.parse_args(argv)
    if arguments.out and not arguments.workdir:
        parser.error("--out writes a run's network: give its --workdir")
    try:
        if arguments.workdir:
            regression = from_run(arguments.workdir)
        else:
            regression = inverse_transform.read(arguments.weights)
    except (ValueError, FileNotFoundError, CheckpointError) as error:
        print(error, file=sys.stderr)
        return 2
    tile = regression.network.tile
    sides = {f"{tile} x {tile}": tile} | {
        f"{side} x {side}, enlarged": side for side in (round(tile / 2.7), tile // 5)
    }
    rows = {
        name: figures(regression, num_pairs=arguments.pairs, side=side)
        for name, side in sides.items()
    }
    print(table(rows))
    if arguments.out:
        tensors = inverse_transform.to_tensors(regression.params)
        safetensors.write(arguments.out, tensors)
        print(f"wrote {arguments.out}")
    short = missed(next(iter(rows.values())))
    if short:
        print(f"missed: {', '.join(short)}")
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
