"""The training loop, the same for every method; read `train`, then `run_steps`."""

import contextlib
import dataclasses
import itertools
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from absl import logging
from jax.sharding import Mesh

from jaxseg import config as config_lib
from jaxseg import hooks, initialization, peers, reporting, sharding, workfolder
from jaxseg.checkpoints import CheckpointError, Checkpoints
from jaxseg.data import inputs, zero_shot
from jaxseg.data.source import Dataset
from jaxseg.evaluate import Evaluator, make_evaluator
from jaxseg.methods import base
from jaxseg.ops.backward import compiler_options
from jaxseg.state import TrainState

Scores = Mapping[str, Mapping[str, Any]]


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """What stays the same from the first step of a run to its last."""

    config: Mapping[str, Any]
    mesh: Mesh
    dataset: Dataset
    method: base.Method
    evaluator: Evaluator
    checkpoints: Checkpoints
    report: reporting.Report
    stop: hooks.StopSignal


def train(
    config: Mapping[str, Any],
    workdir: str,
    *,
    line: peers.Alone | None = None,
    part: reporting.Part | None = None,
) -> dict[str, dict[str, Any]]:
    """Trains to `total_steps`, resuming what the work folder holds, and evaluates.

    Args:
        config: a plain nested dict, as `ConfigDict.to_dict()` gives it.
        workdir: receives config, log, metrics, pictures and checkpoints.
        line: to the other processes of the run; None for a process by itself.
        part: which part of a longer work the run is, for its progress line.

    Returns:
        The final scores by evaluation; empty if a signal stopped the run before.

    Raises:
        ConfigError: if the config has an unknown key or name, or the work folder
            belongs to another config.
        TrainingDiverged: if a metric is not finite.
        CheckpointError: if a checkpoint cannot be written, or is of another model.
    """
    mesh, dataset, method, evaluator = prepare(config)
    protocol = zero_shot_protocol(config, method)
    is_main = jax.process_index() == 0
    if is_main:
        workfolder.claim(config, workdir, dataset.labels, protocol=protocol)
    reporting.record_start(workdir, versions=workfolder.versions(), is_main=is_main)
    workfolder.check_shared(workdir, reporting.STARTS)
    with (
        hooks.StopSignal(line) as stop,
        Checkpoints(workdir, metadata=protocol) as checkpoints,
        reporting.Report(
            workdir,
            is_main=is_main,
            total_steps=config["total_steps"],
            profile_at=config.get("every", {}).get("profile", 0),
            part=part,
        ) as report,
    ):
        run = Run(config, mesh, dataset, method, evaluator, checkpoints, report, stop)
        scores = train_and_score(run)
    return {name: dict(values) for name, values in (scores or {}).items()}


def train_and_score(run: Run) -> Scores | None:
    """What happens within the run's context managers: all the steps, and the scores.

    Returns:
        The final scores; None if a signal stopped the run before.
    """
    config, stop, checkpoints = run.config, run.stop, run.checkpoints
    state = initialization.initial_state(
        config, run.method, run.mesh, run.dataset, checkpoints
    )
    start = int(state.step)
    run.report.start(start, state.params)
    scores: Scores | None = None
    due = start > 0 and hooks.due(config, "evaluate", start)
    if due and not checkpoints.has_scores(start):
        # A signal came between this step and its scores. They are reported, but a
        # checkpoint that is there is not written again to attach them.
        scores = run.evaluator(state, run.report, stop=stop)
    if start < config["total_steps"] and not stop():
        state, scores = run_steps(run, state)
    checkpoints.wait()
    if not stop() and scores is None:
        scores = run.evaluator(state, run.report, stop=stop)
    if not stop():
        return scores
    saved = checkpoints.latest_step
    logging.info(
        "stopped by %s: %s",
        stop.name,
        "no step was done yet"
        if saved is None
        else f"step {saved} is saved; the same command resumes from there",
    )
    return None


