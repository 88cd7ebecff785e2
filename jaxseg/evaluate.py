"""Scores a state on the splits that `config.evals` names.

`run` is what `--mode=eval` does; `score` is one pass over one split.
"""

import contextlib
import dataclasses
import functools
import os
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from jax.sharding import Mesh

from jaxseg import config as config_lib
from jaxseg import (
    inference,
    initialization,
    models,
    reporting,
    sharding,
    visualize,
    workfolder,
)
from jaxseg.checkpoints import Checkpoints
from jaxseg.data import inputs
from jaxseg.data.source import Dataset
from jaxseg.methods import base
from jaxseg.metrics import iou
from jaxseg.state import TrainState


@dataclasses.dataclass(frozen=True, eq=False)
class Evaluator:
    """Scores states of one method on all evaluations of a config.

    Attributes:
        config: a whole config; `evals` and `data` are read.
        dataset: whose splits are scored.
        method: predicts.
        mesh: the devices.
        count: the compiled step of `inference.make_count`.
    """

    config: Mapping[str, Any]
    dataset: Dataset
    method: base.Method
    mesh: Mesh
    count: Callable[..., tuple[jax.Array, jax.Array]]

    def __call__(
        self,
        state: TrainState,
        report: reporting.Report,
        *,
        stop: Callable[[], bool] = lambda: False,
    ) -> dict[str, dict[str, Any]] | None:
        """Scores a state on every evaluation and reports the scores.

        Args:
            state: with at least the parameters and the running statistics.
            report: of the run.
            stop: asked between batches; when it says so the scoring is abandoned.

        Returns:
            Scores by evaluation, or None if it was stopped.
        """
        results = {}
        for name in self.config.get("evals", {}):
            scores = self.score(name, state, report, stop=stop)
            if scores is None:
                return None
            results[name] = scores
        return results

    def score(
        self,
        name: str,
        state: TrainState,
        report: reporting.Report,
        *,
        stop: Callable[[], bool] = lambda: False,
    ) -> dict[str, Any] | None:
        """Scores one evaluation; see `__call__`."""
        batches = inputs.evaluation_batches(
            self.config,
            name,
            self.dataset,
            multiple_of=self.mesh.size,
            process_index=jax.process_index(),
            process_count=jax.process_count(),
        )
        pictures = self.config.get("every", {}).get("pictures", 4)
        with contextlib.closing(batches):
            confusion, shown = accumulate(
                self.count,
                inference.predicting(state),
                batches,
                mesh=self.mesh,
                num_pictures=pictures,
                stop=stop,
            )
            skipped = batches.skipped
        if confusion is None:
            return None
        labels = self.method.labels
        scores = iou.scores(confusion, seen=labels.seen, unseen=labels.unseen)
        if skipped:
            scores["skipped_pictures"] = skipped
        step = int(state.step)
        spec = self.config["evals"][name]
        report.scores(
            step,
            name,
            scores,
            labels,
            split=spec["split"],
            metrics=spec.get("metrics"),
        )
        panels = [visualize.panel(*example, labels) for example in shown]
        report.pictures(step, name, panels)
        return scores


def make_evaluator(
    config: Mapping[str, Any], dataset: Dataset, method: base.Method, mesh: Mesh
) -> Evaluator:
    """Makes the evaluator of a run; nothing is compiled before its first use.

    Raises:
        ConfigError: if an evaluation names a score that does not exist.
        ValueError or FileNotFoundError: if a split is not there, now rather than at
            the first evaluation.
    """
    labels = method.labels
    nothing = np.zeros((labels.num_classes,) * 2, np.int64)
    scores = iou.scores(nothing, seen=labels.seen, unseen=labels.unseen)
    known = [key for key, value in scores.items() if np.ndim(value) == 0]
    for name, spec in config.get("evals", {}).items():
        dataset.source(spec["split"])
        for metric in spec.get("metrics", ()):
            if metric not in known:
                raise config_lib.ConfigError(
                    f"config.evals.{name}.metrics has {metric!r}"
                    + config_lib.suggest(metric, known)
                )
    count = inference.make_count(method, mesh)
    return Evaluator(config, dataset, method, mesh, count)


Example = tuple[np.ndarray, np.ndarray, np.ndarray]


def accumulate(
    count: Callable[..., tuple[jax.Array, jax.Array]],
    state: TrainState,
    batches: Iterable[Mapping[str, np.ndarray]],
    *,
    mesh: Mesh,
    num_pictures: int = 0,
    stop: Callable[[], bool] = lambda: False,
) -> tuple[np.ndarray | None, list[Example]]:
    """Adds up the confusion of all batches.

    Args:
        count: of `inference.make_count`.
        state: of `inference.predicting`.
        batches: host batches, those of the same shape compile once.
        mesh: the devices.
        num_pictures: how many examples to hand back.
        stop: asked between batches.

    Returns:
        The confusion int64 [C, C], exact for any number of pixels, or None if stopped;
        and the first (image, truth, prediction) triples of this process.
    """
    total: np.ndarray | None = None
    examples: list[Example] = []
    pending = None
    for batch in batches:
        if stop():
            return None, []
        confusion, prediction = count(state, sharding.to_devices(batch, mesh))
        if len(examples) < num_pictures:
            examples += _triples(batch, inference.local_rows(prediction))
        # Reading the batch before this one leaves the devices busy with this one.
        total, pending = _add(total, pending), confusion
    total = _add(total, pending)
    if total is None:
        raise config_lib.ConfigError("the split to evaluate holds no pictures")
    return total, examples[:num_pictures]


