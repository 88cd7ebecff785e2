"""Scores a state on the splits that `config.evals` names.

`run` is what `--mode=eval` does; `score` is one pass over one split.
"""

import contextlib
import dataclasses
import functools
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

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
    tally,
    visualize,
    workfolder,
)
from jaxseg.checkpoints import Checkpoints
from jaxseg.data import inputs
from jaxseg.data.labels import LabelSet
from jaxseg.data.source import Dataset, Source
from jaxseg.methods import base
from jaxseg.metrics.confusion import Confusion
from jaxseg.protocols.base import Protocol
from jaxseg.protocols.whole import Whole
from jaxseg.state import TrainState


class Evaluation(NamedTuple):
    """One entry of `config.evals`, made.

    Attributes:
        protocol: how the network is shown the pictures.
        measures: further scores beside those of the confusion matrix.
        step: of `inference.make_count`, compiled when it is first used.
    """

    protocol: Protocol
    measures: tuple[Any, ...]
    step: Callable[..., inference.Counts]


@dataclasses.dataclass(frozen=True, eq=False)
class Evaluator:
    """Scores states of one method on all evaluations of a config.

    Attributes:
        config: a whole config; `evals` and `data` are read.
        dataset: whose splits are scored.
        method: predicts.
        mesh: the devices.
        evaluations: by name.
    """

    config: Mapping[str, Any]
    dataset: Dataset
    method: base.Method
    mesh: Mesh
    evaluations: Mapping[str, Evaluation]

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
        for name in self.evaluations:
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
        spec = self.config["evals"][name]
        batches = inputs.evaluation_batches(
            self.config,
            name,
            self.dataset,
            multiple_of=self.mesh.size,
            process_index=jax.process_index(),
            process_count=jax.process_count(),
        )
        with contextlib.closing(batches):
            counted = tally.accumulate(
                self.evaluations[name].step,
                inference.predicting(state),
                batches,
                mesh=self.mesh,
                protocol=self.evaluations[name].protocol,
                num_pictures=self.config.get("every", {}).get("pictures", 4),
                name=self.dataset.source(spec["split"]).name,
                stop=stop,
            )
            skipped = sharding.sum_of_processes(batches.skipped)
        if counted is None:
            return None
        scores = self._scores(name, counted)
        if skipped:
            scores["skipped_pictures"] = skipped
        self._report(int(state.step), name, scores, counted, report)
        return scores

    def _scores(self, name: str, counted: tally.Tally) -> dict[str, Any]:
        assert counted.totals is not None
        confusion, further = counted.totals
        measures = self.evaluations[name].measures
        return all_scores(
            self.method.labels,
            confusion,
            measures,
            further,
            absent_as_zero=self.config["evals"][name].get("absent_as_zero", False),
        )

    def _report(self, step, name, scores, counted, report) -> None:
        labels, spec = self.method.labels, self.config["evals"][name]
        report.scores(
            step,
            name,
            scores,
            labels,
            split=spec["split"],
            metrics=spec.get("metrics"),
            confusion=counted.totals[0],
            worst=counted.worst,
            best=without(counted.best, counted.worst),
        )
        panels = [
            visualize.panel(picture.image, picture.truth, picture.prediction, labels)
            for picture in counted.first
        ]
        report.pictures(step, name, panels)


@dataclasses.dataclass(frozen=True, eq=False)
class OpenedOnce:
    """A data set whose splits are opened once, since that lists all their files."""

    dataset: Dataset
    opened: dict[str, Source] = dataclasses.field(default_factory=dict)

    @property
    def labels(self) -> LabelSet:
        return self.dataset.labels

    def source(self, split: str) -> Source:
        if split not in self.opened:
            self.opened[split] = self.dataset.source(split)
        return self.opened[split]


def make_evaluator(
    config: Mapping[str, Any], dataset: Dataset, method: base.Method, mesh: Mesh
) -> Evaluator:
    """Makes the evaluator of a run; nothing is compiled before its first use.

    Raises:
        ConfigError: if an evaluation names a score, a protocol or a measure that does
            not exist.
        ValueError or FileNotFoundError: if a split is not there, now rather than at
            the first evaluation.
    """
    dataset = OpenedOnce(dataset)
    # Evaluations that count the same share one step, and so its compiled programs.
    made: dict[str, tuple[tuple[Any, ...], Callable[..., inference.Counts]]] = {}
    evaluations = {}
    for name, spec in config.get("evals", {}).items():
        dataset.source(spec["split"])
        key = repr(spec.get("measures", ()))
        if key not in made:
            measures = make_measures(spec, method)
            made[key] = measures, inference.make_count(method, mesh, measures)
        measures, step = made[key]
        check_metrics(name, spec, method, measures)
        protocol = make_protocol(spec)
        try:
            inference.check_protocol(method, protocol)
        except ValueError as error:
            raise config_lib.ConfigError(f"config.evals.{name}: {error}") from None
        evaluations[name] = Evaluation(protocol, measures, step)
    return Evaluator(config, dataset, method, mesh, evaluations)


