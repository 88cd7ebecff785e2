"""Cost of one training step, and how much of the data pipeline it hides.

    python -m benchmarks.train_step [--config configs/supervised_camvid.py] [--steps 20]

Prints one JSON object a line: compiling; the step on a batch that is on the device
already; the loader by itself; the step fed by the loader.
"""

import argparse
import contextlib
import functools
import itertools
import runpy
import time
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from benchmarks import measure
from jaxseg import initialization, sharding, train
from jaxseg.data import inputs
from jaxseg.methods import base


def load_config(name: str) -> dict[str, Any]:
    path, _, variant = name.partition(":")
    return runpy.run_path(path)["get_config"](variant).to_dict()


def run(config: dict[str, Any], *, steps: int) -> Iterator[dict[str, Any]]:
    """Yields the measurements of one config, with fresh weights and its own data."""
    mesh = sharding.make_mesh(config.get("num_devices", 0))
    dataset = inputs.make_dataset(config)
    method = base.from_config(config, dataset.labels)
    target = initialization.describe(config, method, mesh)
    state = initialization.fresh(config, method, target)
    batch_size = config["data"]["batch_size"]
    sizes = dict(
        backbone=config["model"]["backbone"]["name"],
        method=config["method"]["name"],
        batch=batch_size,
        crop=config["data"]["crop"],
        devices=mesh.size,
        dtype=config["model"].get("dtype", "float32"),
    )
    line = functools.partial(measure.line, sizes=sizes)

    host_batches = inputs.training_batches(config, dataset, start_step=0)
    with contextlib.closing(host_batches):
        fixed = sharding.to_devices(next(host_batches), mesh)
        began = time.perf_counter()
        step = train.compile_step(method, mesh, state, fixed)
        yield line("trace and compile a step", median=time.perf_counter() - began)

        seconds, state = time_steps(step, state, itertools.repeat(fixed), steps)
        plain = float(np.median(seconds))
        yield line("step", median=plain, images_per_second=batch_size / plain, ratio=1)

        loading = float(np.median(list(time_loader(host_batches, steps))))
        yield line(
            "loader alone",
            median=loading,
            images_per_second=batch_size / loading,
            ratio=loading / plain,
        )

        batches = sharding.Prefetch(host_batches, mesh)
        seconds, state = time_steps(step, state, batches, steps)
        fed = float(np.median(seconds))
        yield line(
            "step fed by the loader",
            median=fed,
            images_per_second=batch_size / fed,
            ratio=fed / plain,
            share_of_loading_hidden=max(1 - max(fed - plain, 0.0) / loading, 0.0),
        )


def time_steps(step, state, batches, steps: int) -> tuple[list[float], Any]:
    """Seconds of each step, with those that its batch is waited for, but for two."""
    seconds = []
    for _ in range(steps + 2):
        began = time.perf_counter()
        state, metrics = step(state, next(batches))
        jax.block_until_ready(metrics)
        seconds.append(time.perf_counter() - began)
    return seconds[2:], state


def time_loader(batches, steps: int) -> Iterator[float]:
    for _ in range(steps):
        began = time.perf_counter()
        next(batches)
        yield time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", default="configs/supervised_camvid.py")
    parser.add_argument("--steps", type=int, default=20)
    options = parser.parse_args()
    for line in run(load_config(options.config), steps=options.steps):
        measure.report(line)


if __name__ == "__main__":
    main()