def _add(total: np.ndarray | None, counts: jax.Array | None) -> np.ndarray | None:
    if counts is None:
        return total
    exact = np.asarray(counts, np.int64)
    return exact if total is None else total + exact


def _triples(batch: Mapping[str, np.ndarray], predicted: np.ndarray) -> list[Example]:
    rows = zip(batch["image"], batch["label"], predicted, batch["valid"], strict=True)
    return [(image, truth, ids) for image, truth, ids, valid in rows if valid]


def run(config: Mapping[str, Any], workdir: str) -> dict[str, dict[str, Any]]:
    """Restores a state from the work folder, or from `init_from`, and scores it.

    Args:
        config: a plain nested dict.
        workdir: of the run; scores are appended to its `metrics.jsonl`.

    Returns:
        Scores by evaluation.
    """
    config_lib.check(config)
    mesh = sharding.make_mesh(config.get("num_devices", 0))
    dataset = inputs.make_dataset(config)
    method = base.from_config(config, dataset.labels)
    evaluator = make_evaluator(config, dataset, method, mesh)
    with reporting.Report(workdir, is_main=jax.process_index() == 0) as report:
        state = restore(config, workdir, method, mesh)
        logging.info("it is the state of step %d", int(state.step))
        results = evaluator(state, report)
    assert results is not None  # nothing asked it to stop
    return results


def restore(
    config: Mapping[str, Any], workdir: str, method: base.Method, mesh: Mesh
) -> TrainState:
    """Reads parameters and running statistics, no optimiser state and no memory.

    The work folder's newest checkpoint is meant if it holds one, else that of the run
    that `init_from` names, or the file of published weights.

    Raises:
        CheckpointError: if there is neither.
        ConfigError: if the run is of another model or other classes, or the file lacks
            a part of the network, as a backbone's file lacks the classifier.
    """
    source = workdir
    if config.get("init_from") and not workfolder.holds_checkpoint(workdir):
        source = workfolder.run_folder(config_lib.expand(config["init_from"]))
    logging.info("evaluating %s", source)
    target = inference.predicting(initialization.describe(config, method, mesh))
    target = target.replace(
        params={"segmentor": target.params["segmentor"]},
        batch_stats={k: v for k, v in target.batch_stats.items() if k == "segmentor"},
    )
    if os.path.isfile(source):
        return from_file(config, source, method, target)
    check_whole(workfolder.untrained(source), method, source)
    build = functools.partial(models.build, num_classes=method.labels.num_classes)
    workfolder.check_same_model(config, source, method.labels, build=build)
    with Checkpoints(source, read_only=True) as checkpoints:
        return checkpoints.restore_for_evaluation(target)


def from_file(
    config: Mapping[str, Any], path: str, method: base.Method, target: TrainState
) -> TrainState:
    """A state, at step 0, of a file that holds the whole segmentor.

    Args:
        config: a whole config.
        path: of the file.
        method: gives the segmentor.
        target: shapes and places of what prediction reads.

    Raises:
        ConfigError: if the file lacks a part that prediction reads.
    """

    def zeros(tree: Any) -> Any:
        return jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), tree)

    # Not drawn by the initialiser: compiling that takes longer than reading the file.
    blank = target.replace(
        step=jnp.zeros((), jnp.int32),
        rng=jax.random.key(0),
        params=zeros(target.params),
        batch_stats=zeros(target.batch_stats),
    )
    state, report = initialization.from_weights(config, path, method, blank, target)
    check_whole({name.split("/")[1] for name in report.kept}, method, path)
    return state


def check_whole(untrained: Collection[str], method: base.Method, source: str) -> None:
    """Refuses to score weights that lack a part which prediction reads.

    Args:
        untrained: entries of the segmentor that nothing was loaded or trained for.
        method: gives the segmentor.
        source: the file or folder, for the message.

    Raises:
        ConfigError: naming the parts.
    """
    lacking = set(untrained)
    if not getattr(method.segmentor.head, "reads_classes", False):
        lacking -= {"auxiliary", "auxiliary_classifier"}  # for training only
    if lacking:
        raise config_lib.ConfigError(
            f"{source} does not hold the whole network: {', '.join(sorted(lacking))} "
            "would be chance. Train from it first, or name a run or a whole network's "
            "file in config.init_from"
        )
