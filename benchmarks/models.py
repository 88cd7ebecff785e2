"""Published networks against their counterparts in PyTorch, forward and backward.

    pip install 'jaxseg[torch]'
    python -m benchmarks.models [--nets hrnet_w18 ...] [--batch 2] [--size 256 256]

Prints one JSON object a line. Of every network, with the same weights and inputs: the
forward pass in evaluation, and a step's loss and gradients (`step`), by ours, by torch,
and by torch compiled, in turn. `ratio` is how many times longer than ours it takes;
`compile_seconds` is tracing and compiling, for torch its first call. `share_of_matmul`
is the network's arithmetic a second as a share of what a large matrix product reaches
in between. A line sums up against the faster of torch's two.

On a GPU ours computes in bfloat16 and torch channels last with autocast to it, with
8 x 512 x 1024; on a CPU both have float32 and all cores.
"""

import argparse
import importlib.util
import os
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import measure
from jaxseg import models
from jaxseg.losses.cross_entropy import cross_entropy
from jaxseg.ops.backward import compiler_options
from jaxseg.pretrained import load

NUM_CLASSES = 19
PARTS = ("forward", "step")
OURS, TORCH, COMPILED = "ours", "torch", "torch compiled"

# Networks of the catalogue, without dropout and auxiliary heads.
NETS: dict[str, dict[str, Any]] = {
    "deeplabv3_r50": dict(head=dict(dropout=0.0), auxiliary=None),
    "hrnet_w18": dict(head=dict(dropout=0.0), align_corners=False),
    "segformer_b0": dict(backbone=dict(drop_path=0.0, epsilon=1e-5), dropout=0.0),
    "segmenter_s16": dict(backbone=dict(drop_path=0.0), decoder=dict(dropout=0.0)),
}
NORMALISED = dict(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))  # the images are


class Problem(NamedTuple):
    """A network and what it is given.

    Attributes:
        name: a key of `NETS`.
        model: the network.
        variables: its parameters and statistics.
        image: [B, H, W, 3] float32.
        label: [B, H, W] class ids.
    """

    name: str
    model: Any
    variables: Any
    image: np.ndarray
    label: np.ndarray

    def sizes(self) -> dict[str, Any]:
        """What decides the numbers, for their lines."""
        batch, *size, _ = self.image.shape
        parameters = sum(x.size for x in jax.tree.leaves(self.variables["params"]))
        sizes = dict(batch=batch, size=size, classes=NUM_CLASSES)
        return dict(sizes, parameters=parameters, dtype=str(self.model.dtype))


class Programs(NamedTuple):
    """A network's parts, "forward" and "step", with their inputs.

    Attributes:
        run: computes a part and gives the seconds.
        compile_seconds: of each part; empty where nothing is compiled.
        operations: of each part, as our compiler counts them before it optimises.
    """

    run: dict[str, Callable[[], float]]
    compile_seconds: dict[str, float]
    operations: dict[str, float] = {}


def compare(
    name: str,
    batch: int,
    size: tuple[int, int],
    *,
    repeats: int,
    with_torch: bool = True,
    with_compiled: bool = True,
) -> Iterator[dict[str, Any]]:
    """Yields the measurements of one network.

    Args:
        name: a key of `NETS`.
        batch: B.
        size: H and W.
        repeats: of everything.
        with_torch: whether to compare with torch at all.
        with_compiled: whether to have torch compile.
    """
    problem = make(name, batch, size)
    programs: dict[str, Programs] = {}
    reasons: dict[str, str] = {}
    if with_torch:
        problem, programs, reasons = of_torch(problem, with_compiled=with_compiled)
    programs = {OURS: of_ours(problem), **programs}
    medians, rate = time_in_turn(programs, repeats)
    sizes = problem.sizes()
    for (which, part), median in medians.items():
        line = measure.line(
            f"{name}, {part}: {which}",
            sizes,
            median=median,
            images_per_second=batch / median,
            ratio=median / medians[OURS, part],
            share_of_matmul=programs[OURS].operations[part] / median / rate,
        )
        line.pop("peak_memory_mb")  # all of them are in this process
        if part in programs[which].compile_seconds:
            line["compile_seconds"] = round(programs[which].compile_seconds[part], 1)
        yield line
    for which, reason in reasons.items():
        yield measure.not_measured(f"{name}: {which}", sizes, reason)
    if len(programs) > 1:
        yield summary(name, sizes, medians, rate)


def make(name: str, batch: int, size: tuple[int, int]) -> Problem:
    """A network of `NETS` with new weights, and noise."""
    rng = np.random.default_rng(0)
    image = rng.normal(size=(batch, *size, 3)).astype(np.float32)
    label = rng.integers(0, NUM_CLASSES, (batch, *size), dtype=np.int32)
    dtype = "bfloat16" if measure.on_gpu() else "float32"
    model = models.create(
        name, num_classes=NUM_CLASSES, dtype=dtype, **NORMALISED, **NETS[name]
    )
    variables = jax.jit(lambda: model.init(jax.random.key(0), image, train=False))()
    return Problem(name, model, variables, image, label)