def without(
    pictures: Sequence[reporting.ScoredPicture],
    others: Sequence[reporting.ScoredPicture],
) -> list[reporting.ScoredPicture]:
    """Leaves out what is among the others, as in a split of a few pictures."""
    return [picture for picture in pictures if all(picture is not o for o in others)]


def make_protocol(spec: Mapping[str, Any]) -> Protocol:
    """Builds the protocol of an evaluation; the whole picture where none is named.

    Args:
        spec: of `config["evals"]`.
    """
    if "protocol" not in spec:
        return Whole()
    return config_lib.make("protocols", spec["protocol"])


def make_measures(spec: Mapping[str, Any], method: base.Method) -> tuple[Any, ...]:
    """Builds the further measures of an evaluation."""
    return tuple(
        config_lib.make("metrics", measure, labels=method.labels)
        for measure in spec.get("measures", ())
    )


def check_metrics(
    name: str, spec: Mapping[str, Any], method: base.Method, measures: tuple[Any, ...]
) -> None:
    """Refuses an evaluation that asks for a score which nothing computes.

    Raises:
        ConfigError: naming the nearest score there is.
    """
    ids = jax.ShapeDtypeStruct((1, 8, 8), jnp.int32)
    size = jax.ShapeDtypeStruct((1, 2), jnp.int32)
    nothing = [
        jax.tree.map(
            lambda leaf: np.zeros(leaf.shape, np.int64),
            jax.eval_shape(measure.count, ids, ids, size),
        )
        for measure in measures
    ]
    confusion = np.zeros((method.labels.num_classes,) * 2, np.int64)
    scores = all_scores(method.labels, confusion, measures, nothing)
    known = [key for key, value in scores.items() if np.ndim(value) == 0]
    for metric in spec.get("metrics", ()):
        if metric not in known:
            raise config_lib.ConfigError(
                f"config.evals.{name}.metrics has {metric!r}"
                + config_lib.suggest(metric, known)
            )


def all_scores(
    labels: LabelSet,
    confusion: np.ndarray,
    measures: Sequence[Any] = (),
    totals: Sequence[Any] = (),
    *,
    absent_as_zero: bool = False,
) -> dict[str, Any]:
    """The scores of a confusion matrix, and of further measures.

    Args:
        labels: the classes.
        confusion: int64 [C, C].
        measures: what `totals` belong to.
        totals: a PyTree of int64 arrays each.
        absent_as_zero: of `Confusion`.

    Raises:
        ConfigError: if two measures have a score of one name.
    """
    scores = dict(Confusion(labels, absent_as_zero).scores(confusion))
    for measure, counts in zip(measures, totals, strict=True):
        more = measure.scores(counts)
        both = sorted(scores.keys() & more.keys())
        if both:
            raise config_lib.ConfigError(
                f"{type(measure).__name__} has a score that there is already: "
                f"{', '.join(both)}; name each measure once"
            )
        scores |= more
    return scores


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
    vectors = workfolder.read_word_vectors(source_of(config, workdir))
    dataset = inputs.make_dataset(config, word_vectors=vectors)
    method = base.from_config(config, dataset.labels)
    evaluator = make_evaluator(config, dataset, method, mesh)
    is_main = jax.process_index() == 0
    reporting.record_start(workdir, versions=workfolder.versions(), is_main=is_main)
    workfolder.check_shared(workdir, reporting.STARTS)
    with reporting.Report(workdir, is_main=is_main) as report:
        state = restore(config, workdir, method, mesh)
        logging.info("it is the state of step %d", int(state.step))
        results = evaluator(state, report)
    assert results is not None  # nothing asked it to stop
    return results


def source_of(config: Mapping[str, Any], workdir: str) -> str:
    """The run, or the file of weights, whose state is scored; see `restore`."""
    if config.get("init_from") and not workfolder.holds_checkpoint(workdir):
        return workfolder.run_folder(config_lib.expand(config["init_from"]))
    return workdir


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
    source = source_of(config, workdir)
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

    begin = jax.jit(
        lambda: (jnp.zeros((), jnp.int32), jax.random.key(0)),
        out_shardings=(target.step.sharding, target.rng.sharding),
    )
    step, rng = begin()
    # Not drawn by the initialiser: compiling that takes longer than reading the file.
    blank = target.replace(
        step=step,
        rng=rng,
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
    head = getattr(method.segmentor, "head", None)  # what is no segmentor has none
    if not getattr(head, "reads_classes", False):
        lacking -= {"auxiliary", "auxiliary_classifier"}  # for training only
    if lacking:
        raise config_lib.ConfigError(
            f"{source} does not hold the whole network: {', '.join(sorted(lacking))} "
            "would be chance. Train from it first, or name a run or a whole network's "
            "file in config.init_from"
        )
