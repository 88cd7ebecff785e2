"""Cost of one training step, and how much of the data pipeline it hides.

    python -m benchmarks.train_step [--steps 20]
    python -m benchmarks.train_step --config CONFIG [--compare] [--set KEY=VALUE]

Prints one JSON object a line: compiling; the step on a batch that is on the device
already; the loader by itself; the step fed by the loader. For a config of PiCo also
what contrast adds to a step: cross entropy alone, contrast with the batch, also with
40 000 columns of the memory (semi-hard examples and mixes), also with all of it
exactly, in turn, on one batch that is on the device already; with `--compare` only
that. `beyond_plain_mb` is what the compiled step takes beyond the one with cross
entropy alone, the memory itself (`memory_mb`) not counted. Without a config, the first
is of configs/supervised_camvid.py, the second of configs/pico_camvid.py with more
anchors than it trains with, up to 1024.
A config whose pictures are not at hand runs on the embedded scenes of the same crop
with `--scenes`; these have 10 classes, so with as many entries as Cityscapes' 19 have:

    python -m benchmarks.train_step --compare --scenes --steps 3 \
        --config configs/pico_cityscapes.py:hrnet_w48 --set data.batch_size=2 \
        --set method.region_size=5652 --set method.pixel_size=56525
"""

import argparse
import ast
import contextlib
import functools
import itertools
import runpy
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from benchmarks import measure
from jaxseg import initialization, sharding, train
from jaxseg.data import inputs
from jaxseg.data.source import Dataset
from jaxseg.methods import base
from jaxseg.methods.pico.variants import ABLATIONS
from jaxseg.state import TrainState

PLAIN = "configs/supervised_camvid.py"
COMPARED = "configs/pico_camvid.py"
# By these most of the batch's 1024 slots, in four groups, hold an anchor.
COMPARED_WITH = ("method.max_samples=256", "method.max_views=100")
# What of PiCo each row changes; the contrast is in every step that is timed.
ROWS: dict[str, dict[str, Any]] = {
    "step, cross entropy": ABLATIONS["cross_entropy"],
    "step, contrast with the batch": ABLATIONS["batch"] | dict(warmup_steps=0),
    "step, contrast with batch and 40 000 columns": dict(
        contrast_set="both",
        example_mode="semi_hard",
        bank_columns=40_000,
        warmup_steps=0,
    ),
    "step, contrast with batch and memory": ABLATIONS["both"] | dict(warmup_steps=0),
}
ENOUGH_ANCHORS = 900  # with few, contrast would be cheap


def load_config(name: str, changes: Iterable[str] = ()) -> dict[str, Any]:
    """A config by its path and variant, with changes such as `method.max_views=40`."""
    path, _, variant = name.partition(":")
    config = runpy.run_path(path)["get_config"](variant)
    for change in changes:
        key, _, value = change.partition("=")
        config.update_from_flattened_dict({key: ast.literal_eval(value)})
    return config.to_dict()


def run(config: dict[str, Any], *, steps: int) -> Iterator[dict[str, Any]]:
    """Yields the measurements of one config, with fresh weights and its own data."""
    mesh = sharding.make_mesh(config.get("num_devices", 0))
    dataset = inputs.make_dataset(config)
    method, state = fresh(config, dataset, mesh)
    batch_size = config["data"]["batch_size"]
    line = functools.partial(measure.line, sizes=describe(config, mesh))

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


def compare(config: dict[str, Any], *, steps: int) -> Iterator[dict[str, Any]]:
    """Yields a line for each of `ROWS`, `ratio` to the first.

    The memory begins empty; slots that are not filled cost what filled ones do.

    Raises:
        SystemExit: if the config has no contrast, or the timed steps few anchors.
    """
    spec = config["method"]
    if not has_contrast(config):
        raise SystemExit(f"--compare needs a config with PiCo's contrast, not {spec}")
    mesh = sharding.make_mesh(config.get("num_devices", 0))
    dataset = inputs.make_dataset(config)
    host_batches = inputs.training_batches(config, dataset, start_step=0)
    with contextlib.closing(host_batches):
        batch = sharding.to_devices(next(host_batches), mesh)
    configs = {name: {**config, "method": spec | row} for name, row in ROWS.items()}
    beyond: dict[str, dict[str, float]] = {}
    steps_by_name = {}
    for name, changed in configs.items():
        advance, use = timed_step(changed, dataset, mesh, batch)
        steps_by_name[name], beyond[name] = advance, use
    results = measure.in_turn(steps_by_name, steps)

    batch_size = config["data"]["batch_size"]
    medians = {
        name: statistics.median(seconds for seconds, _ in result)
        for name, result in results.items()
    }
    for name, result in results.items():
        yield measure.line(
            name,
            describe(configs[name], mesh),
            median=medians[name],
            images_per_second=batch_size / medians[name],
            ratio=medians[name] / medians[next(iter(ROWS))],
            memory_mb=beyond[name]["memory"] / 2**20,
            beyond_plain_mb=(
                beyond[name]["temporaries"] - beyond[next(iter(ROWS))]["temporaries"]
            )
            / 2**20,
            **contrast_metrics([metrics for _, metrics in result]),
        )