def of_ours(problem: Problem) -> Programs:
    """Compiles both parts for inputs that are put on the device."""

    def forward(variables, image):
        return problem.model.apply(variables, image, train=False).logits

    def step(variables, image, label):
        def loss(params):
            outputs, updated = problem.model.apply(
                {**variables, "params": params},
                image,
                train=True,
                mutable=["batch_stats"],
            )
            return cross_entropy(outputs.logits, label), updated

        return jax.value_and_grad(loss, has_aux=True)(variables["params"])

    variables, image, label = jax.device_put(
        (problem.variables, problem.image, problem.label)
    )
    programs = Programs({}, {}, {})
    for function, inputs in ((forward, (image,)), (step, (image, label))):
        part = function.__name__
        began = time.perf_counter()
        lowered = jax.jit(function).lower(variables, *inputs)
        program = lowered.compile(compiler_options())
        programs.compile_seconds[part] = time.perf_counter() - began
        programs.operations[part] = lowered.cost_analysis()["flops"]
        programs.run[part] = measure.timed(program, variables, *inputs)
    return programs


def of_torch(
    problem: Problem, *, with_compiled: bool
) -> tuple[Problem, dict[str, Programs], dict[str, str]]:
    """torch's network, plain and compiled, and its weights in ours.

    Returns:
        The problem with the weights; the programs by name; why others are missing.

    Raises:
        RuntimeError: if the two networks do not compute the same.
    """
    from benchmarks.models_torch import Network, torch

    if measure.on_gpu() and not torch.cuda.is_available():
        reason = "this torch has no CUDA"
        return problem, {}, dict.fromkeys((TORCH, COMPILED), reason)
    inputs = problem.name, NUM_CLASSES, problem.image, problem.label
    plain = Network(*inputs, use_gpu=measure.on_gpu())
    problem = with_weights(problem, plain.tensors())
    check_same(problem, plain.logits(), 0.1 if measure.on_gpu() else 1e-3)
    programs = {TORCH: Programs({part: getattr(plain, part) for part in PARTS}, {})}
    if not with_compiled:
        return problem, programs, {COMPILED: "left out by --no-torch-compile"}
    other = Network(*inputs, use_gpu=measure.on_gpu())
    try:
        seconds = other.compile()
    except Exception as error:  # it depends on much that is outside of torch
        reason = f"torch.compile: {type(error).__name__}: {str(error).splitlines()[0]}"
        return problem, programs, {COMPILED: reason}
    parts = {part: getattr(other, part) for part in PARTS}
    return problem, programs | {COMPILED: Programs(parts, seconds)}, {}


def with_weights(problem: Problem, tensors: dict[str, np.ndarray]) -> Problem:
    """The same with a network's arrays by their published names."""
    params, stats, _ = load.fill(
        tensors,
        problem.model,
        problem.variables["params"],
        problem.variables.get("batch_stats", {}),
        source="torch's network",
    )
    variables = jax.tree.map(jnp.asarray, {"params": params, "batch_stats": stats})
    return problem._replace(variables=variables)


def check_same(problem: Problem, theirs: np.ndarray, tolerance: float) -> None:
    """Raises RuntimeError unless our logits are theirs, relative to the largest."""
    run = jax.jit(lambda *inputs: problem.model.apply(*inputs, train=False).logits)
    ours = np.asarray(run(problem.variables, problem.image))
    difference = np.max(np.abs(ours - theirs)) / np.max(np.abs(theirs))
    if not difference < tolerance:
        raise RuntimeError(f"the networks disagree by {difference:.2g} of the largest")


def time_in_turn(
    programs: dict[str, Programs], repeats: int
) -> tuple[dict[tuple[str, str], float], float]:
    """Medians by program and part, and a matrix product's operations a second."""
    functions: dict[tuple[str, str], Callable[[], float]] = {
        (which, part): run
        for which, program in programs.items()
        for part, run in program.run.items()
    }
    dtype = "bfloat16" if measure.on_gpu() else "float32"
    functions["matmul", ""], operations = measure.product(dtype)
    seconds = measure.in_turn(functions, repeats)
    medians = {key: statistics.median(times) for key, times in seconds.items()}
    return medians, operations / medians.pop(("matmul", ""))


def summary(
    name: str,
    sizes: dict[str, Any],
    medians: dict[tuple[str, str], float],
    rate: float,
) -> dict[str, Any]:
    """How many times as many images a second as the faster torch, for each part."""
    result: dict[str, Any] = {"what": f"{name}: ours against the faster torch"}
    for part in PARTS:
        theirs = {
            which: median
            for (which, of_part), median in medians.items()
            if of_part == part and which != OURS
        }
        faster = min(theirs, key=lambda which: theirs[which])
        times = theirs[faster] / medians[OURS, part]
        result[part] = {"faster": faster, "times_as_fast": round(times, 3)}
    return result | {"sizes": sizes, "matmul_gigaflops": round(rate / 1e9, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nets", nargs="+", choices=NETS, default=list(NETS))
    parser.add_argument("--batch", type=int, help="2, on a GPU 8")
    parser.add_argument("--size", type=int, nargs=2, metavar=("H", "W"))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--no-torch", action="store_true")
    parser.add_argument("--no-torch-compile", action="store_true")
    options = parser.parse_args()
    # torch shares a GPU's memory.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    jax.config.update("jax_enable_compilation_cache", False)  # compiling is measured
    size = options.size or ((512, 1024) if measure.on_gpu() else (256, 256))
    has_torch = importlib.util.find_spec("torch") is not None
    for name in options.nets:
        for line in compare(
            name,
            options.batch or (8 if measure.on_gpu() else 2),
            tuple(size),
            repeats=options.repeats,
            with_torch=has_torch and not options.no_torch,
            with_compiled=not options.no_torch_compile,
        ):
            measure.report(line)


if __name__ == "__main__":
    main()