def prepare(
    config: Mapping[str, Any],
) -> tuple[Mesh, Dataset, base.Method, Evaluator]:
    """Builds what a run is made of; nothing is written and nothing compiled.

    Raises:
        ConfigError: of all that can be told before a run begins.
    """
    config_lib.check(config)
    mesh = sharding.make_mesh(config.get("num_devices", 0))
    sharding.check_batch_size(
        config["data"]["batch_size"], mesh, key="config.data.batch_size"
    )
    dataset = inputs.make_dataset(config)
    method = base.from_config(config, dataset.labels)
    check_supervision(config, method)
    declared_protocol(config, method)
    return mesh, dataset, method, make_evaluator(config, dataset, method, mesh)


def check_supervision(config: Mapping[str, Any], method: base.Method) -> None:
    """Refuses to hide from a method what it must see, or to give what it never reads.

    Raises:
        ConfigError: saying what to set.
    """
    hidden = config["data"].get("supervision", "masks") == "image_labels"
    if hidden and not method.reads_image_labels:
        raise config_lib.ConfigError(
            "config.data.supervision='image_labels' hides all masks, and "
            f"{type(method).__name__} learns from masks only: set 'masks', or choose a "
            "method that reads image labels"
        )
    if config.get("word_vectors") and not method.reads_word_vectors:
        raise config_lib.ConfigError(
            f"{type(method).__name__} reads no word vectors: leave out "
            "config.word_vectors, or choose a zero-shot method"
        )
    shown = config["data"].get("train_images", zero_shot.DEFAULT) == "keep_unseen"
    if method.reads_unseen_labels and not shown:
        raise config_lib.ConfigError(
            f"config.method makes {type(method).__name__} learn where unseen classes "
            "are, and config.data.train_images hides it: set 'keep_unseen' to compare "
            "with published numbers; the result is not zero-shot in the strict sense"
        )


def declared_protocol(config: Mapping[str, Any], method: base.Method) -> dict[str, Any]:
    """What a zero-shot run by itself is told, {} of another.

    Raises:
        ConfigError: if the config contradicts it.
    """
    return zero_shot.protocol(
        config,
        method.labels,
        self_training=method.self_training,
        zero_label=method.zero_label,
        reads_unseen_labels=method.reads_unseen_labels,
    )


def zero_shot_protocol(
    config: Mapping[str, Any], method: base.Method
) -> dict[str, Any]:
    """What to record of a zero-shot run, {} of another; the log says it too.

    Where `init_from` is a run's folder, what that run was told counts as well.
    """
    protocol = declared_protocol(config, method)
    if not protocol:
        return {}
    source = workfolder.run_folder(config_lib.expand(config.get("init_from", "")))
    recorded = workfolder.read_config(source) if config.get("init_from") else None
    if recorded is not None:
        earlier = recorded.get(workfolder.PROTOCOL, {})
        names = recorded.get("id2label", {}).values()
        leaked = zero_shot.labelled_before(protocol, names, earlier)
        if leaked:
            logging.warning(
                "not zero-shot: the run of init_from, %s, had labels of the unseen "
                "classes %s",
                source,
                ", ".join(leaked),
            )
        protocol = zero_shot.after(protocol, earlier)
    logging.info("%s", zero_shot.in_words(protocol))
    return protocol


def run_steps(run: Run, state: TrainState) -> tuple[TrainState, Scores | None]:
    """Does the steps that are left, until the last one or a signal.

    Args:
        run: all that surrounds the steps.
        state: where to begin.

    Returns:
        The last state, which is saved, and its scores if it was evaluated.
    """
    host_batches = inputs.training_batches(
        run.config,
        run.dataset,
        start_step=int(state.step),
        process_index=jax.process_index(),
        process_count=jax.process_count(),
        reads_unseen_labels=run.method.reads_unseen_labels,
    )
    with contextlib.closing(host_batches):
        batches = sharding.Prefetch(host_batches, run.mesh)
        return steps_over(run, state, batches)


