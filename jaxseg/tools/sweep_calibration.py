"""Chooses SPNet's calibration: scores one checkpoint with many values of gamma.

    python -m jaxseg.tools.sweep_calibration --workdir runs/spnet_validation

One pass over the pictures serves all values. Prints a table, and writes it with the
best gamma, by the harmonic mean of seen and unseen IoU, to `WORKDIR/calibration.json`.

A gamma chosen on the classes and pictures of the test is no longer a zero-shot result.
So the run is to be one of a split's `:validation`, whose unseen classes are stand-ins,
as SPNet's authors choose (Xian et al., CVPR 2019); `--classes unseen` scores another
run all the same, and the file says so.
"""

import argparse
import dataclasses
import functools
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from jax.sharding import Mesh

from jaxseg import (
    compilation_cache,
    evaluate,
    inference,
    predict,
    sharding,
    workfolder,
)
from jaxseg.checkpoints import CheckpointError
from jaxseg.config import ConfigError
from jaxseg.data import splits
from jaxseg.methods import base, spnet
from jaxseg.metrics import iou
from jaxseg.metrics.confusion import confusion_matrix
from jaxseg.ops.backward import compiler_options
from jaxseg.protocols.base import Protocol
from jaxseg.state import TrainState
from jaxseg.tools import split_pass

FILE = "calibration.json"
GAMMAS = tuple(i / 20 for i in range(21))
SCORES = ("seen_iou", "unseen_iou", "harmonic_iou", "mean_iou")
HONEST = "validation"
PEEKING = "unseen"


def sweep(
    workdir: str,
    *,
    gammas: Sequence[float] = GAMMAS,
    evaluation: str = "",
    split: str = "",
    classes: str = HONEST,
) -> dict[str, Any]:
    """Scores the newest checkpoint of an SPNet run with each gamma.

    Args:
        workdir: of the run.
        gammas: what to take off the probabilities of seen classes.
        evaluation: whose split and protocol, of the config's `evals`; the first if "".
        split: in place of the evaluation's.
        classes: "validation", for a run whose unseen classes are a split's stand-ins,
            or "unseen", to choose by whatever classes the run had as unseen.

    Returns:
        What `calibration.json` holds: the best `gamma`, what it was `chosen_on`, the
        `step` of the checkpoint, and the `scores` for each gamma.

    Raises:
        ConfigError: if the run is not of SPNet, or its unseen classes are the test's
            and `classes` does not ask for them.
        CheckpointError: if there is no checkpoint.
    """
    config, method = predict.recorded(workdir)
    if not isinstance(method, spnet.SPNet):
        name = type(method).__name__
        raise ConfigError(f"{workdir} is a run of {name}: only SPNet has a gamma")
    check_classes(config, classes)
    spec = dict(predict.find_evaluation(config, evaluation))
    spec["split"] = split or spec["split"]
    mesh = sharding.make_mesh()
    state = evaluate.restore({**config, "init_from": ""}, workdir, method, mesh)
    step = make_count(method, mesh, gammas)
    confusions, _ = split_pass.count_split(config, spec, mesh, state, step)
    rows = [
        {"gamma": float(gamma), **scores_of(confusion, method)}
        for gamma, confusion in zip(gammas, confusions, strict=True)
    ]
    best = max(rows, key=lambda row: row["harmonic_iou"])
    return {
        "gamma": best["gamma"],
        "chosen_on": classes,
        "split": spec["split"],
        "unseen": [method.labels.names[i] for i in method.labels.unseen],
        "step": int(state.step),
        "scores": rows,
    }


def check_classes(config: Mapping[str, Any], classes: str) -> None:
    """Refuses to choose by the unseen classes of the test, unless asked to.

    Raises:
        ConfigError: saying what to train, or to ask for.
    """
    unseen = config["data"].get("unseen", ())
    if classes == PEEKING or splits.is_for_validation(unseen):
        return
    raise ConfigError(
        f"the unseen classes of this run (config.data.unseen={unseen!r}) are those of "
        "the test, and its validation classes were trained on: choose gamma by a run "
        "with config.data.unseen='NAME:validation', or ask for a look at the test's "
        "classes with --classes unseen"
    )


