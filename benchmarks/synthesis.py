"""CaGNet's synthesis: features per second, the MMD of classes, and mixed fine-tuning.

    pip install 'jaxseg[torch]'
    python -m benchmarks.synthesis [--maps 8] [--side 47] [--repeats 5] [--no-torch]
    python -m benchmarks.synthesis --config CONFIG [--steps 20]

Prints one JSON object a line. First the generator at the published sizes (1200-1024-
960-864-784-720-600, dropout active) on label maps [maps, side, side], in float32 and
bfloat16: ours, and the same weights in plain torch, as 1x1 convolutions on maps, which
is the release's structure, and as linear layers on rows, in turn. `ratio` is how many
times longer than ours it takes; `share_of_matmul` is the arithmetic that the features
need, as a share of what JAX's large matrix product of the same type reaches in between.

Then the MMD of 15 classes of 600 numbers a pixel, with its gradient, against torch's
loops over sets: of a map where each class has 256 pixels, and of as many maps as above
(label squares of 8 x 8), of which ours draws 256 pixels of each class. The loops are
over classes, over classes with as many pixels drawn, and over runs of equal labels in
raster order, which is what the release's loop does.

With `--config`, only a run's steps: `share_in_steps` is the share of a loop's time that
the compiled steps take; the rest is waiting for the loader. For a mixed stage, set its
interval so that both kinds of steps fall into `--steps`.
"""

import argparse
import contextlib
import functools
import importlib.util
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import measure, train_step
from jaxseg import sharding, train
from jaxseg.data import inputs
from jaxseg.losses import mmd
from jaxseg.models.generator import Generator, synthesise
from jaxseg.ops.backward import compiler_options

NUM_CLASSES = 20
WORDS = 600
OURS = "ours"
TORCH = {
    "torch, 1x1 convolutions as released": True,
    "torch, linear layers": False,
}
LOOPS = {
    "torch, loop over classes": "classes",
    "torch, loop over classes, drawn pixels": "drawn",
    "torch, loop over runs as released": "runs",
}
MMD_CLASSES, SLOTS = 15, 256
SQUARE = 8  # of one label, in pixels