def steps_over(
    run: Run, state: TrainState, batches: sharding.Prefetch
) -> tuple[TrainState, Scores | None]:
    """Does the steps that are left over batches that are on their way already."""
    config, start = run.config, int(state.step)
    scores: Scores | None = None
    first = next(batches)
    prepare = inputs.device_augmentation(config)
    train_step = compile_step(run.method, run.mesh, state, first, prepare=prepare)
    run.stop.line.wait_for_all()
    stream = itertools.chain([first], batches)
    log = hooks.TrainingLog(
        run.report,
        batch_size=config["data"]["batch_size"],
        total_steps=config["total_steps"],
        schedule=base.make_schedule(config),
        start_step=start,
        warnings=run.method.warnings,
    )
    try:
        for step in range(start + 1, config["total_steps"] + 1):
            with log.waiting():
                batch = next(stream)
            with jax.transfer_guard("disallow"):
                state, metrics = train_step(state, batch)
            log.record(step, metrics)
            run.report.step(step)

            stopping = run.stop()
            if hooks.due(config, "log", step) or stopping:
                skipped = sharding.sum_of_processes(batches.skipped)
                log.write(step, skipped_pictures=skipped)
            evaluating = hooks.due(config, "evaluate", step) and not stopping
            if evaluating or stopping or hooks.due(config, "checkpoint", step):
                scores = score_and_save(run, state, log, evaluating=evaluating)
                if run.stop():  # only here, where the step is saved
                    break
    except (hooks.TrainingDiverged, CheckpointError):
        raise
    except Exception as error:
        if jax.process_count() > 1:
            raise  # to save takes all processes, and the others are in a step
        save_steps_done(run, state, log, start)
        if not run.stop():
            raise
        # Worker processes may have died of the same signal.
        logging.warning("while stopping: %s: %s", type(error).__name__, error)
    return state, scores


def score_and_save(
    run: Run, state: TrainState, log: hooks.TrainingLog, *, evaluating: bool
) -> Scores | None:
    """Evaluates a state if it is time to, and begins to save it with the scores."""
    log.check()
    scores = None
    with log.paused():
        if evaluating:
            scores = run.evaluator(state, run.report, stop=run.stop)
        run.checkpoints.save(state, metrics=best_metrics(scores))
    return scores


def save_steps_done(
    run: Run, state: TrainState, log: hooks.TrainingLog, start: int
) -> None:
    """Saves what was learnt before an error, as of a picture, that is not the steps'.

    A state whose step failed is gone, since its memory was donated to the step.
    """
    if any(leaf.is_deleted() for leaf in jax.tree.leaves(state)):
        return
    if int(state.step) > start:
        log.check()
        run.checkpoints.save(state)
        run.checkpoints.wait()
        logging.info("step %d is saved", int(state.step))


def compile_step(
    method: base.Method,
    mesh: Mesh,
    state: TrainState,
    batch: base.Batch,
    *,
    prepare: Callable[[Any], base.Batch] = dict,
) -> Callable[[TrainState, base.Batch], tuple[TrainState, base.Metrics]]:
    """Compiles the step for the shapes and shardings of its arguments, once.

    The state is donated: its memory becomes the next state's. The result refuses
    another shape rather than compile again.

    Args:
        method: whose step it is.
        mesh: the devices.
        state: placed as all states will be.
        batch: of the shapes of all batches.
        prepare: what the program does to a batch before the step, such as
            `inputs.device_augmentation`.
    """

    def train_step(
        state: TrainState, batch: base.Batch
    ) -> tuple[TrainState, base.Metrics]:
        return method.train_step(state, prepare(batch))

    began = time.perf_counter()
    placed = jax.tree.map(lambda leaf: leaf.sharding, state)
    step = jax.jit(
        train_step,
        in_shardings=(placed, sharding.batched(mesh)),
        out_shardings=(placed, sharding.replicated(mesh)),
        donate_argnums=0,
    )
    with jax.set_mesh(mesh):
        compiled = step.lower(state, batch).compile(compiler_options())
    logging.info(
        "compiled the step for %d %s device(s) in %.1f s",
        mesh.size,
        jax.default_backend(),
        time.perf_counter() - began,
    )
    return compiled


def best_metrics(scores: Scores | None) -> dict[str, float] | None:
    """Returns the numbers by which a checkpoint is best: of the evaluation "val".

    Without one of that name they are the first evaluation's. None if the mean IoU is
    not defined, as on a split without labels.
    """
    if not scores:
        return None
    chosen = scores.get("val", next(iter(scores.values())))
    numbers = {k: float(v) for k, v in chosen.items() if np.ndim(v) == 0}
    return numbers if np.isfinite(numbers["mean_iou"]) else None