def make_count(
    method: spnet.SPNet, mesh: Mesh, gammas: Sequence[float]
) -> Callable[..., inference.Counts]:
    """Compiles `(state, batch, protocol) -> Counts`, `confusion` int32 [G, C, C].

    The protocol resizes and averages probabilities from which gamma is taken
    afterwards; that is what it makes of those from which it was taken before.
    """
    plain = dataclasses.replace(method, gamma=0.0, zero_label=False)

    def of_rows(state: TrainState, batch: base.Batch, protocol: Protocol) -> jax.Array:
        probabilities = protocol(
            lambda image: plain.predict(state, {"image": image}),
            batch["image"],
            inference.true_size(batch),
            fill=inference.fill_colour(plain),
        )
        valid = batch["valid"][:, None, None]
        truth = jnp.where(valid, batch["label"].astype(jnp.int32), -1)

        def at(gamma: jax.Array) -> jax.Array:
            scores = spnet.calibrated(probabilities, plain.labels.seen, gamma)
            ids = jnp.argmax(scores, axis=-1)
            return confusion_matrix(truth, ids, num_classes=plain.labels.num_classes)

        # One after the other: scores are as large as the probabilities.
        return jax.lax.map(at, jnp.asarray(gammas, jnp.float32))[None]

    def count(
        state: TrainState, batch: base.Batch, protocol: Protocol
    ) -> inference.Counts:
        inference.check_countable(batch["label"].shape)
        rows = functools.partial(of_rows, protocol=protocol)
        confusions = inference.by_device(rows, mesh)(state, batch)
        return inference.Counts(jnp.sum(confusions, axis=0), (), None, None)

    return jax.jit(
        count,
        static_argnames="protocol",
        out_shardings=sharding.replicated(mesh),
        compiler_options=compiler_options(),
    )


def scores_of(confusion: np.ndarray, method: base.Method) -> dict[str, float]:
    """The scores of one gamma that the table shows."""
    labels = method.labels
    scores = iou.scores(confusion, seen=labels.seen, unseen=labels.unseen)
    return {name: float(scores[name]) for name in SCORES}


def table(result: Mapping[str, Any]) -> str:
    """The scores of a sweep by gamma, in percent, as Markdown."""
    lines = [
        f"| gamma | {' | '.join(name.replace('_iou', ' IoU') for name in SCORES)} |",
        "| ---" * (1 + len(SCORES)) + " |",
    ]
    for row in result["scores"]:
        cells = [f"{100 * row[name]:.2f}" for name in SCORES]
        best = " (best)" if row["gamma"] == result["gamma"] else ""
        lines.append(f"| {row['gamma']:g}{best} | {' | '.join(cells)} |")
    return "\n".join(lines)


def verdict(result: Mapping[str, Any]) -> str:
    """A sentence about what was chosen, and by what."""
    classes = f"{len(result['unseen'])} classes of {result['split']!r}"
    if result["chosen_on"] == HONEST:
        how = f"by {classes} that stand in for the unseen ones"
    else:
        how = f"by the unseen {classes} themselves: not a zero-shot result"
    if not max(row["harmonic_iou"] for row in result["scores"]):
        how += "; but no value finds both seen and unseen classes"
    return f"gamma {result['gamma']:g}, chosen {how}"


def parse_gammas(text: str) -> tuple[float, ...]:
    """Reads "0,0.1,0.2".

    Raises:
        argparse.ArgumentTypeError: if one is no number from 0 to 1.
    """
    try:
        gammas = tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"not numbers: {text!r}") from error
    if not all(0 <= gamma <= 1 for gamma in gammas):
        raise argparse.ArgumentTypeError(f"gammas are from 0 to 1: {text!r}")
    return gammas


def main(arguments: Sequence[str] | None = None) -> None:
    """Parses the command line, sweeps, prints and writes.

    Args:
        arguments: in place of the command line's.
    """
    parser = argparse.ArgumentParser(prog="python -m jaxseg.tools.sweep_calibration")
    parser.add_argument("--workdir", required=True, help="folder of the run")
    parser.add_argument(
        "--gammas", type=parse_gammas, default=GAMMAS, help="as 0,0.1; default: 0 to 1"
    )
    parser.add_argument(
        "--evaluation", default="", help="whose protocol; default: the config's first"
    )
    parser.add_argument("--split", default="", help="default: the evaluation's")
    parser.add_argument(
        "--classes",
        choices=(HONEST, PEEKING),
        default=HONEST,
        help="validation: the run's unseen classes are stand-ins, or refuse; unseen: "
        "whatever they are",
    )
    options = vars(parser.parse_args(arguments))
    compilation_cache.enable(None)
    logging.set_verbosity(logging.ERROR)  # Orbax warns that it only reads
    try:
        result = sweep(**options)
    except (ValueError, CheckpointError, FileNotFoundError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
    path = os.path.join(options["workdir"], FILE)
    workfolder.write_json(path, result)
    print(table(result))
    print(f"\n{verdict(result)}; see {path}")


if __name__ == "__main__":
    main()