class Problem(NamedTuple):
    """A generator with its parameters, and what it is given.

    Attributes:
        generator: at the published sizes, unless told otherwise.
        params: of it, float32.
        table: [C, E] unit vectors.
        class_ids: [B, h, w].
    """

    generator: Generator
    params: Any
    table: np.ndarray
    class_ids: np.ndarray

    def in_type(self, dtype: str) -> "Problem":
        return self._replace(generator=self.generator.clone(dtype=dtype))

    def layers(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Kernels and biases in their order."""
        count = len(self.generator.hidden) + 1
        layers = [self.params[f"layer_{index}"] for index in range(count)]
        return [(np.asarray(x["kernel"]), np.asarray(x["bias"])) for x in layers]

    def operations(self) -> float:
        """Multiplications and additions of all features; words are looked up."""
        generator = self.generator
        widths = (self.table.shape[1], *generator.hidden, generator.features)
        products = sum(a * b for a, b in zip(widths, widths[1:], strict=False))
        return 2.0 * products * self.class_ids.size


def make(maps: int, side: int, **sizes: Any) -> Problem:
    """The generator with new weights, and classes drawn at random."""
    generator = Generator(**sizes)
    rng = np.random.default_rng(0)
    table = rng.normal(size=(NUM_CLASSES, WORDS)).astype(np.float32)
    table /= np.linalg.norm(table, axis=1, keepdims=True)
    class_ids = rng.integers(0, NUM_CLASSES, (maps, side, side), dtype=np.int32)
    variables = jax.jit(functools.partial(generator.init, train=False))(
        jax.random.key(0), table, class_ids[0, :1, 0], table[:1]
    )
    return Problem(generator, variables["params"], table, class_ids)


def synthesis_lines(
    problem: Problem, *, repeats: int, with_torch: bool
) -> Iterator[dict[str, Any]]:
    """Ours, torch's and a large matrix product in turn."""
    dtype = str(problem.generator.dtype)
    functions = {OURS: of_ours(problem)}
    if with_torch:
        functions |= of_torch(problem)
    product, operations = measure.product(dtype)
    seconds = measure.in_turn({**functions, "product": product}, repeats)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    rate = operations / medians.pop("product")
    maps, side, _ = problem.class_ids.shape
    sizes = dict(maps=maps, side=side, hidden=problem.generator.hidden, dtype=dtype)
    for name, median in medians.items():
        yield measure.line(
            f"synthesis: {name}",
            sizes,
            median=median,
            ratio=median / medians[OURS],
            features_per_second=problem.class_ids.size / median,
            share_of_matmul=problem.operations() / median / rate,
            matmul_teraflops=rate / 1e12,
        )


def of_ours(problem: Problem) -> Callable[[], float]:
    """Compiles the synthesis with dropout; each call draws other features."""
    run = jax.jit(functools.partial(synthesise, problem.generator))
    given = jax.device_put((problem.params, problem.table, problem.class_ids))
    params, table, class_ids = given
    keys = [jax.random.key(0)]
    program = run.lower(params, keys[0], table, class_ids).compile(compiler_options())

    def seconds() -> float:
        keys[0] = jax.block_until_ready(jax.random.split(keys[0])[0])
        return measure.timed(program, params, keys[0], table, class_ids)()

    return seconds


def of_torch(problem: Problem) -> dict[str, Callable[[], float]]:
    """torch's forms of the same weights.

    Raises:
        RuntimeError: if one of them makes other features.
    """
    from benchmarks.synthesis_torch import Synthesis

    found = {}
    for name, on_maps in TORCH.items():
        synthesis = Synthesis(
            problem.layers(),
            problem.generator.dropout,
            problem.table,
            problem.class_ids,
            on_maps=on_maps,
            dtype=str(problem.generator.dtype),
            use_gpu=measure.on_gpu(),
        )
        check_same(problem, synthesis.without_dropout)
        found[name] = measure.timed(synthesis)
    return found


def check_same(problem: Problem, theirs: Callable[[np.ndarray], np.ndarray]) -> None:
    """Raises RuntimeError unless both make the same features without dropout."""
    shape = (*problem.class_ids.shape, WORDS)
    latent = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    ours = synthesise(
        problem.generator,
        problem.params,
        jax.random.key(0),
        jnp.asarray(problem.table),
        jnp.asarray(problem.class_ids),
        jnp.asarray(latent),
        train=False,
    )
    difference = float(np.max(np.abs(np.asarray(ours) - theirs(latent))))
    tolerance = 1e-3 if str(problem.generator.dtype) == "float32" else 0.1
    if not difference < tolerance:
        raise RuntimeError(f"the generators' features differ by {difference:.2g}")


class Sets(NamedTuple):
    """Features that an MMD compares.

    Attributes:
        generated: [N, D].
        real: [N, D].
        labels: [N], those of maps one after the other, in raster order.
    """

    generated: np.ndarray
    real: np.ndarray
    labels: np.ndarray

    @property
    def fits(self) -> bool:
        """Whether no class has more pixels than are drawn."""
        return bool(np.bincount(self.labels).max() <= SLOTS)


def one_map() -> Sets:
    """A map of 48 x 80, on which each class has four squares: all that are drawn."""
    order = np.repeat(np.arange(MMD_CLASSES), SLOTS // SQUARE**2)
    squares = np.random.default_rng(0).permutation(order).reshape(6, 10)
    return _in_squares(squares[None], (48, 80))


def many_maps(maps: int, side: int) -> Sets:
    """Maps [maps, side, side] whose squares have classes at random."""
    count = -(-side // SQUARE)
    shape = (maps, count, count)
    squares = np.random.default_rng(0).integers(0, MMD_CLASSES, shape)
    return _in_squares(squares, (side, side))


def _in_squares(squares: np.ndarray, shape: tuple[int, int]) -> Sets:
    pixels = np.kron(squares.astype(np.int32), np.ones((1, SQUARE, SQUARE), np.int32))
    labels = pixels[:, : shape[0], : shape[1]].ravel()
    features = np.random.default_rng(1).uniform(size=(2, len(labels), WORDS))
    return Sets(*features.astype(np.float32), labels)


def mmd_lines(
    sets: Sets, *, repeats: int, with_torch: bool
) -> Iterator[dict[str, Any]]:
    """The MMD of all classes with its gradient, and torch's loops.

    Raises:
        RuntimeError: if the loop over classes finds another loss or gradient, where
            both have all pixels.
    """

    def loss(x: jax.Array, y: jax.Array, of_pixels: jax.Array) -> jax.Array:
        sizes = dict(num_classes=MMD_CLASSES, slots=SLOTS)
        return mmd.mmd_per_class(jax.random.key(0), x, y, of_pixels, **sizes)

    given = jax.device_put(tuple(sets))
    step = jax.jit(jax.value_and_grad(loss)).lower(*given).compile(compiler_options())
    functions = {OURS: measure.timed(step, *given)}
    if with_torch:
        solvers = torch_loops(sets)
        if sets.fits:
            check_same_mmd(step(*given), solvers["torch, loop over classes"]())
        functions |= {name: measure.timed(solve) for name, solve in solvers.items()}
    seconds = measure.in_turn(functions, repeats)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    labels = sets.labels
    runs = 1 + int(np.sum(labels[1:] != labels[:-1]))
    sizes = dict(pixels=len(labels), classes=MMD_CLASSES, slots=SLOTS, dim=WORDS)
    for name, median in medians.items():
        ratio = median / medians[OURS]
        described = sizes | dict(runs=runs)
        yield measure.line(f"MMD: {name}", described, median=median, ratio=ratio)


def torch_loops(sets: Sets) -> dict[str, Callable[[], tuple[float, np.ndarray]]]:
    """torch's loss and gradient by each of its loops."""
    from benchmarks import synthesis_torch

    ways = dict(
        classes=synthesis_torch.classes_in_turn,
        drawn=functools.partial(synthesis_torch.drawn_in_turn, most=SLOTS),
        runs=synthesis_torch.runs_in_turn,
    )
    solver = functools.partial(
        synthesis_torch.mmd_solver,
        *sets,
        mmd.CAGNET_BANDWIDTHS,
        use_gpu=measure.on_gpu(),
    )
    return {name: solver(sets=ways[way]) for name, way in LOOPS.items()}


def check_same_mmd(ours: tuple[Any, Any], theirs: tuple[float, np.ndarray]) -> None:
    """Raises RuntimeError unless both have one loss and one gradient."""
    for what, one, other in zip(("losses", "gradients"), ours, theirs, strict=True):
        scale = np.max(np.abs(other))
        difference = float(np.max(np.abs(np.asarray(one) - other)) / scale)
        if not difference < 1e-3:
            raise RuntimeError(f"the {what} differ by {difference:.2g} of the largest")


def steps_line(config: Mapping[str, Any], *, steps: int) -> dict[str, Any]:
    """How much of a training loop's time its compiled steps take.

    The loop has the loader of `train`, no evaluation and no log, and is under a guard
    that refuses to move anything between device and host. It waits for each step, so
    that the time beside the steps is what a loop that runs ahead can still hide.
    """
    config = dict(config)
    mesh = sharding.make_mesh(config.get("num_devices", 0))
    dataset = inputs.make_dataset(config)
    host_batches = inputs.training_batches(config, dataset, start_step=0)
    with contextlib.closing(host_batches):
        batches = sharding.Prefetch(host_batches, mesh)
        batch = next(batches)
        method, state = train_step.fresh(config, dataset, mesh)
        step = train.compile_step(
            method, mesh, state, batch, prepare=inputs.device_augmentation(config)
        )
        in_steps, began = 0.0, time.perf_counter()
        for _ in range(steps):
            batch = next(batches)
            fed = time.perf_counter()
            with jax.transfer_guard("disallow"):
                state, _metrics = jax.block_until_ready(step(state, batch))
            in_steps += time.perf_counter() - fed
        whole = time.perf_counter() - began
    return measure.line(
        "a training loop",
        train_step.describe(config, mesh) | dict(steps=steps),
        mean=whole / steps,
        share_in_steps=in_steps / whole,
    )


def no_torch() -> str:
    """Why there is nothing to compare with; empty if there is."""
    if importlib.util.find_spec("torch") is None:
        return "torch is not installed: pip install 'jaxseg[torch]'"
    import torch

    if measure.on_gpu() and not torch.cuda.is_available():
        return "this torch has no CUDA"
    return ""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--maps", type=int, default=8)
    parser.add_argument("--side", type=int, default=47)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--no-torch", action="store_true")
    parser.add_argument("--config", help="path:variant of a run to time, alone")
    parser.add_argument("--steps", type=int, default=20, help="of that run")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="another value for a key of the config, as 'method.interval=(5, 5)'",
    )
    options = parser.parse_args()
    if options.config:
        config = train_step.load_config(options.config, options.set)
        measure.report(steps_line(config, steps=options.steps))
        return
    reason = "left out by --no-torch" if options.no_torch else no_torch()
    given = dict(repeats=options.repeats, with_torch=not reason)
    problem = make(options.maps, options.side)
    for dtype in ("float32", "bfloat16"):
        for line in synthesis_lines(problem.in_type(dtype), **given):
            measure.report(line)
    for sets in (one_map(), many_maps(options.maps, options.side)):
        for line in mmd_lines(sets, **given):
            measure.report(line)
    if reason:
        for name in (*TORCH, *LOOPS):
            measure.report(measure.not_measured(name, {}, reason))


if __name__ == "__main__":
    main()