def on_scenes(config: dict[str, Any]) -> dict[str, Any]:
    """The config with embedded pictures of its crop's size, and its batch size."""
    (height, width), batch_size = config["data"]["crop"], config["data"]["batch_size"]
    data = dict(
        name="scenes.Scenes",
        height=height,
        width=width,
        num_train=batch_size,
        batch_size=batch_size,
        crop=(height, width),
    )
    method = config["method"] | dict(class_weights=())
    return config | dict(data=data, method=method)


def has_contrast(config: dict[str, Any]) -> bool:
    spec = config["method"]
    return spec["name"] == "pico.PiCo" and bool(spec.get("contrast_weight", True))


def timed_step(
    config: dict[str, Any], dataset: Dataset, mesh: Mesh, batch: base.Batch
) -> tuple[Callable[[], tuple[float, base.Metrics]], dict[str, float]]:
    """Compiles a step; each call does the next one, and gives seconds and metrics.

    Returns:
        The call, and bytes: of the memory, and of the compiled step's temporaries.

    Raises:
        SystemExit: by a call, if a step with contrast has few anchors.
    """
    method, state = fresh(config, dataset, mesh)
    step = train.compile_step(method, mesh, state, batch)
    states = [state]

    def advance() -> tuple[float, base.Metrics]:
        began = time.perf_counter()
        states[0], metrics = jax.block_until_ready(step(states[0], batch))
        seconds = time.perf_counter() - began
        num_anchors = int(metrics.get("valid_anchors", ENOUGH_ANCHORS))
        if num_anchors < ENOUGH_ANCHORS:
            raise SystemExit(
                f"a step has {num_anchors} valid anchors, fewer than {ENOUGH_ANCHORS}: "
                "raise max_samples or max_views, or the batch, as by "
                "--set method.max_views=40 --set data.batch_size=16"
            )
        return seconds, metrics

    compiled: Any = step
    use = dict(
        memory=sum(leaf.nbytes for leaf in jax.tree.leaves(state.memory)),
        temporaries=compiled.memory_analysis().temp_size_in_bytes,
    )
    return advance, use


def contrast_metrics(metrics: list[base.Metrics]) -> dict[str, float]:
    """What the contrast had to do, the least of all steps; nothing without contrast."""
    return {
        key: min(float(of_step[key]) for of_step in metrics)
        for key in ("valid_anchors", "qualified_pairs", "bank_fill")
        if key in metrics[0]
    }


def fresh(
    config: dict[str, Any], dataset: Dataset, mesh: Mesh
) -> tuple[base.Method, TrainState]:
    method = base.from_config(config, dataset.labels)
    target = initialization.describe(config, method, mesh)
    return method, initialization.fresh(config, method, target)


def describe(config: dict[str, Any], mesh: Mesh) -> dict[str, Any]:
    spec = config["method"]
    contrast = ("group_size", "max_samples", "max_views", "region_size", "pixel_size")
    return dict(
        {key: spec[key] for key in contrast if key in spec},
        backbone=config["model"]["backbone"]["name"],
        method=spec["name"],
        batch=config["data"]["batch_size"],
        crop=config["data"]["crop"],
        devices=mesh.size,
        dtype=config["model"].get("dtype", "float32"),
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
    parser.add_argument("--config", help="default: of CamVid, see above")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--compare", action="store_true", help="only contrast's cost")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="another value for a key of the config, as method.max_views=40",
    )
    parser.add_argument(
        "--scenes", action="store_true", help="embedded pictures in place of the data"
    )
    options = parser.parse_args()
    plain = load_config(options.config or PLAIN, options.set if options.config else [])
    compared = plain
    if options.config is None:
        compared = load_config(COMPARED, [*COMPARED_WITH, *options.set])
    if options.scenes:
        plain, compared = on_scenes(plain), on_scenes(compared)
    if not options.compare:
        for line in run(plain, steps=options.steps):
            measure.report(line)
    if options.compare or has_contrast(compared):
        for line in compare(compared, steps=options.steps):
            measure.report(line)


if __name__ == "__main__":
    main()
