"""Scores one checkpoint of SAZS under every rule of fusion, side by side.

    python -m jaxseg.tools.score_fusion --workdir runs/sazs

One pass over the pictures serves all rules. Prints a table, and writes the scores to
`WORKDIR/fusion.json`:

    none        the network alone
    label_free  a class has the eigensegment that overlaps its mask best (the method's)
    soft        the network's logits, smoothed along the graph of patches
    oracle      whichever of mask and eigensegments is nearest to the TRUTH

The oracle is what the authors' evaluation does: it reads the labels of the test, so it
says how good a choice among the candidates could be, not how good a network is.
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
from jaxseg.methods import base
from jaxseg.methods.sazs import alignment
from jaxseg.methods.sazs.method import SAZS
from jaxseg.metrics.confusion import confusion_matrix
from jaxseg.ops.backward import compiler_options
from jaxseg.ops.canvas import inside
from jaxseg.ops.fusion import fuse_oracle
from jaxseg.protocols.base import Protocol
from jaxseg.reporting.metrics_file import strict
from jaxseg.state import TrainState
from jaxseg.tools import split_pass

FILE = "fusion.json"
RULES = ("none", "label_free", "soft", "oracle")


def score(
    workdir: str, *, evaluation: str = "", split: str = "", num_smooth: int = 8
) -> dict[str, Any]:
    """Scores the newest checkpoint of a run of SAZS on episodes.

    Args:
        workdir: of the run.
        evaluation: whose split, protocol and measures, of the config's `evals`; the
            first if "".
        split: in place of the evaluation's.
        num_smooth: eigenvectors of the rule "soft", the constant one among them.

    Returns:
        What `fusion.json` holds: the `step` of the checkpoint, the `split`, and the
        `scores` by rule.

    Raises:
        ConfigError: if the run is not of SAZS, or its pictures are not episodes.
        CheckpointError: if there is no checkpoint.
    """
    config, method = predict.recorded(workdir)
    if not isinstance(method, SAZS):
        name = type(method).__name__
        raise ConfigError(f"{workdir} is a run of {name}: only SAZS has fusion")
    spec = dict(predict.find_evaluation(config, evaluation))
    spec["split"] = split or spec["split"]
    mesh = sharding.make_mesh()
    state = evaluate.restore({**config, "init_from": ""}, workdir, method, mesh)
    measures = evaluate.make_measures(spec, method)
    count = make_count(method, mesh, measures, num_smooth=num_smooth)
    confusions, further = split_pass.count_split(config, spec, mesh, state, count)
    scores = {}
    for i, rule in enumerate(RULES):
        totals = jax.tree.map(lambda total, i=i: total[i], further)
        scores[rule] = evaluate.all_scores(
            method.labels, confusions[i], measures, totals
        )
    return {"step": int(state.step), "split": spec["split"], "scores": scores}


def make_count(
    method: SAZS, mesh: Mesh, measures: Sequence[Any], *, num_smooth: int
) -> Callable[..., inference.Counts]:
    """Compiles `(state, batch, protocol) -> Counts`, with a first axis [R] of rules."""
    num_classes = method.labels.num_classes

    def of_rows(state: TrainState, batch: base.Batch, protocol: Protocol) -> Any:
        if "class_id" not in batch:
            raise ConfigError(
                "the rules are compared on episodes, whose class is told: score a "
                "split of config.data.name='episodes.FewShot'"
            )
        valid = batch["valid"][:, None, None]
        truth = jnp.where(valid, batch["label"].astype(jnp.int32), -1)
        ids = answers(method, state, batch, truth, protocol, num_smooth)
        size = jnp.where(batch["valid"][:, None], inference.true_size(batch), 0)

        def of_rule(ids: jax.Array) -> Any:
            confusion = confusion_matrix(truth, ids, num_classes=num_classes)
            return confusion, tuple(m.count(truth, ids, size) for m in measures)

        counts = [of_rule(ids[rule]) for rule in RULES]
        stacked = jax.tree.map(lambda *rules: jnp.stack(rules), *counts)
        return jax.tree.map(lambda count: count[None], stacked)  # a row a device

    def count(
        state: TrainState, batch: base.Batch, protocol: Protocol
    ) -> inference.Counts:
        inference.check_countable(batch["label"].shape)
        rows = functools.partial(of_rows, protocol=protocol)
        by_device = inference.by_device(rows, mesh)(state, batch)
        confusion, further = jax.tree.map(lambda x: jnp.sum(x, axis=0), by_device)
        return inference.Counts(confusion, further, None, None)

    return jax.jit(
        count,
        static_argnames="protocol",
        out_shardings=sharding.replicated(mesh),
        compiler_options=compiler_options(),
    )


def answers(
    method: SAZS,
    state: TrainState,
    batch: base.Batch,
    truth: jax.Array,
    protocol: Protocol,
    num_smooth: int,
) -> dict[str, jax.Array]:
    """Class ids [B, H, W] by rule; `truth` [B, H, W] serves the oracle alone."""
    image, size = batch["image"], inference.true_size(batch)
    class_id = batch["class_id"]
    own = class_id[:, None, None]

    def network(image: jax.Array) -> jax.Array:
        return method.predict(state, {"image": image, "class_id": class_id})

    def features_of(image: jax.Array) -> jax.Array:
        return method.guide_features(state, image)

    fill = inference.fill_colour(method)
    ids = protocol.class_ids(network, image, size, fill=fill)
    cut = method.segments.of_pictures(features_of, image, size)
    of_fusion = dataclasses.replace(method.fusion, rule="label_free")
    free = of_fusion.refine(
        ids,
        cut,
        class_id,
        valid=inside(size, image.shape[1:3]),
        num_classes=method.labels.num_classes,
        background=method.background,
    )
    labelled = (truth >= 0) & (truth < method.labels.num_classes)
    mask = fuse_oracle(ids == own, cut, truth == own, labelled)
    logits = protocol(network, image, size, fill=fill)
    two = alignment.pair(logits, class_id, background=method.background)
    smooth = method.segments.smoothed(features_of, image, size, two, count=num_smooth)
    wins = smooth[..., 1] > smooth[..., 0]
    return {
        "none": ids,
        "label_free": free,
        "soft": jnp.where(wins, own, method.background),
        "oracle": jnp.where(mask, own, method.background),
    }


def table(result: Mapping[str, Any]) -> str:
    """The scalar scores by rule, as Markdown."""
    scores = result["scores"]
    wanted = ("fold_mean_iou", "fb_iou", "mean_iou", "pixel_accuracy")
    names = [name for name in wanted if name in scores[RULES[0]]]
    lines = [f"| fusion | {' | '.join(names)} |", "| ---" * (1 + len(names)) + " |"]
    for rule in RULES:
        cells = [f"{scores[rule][name]:.4f}" for name in names]
        title = "oracle (reads the labels)" if rule == "oracle" else rule
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Parses the command line, scores, prints and writes.

    Args:
        arguments: in place of the command line's.
    """
    parser = argparse.ArgumentParser(prog="python -m jaxseg.tools.score_fusion")
    parser.add_argument("--workdir", required=True, help="folder of the run")
    parser.add_argument(
        "--evaluation", default="", help="whose protocol; default: the config's first"
    )
    parser.add_argument("--split", default="", help="default: the evaluation's")
    parser.add_argument(
        "--num_smooth", type=int, default=8, help="eigenvectors of the rule soft"
    )
    options = vars(parser.parse_args(arguments))
    compilation_cache.enable(None)
    logging.set_verbosity(logging.ERROR)  # Orbax warns that it only reads
    try:
        result = score(**options)
    except (ValueError, CheckpointError, FileNotFoundError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
    path = os.path.join(options["workdir"], FILE)
    workfolder.write_json(path, strict(result))
    print(table(result))
    print(f"\nstep {result['step']}, split {result['split']!r}; see {path}")


if __name__ == "__main__":
    main()
