"""The training loop, the same for every method; read `train` from top to bottom."""

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
from absl import logging
from jax.sharding import Mesh

from jaxseg import config as config_lib
from jaxseg import hooks, initialization, reporting, sharding, workfolder
from jaxseg.checkpoints import Checkpoints
from jaxseg.data import inputs
from jaxseg.evaluate import make_evaluator
from jaxseg.methods import base
from jaxseg.state import TrainState


def train(config: Mapping[str, Any], workdir: str) -> dict[str, dict[str, Any]]:
    """Trains to `total_steps`, resuming what the work folder holds, and evaluates.

    Args:
        config: a plain nested dict, as `ConfigDict.to_dict()` gives it.
        workdir: receives config, log, metrics, pictures and checkpoints.

    Returns:
        The final scores by evaluation; empty if a signal stopped the run before.

    Raises:
        ConfigError: if the config has an unknown key or name, or the work folder
            belongs to another config.
        TrainingDiverged: if a metric is not finite.
        CheckpointError: if a checkpoint cannot be written, or is of another model.
    """
    config_lib.check(config)
    total_steps, every = config["total_steps"], config.get("every", {})
    mesh = sharding.make_mesh(config.get("num_devices", 0))
    sharding.check_batch_size(
        config["data"]["batch_size"], mesh, key="config.data.batch_size"
    )
    dataset = inputs.make_dataset(config)
    method = base.from_config(config, dataset.labels)
    is_main = jax.process_index() == 0
    if is_main:
        workfolder.claim(config, workdir, dataset.labels)

    with (
        hooks.StopSignal() as stop,
        Checkpoints(workdir) as checkpoints,
        reporting.Report(workdir, is_main=is_main, total_steps=total_steps) as report,
    ):
        state = initialization.initial_state(config, method, mesh, dataset, checkpoints)
        start = int(state.step)
        report.start(start, state.params)
        evaluator = make_evaluator(config, dataset, method, mesh)
        scores: dict[str, dict[str, Any]] | None = None

        host_batches = inputs.training_batches(
            config,
            dataset,
            start_step=start,
            process_index=jax.process_index(),
            process_count=jax.process_count(),
        )
        with contextlib.closing(host_batches):
            steps = range(start + 1, total_steps + 1)
            batches: Iterator[Any] = iter(())
            if steps:
                batches = sharding.prefetch(host_batches, mesh)
                first = next(batches)
                train_step = compile_step(method, mesh, state, first)
                batches = itertools.chain([first], batches)
            log = hooks.TrainingLog(
                report,
                batch_size=config["data"]["batch_size"],
                total_steps=total_steps,
                schedule=base.make_schedule(config),
                start_step=start,
            )

            for step in steps:
                with log.waiting():
                    batch = next(batches)
                with jax.transfer_guard("disallow"):
                    state, metrics = train_step(state, batch)
                log.record(step, metrics)
                report.step(step)

                if hooks.due(every, "log", step, total_steps) or stop():
                    log.write(step, skipped_pictures=host_batches.skipped)
                evaluating = hooks.due(every, "evaluate", step, total_steps)
                saving = hooks.due(every, "checkpoint", step, total_steps)
                if evaluating or saving or stop():
                    log.check()
                    with log.paused():
                        scores = None
                        if evaluating and not stop():
                            scores = evaluator(state, report, stop=stop)
                        checkpoints.save(state, metrics=best_metrics(scores))
                if stop():
                    break

        checkpoints.wait()
        if stop():
            logging.info(
                "stopped by %s: step %d is saved; the same command resumes from there",
                stop.name,
                int(state.step),
            )
            return {}
        if scores is None:
            scores = evaluator(state, report, stop=stop)
    return scores or {}


def compile_step(
    method: base.Method, mesh: Mesh, state: TrainState, batch: base.Batch
) -> Callable[[TrainState, base.Batch], tuple[TrainState, base.Metrics]]:
    """Compiles the step for the shapes and shardings of its arguments, once.

    The state is donated: its memory becomes the next state's. The result refuses
    another shape rather than compile again.
    """
    began = time.perf_counter()
    placed = jax.tree.map(lambda leaf: leaf.sharding, state)
    step = jax.jit(
        method.train_step,
        in_shardings=(placed, sharding.batched(mesh)),
        out_shardings=(placed, sharding.replicated(mesh)),
        donate_argnums=0,
    )
    compiled = step.lower(state, batch).compile()
    logging.info(
        "compiled the step for %d %s device(s) in %.1f s",
        mesh.size,
        jax.default_backend(),
        time.perf_counter() - began,
    )
    return compiled


def best_metrics(
    scores: Mapping[str, Mapping[str, Any]] | None,
) -> dict[str, float] | None:
    """Returns the numbers of the first evaluation, by which a checkpoint is best."""
    if not scores:
        return None
    first = next(iter(scores.values()))
    return {key: float(v) for key, v in first.items() if isinstance(v, (int, float))}
