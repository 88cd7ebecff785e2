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

# Without dropout and auxiliary heads; images come normalised.
COMMON = dict(
    name="segmentor.Segmentor", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), dtype=""
)
SPECS: dict[str, dict[str, Any]] = {
    "deeplabv3_resnet50": dict(
        backbone=dict(name="backbones.resnet.ResNet", depth=50, output_stride=8),
        head=dict(
            name="heads.deeplabv3.DeepLabV3",
            rates=(12, 24, 36),
            refine=True,
            refine_relu=True,
        ),
    ),
    "hrnet_w18": dict(
        backbone=dict(name="backbones.hrnet.HRNet", width=18),
        head=dict(
            name="heads.fcn.FCN", features=270, stages=(0, 1, 2, 3), use_bias=True
        ),
        classifier_bias=False,
    ),
    "segformer_b0": dict(
        backbone=dict(name="backbones.mit.MiT", drop_path=0.0, epsilon=1e-5),
        head=dict(name="heads.segformer.SegFormer", features=256, dropout=0.0),
    ),
    "segmenter_vit_s": dict(
        backbone=dict(
            name="backbones.vit.ViT",
            width=384,
            num_heads=6,
            image_grid=(32, 32),
            position_resize="bilinear",
            pad=True,
            epsilon=1e-5,
        ),
        head=dict(name="heads.identity.Identity"),
        decoder=dict(name="heads.segmenter.MaskTransformer", dropout=0.0),
        size_divisor=16,
    ),
}


class Ours(NamedTuple):
    """Our network, compiled with its inputs.

    Attributes:
        run: computes "forward" or "step".
        compile_seconds: of each.
        operations: of each, as the compiler counts them before it optimises.
    """

    run: dict[str, Callable[[], Any]]
    compile_seconds: dict[str, float]
    operations: dict[str, float]


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
        name: a key of `SPECS`.
        batch: B.
        size: H and W.
        repeats: of everything.
        with_torch: whether to compare with torch at all.
        with_compiled: whether to have torch compile.
    """
    use_gpu = jax.default_backend() == "gpu"
    dtype = "bfloat16" if use_gpu else "float32"
    rng = np.random.default_rng(0)
    image = rng.normal(size=(batch, *size, 3)).astype(np.float32)
    label = rng.integers(0, NUM_CLASSES, (batch, *size), dtype=np.int32)
    model = models.build(COMMON | SPECS[name] | {"dtype": dtype}, num_classes=19)
    variables = jax.jit(lambda: model.init(jax.random.key(0), image, train=False))()
    parameters = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    sizes = dict(batch=batch, size=size, classes=19, parameters=parameters, dtype=dtype)

    theirs: dict[str, Any] = {}
    reasons = {}
    if with_torch:
        variables, theirs, reasons = torch_networks(
            name, image, label, model, variables, with_compiled=with_compiled
        )
    ours = compiled(model, variables, image, label)
    functions = {(OURS, part): measure.timed(run) for part, run in ours.run.items()}
    for which, (network, _) in theirs.items():
        functions |= {(which, part): getattr(network, part) for part in PARTS}
    multiply, product_operations = product(use_gpu)
    seconds = measure.in_turn(functions | {("matmul", ""): multiply}, repeats)

    medians = {key: statistics.median(times) for key, times in seconds.items()}
    rate = product_operations / medians.pop(("matmul", ""))
    compiling = {OURS: ours.compile_seconds}
    compiling |= {which: seconds for which, (_, seconds) in theirs.items()}
    for (which, part), median in medians.items():
        numbers = {"compile_seconds": compiling[which].get(part, 0.0)}
        line = measure.line(
            f"{name}, {part}: {which}",
            sizes,
            median=median,
            images_per_second=batch / median,
            ratio=median / medians[OURS, part],
            share_of_matmul=ours.operations[part] / median / rate,
            **{key: value for key, value in numbers.items() if value},
        )
        line.pop("peak_memory_mb")  # all of them are in this process
        yield line
    for which, reason in reasons.items():
        yield measure.not_measured(f"{name}: {which}", sizes, reason)
    if theirs:
        yield summary(name, sizes, medians, rate)


def compiled(model: Any, variables: Any, image: np.ndarray, label: np.ndarray) -> Ours:
    """Compiles our network's two parts for inputs that are put on the device."""

    def forward(variables, image):
        return model.apply(variables, image, train=False).logits

    def step(variables, image, label):
        def loss(params):
            outputs, updated = model.apply(
                {**variables, "params": params},
                image,
                train=True,
                mutable=["batch_stats"],
            )
            return cross_entropy(outputs.logits, label), updated

        return jax.value_and_grad(loss, has_aux=True)(variables["params"])

    variables, image, label = jax.device_put((variables, image, label))
    run, seconds, operations = {}, {}, {}
    for function, inputs in ((forward, (image,)), (step, (image, label))):
        part = function.__name__
        began = time.perf_counter()
        lowered = jax.jit(function).lower(variables, *inputs)
        program = lowered.compile(compiler_options=compiler_options())
        seconds[part] = time.perf_counter() - began
        operations[part] = (lowered.cost_analysis() or {})["flops"]
        run[part] = lambda program=program, inputs=inputs: program(variables, *inputs)
    return Ours(run, seconds, operations)


def torch_networks(
    name: str,
    image: np.ndarray,
    label: np.ndarray,
    model: Any,
    variables: Any,
    *,
    with_compiled: bool,
) -> tuple[Any, dict[str, tuple[Any, dict[str, float]]], dict[str, str]]:
    """torch's network plain and compiled, and its weights as variables of ours.

    Returns:
        The variables; by name the network and its seconds to compile; and by name why
        there is none.

    Raises:
        RuntimeError: if the two networks do not compute the same.
    """
    from benchmarks.models_torch import Network, torch

    use_gpu = jax.default_backend() == "gpu"
    if use_gpu and not torch.cuda.is_available():
        reason = "this torch has no CUDA"
        return variables, {}, dict.fromkeys((TORCH, COMPILED), reason)
    plain = Network(name, NUM_CLASSES, image, label, use_gpu=use_gpu)
    params, stats, _ = load.fill(
        plain.tensors(),
        model,
        variables["params"],
        variables.get("batch_stats", {}),
        source="torch's network",
    )
    variables = jax.tree.map(jnp.asarray, {"params": params, "batch_stats": stats})
    check_same(model, variables, image, plain.logits(), 0.1 if use_gpu else 1e-3)
    networks = {TORCH: (plain, {})}
    if not with_compiled:
        return variables, networks, {COMPILED: "left out by --no-torch-compile"}
    try:
        other = Network(name, NUM_CLASSES, image, label, use_gpu=use_gpu)
        networks[COMPILED] = other, other.compile()
    except Exception as error:  # it depends on much that is outside of torch
        reason = f"torch.compile: {type(error).__name__}: {str(error).splitlines()[0]}"
        return variables, networks, {COMPILED: reason}
    return variables, networks, {}


def check_same(
    model: Any, variables: Any, image: np.ndarray, theirs: np.ndarray, tolerance: float
) -> None:
    """Raises RuntimeError unless our logits are theirs, relative to the largest."""
    run = jax.jit(lambda variables, image: model.apply(variables, image, train=False))
    ours = np.asarray(run(variables, image).logits)
    difference = np.max(np.abs(ours - theirs)) / np.max(np.abs(theirs))
    if not difference < tolerance:
        raise RuntimeError(f"the networks disagree by {difference:.2g} of the largest")


def product(use_gpu: bool) -> tuple[Callable[[], float], float]:
    """A large matrix product, timed by each call, and its operations."""
    n = 8192 if use_gpu else 1536
    a = jnp.ones((n, n), jnp.bfloat16 if use_gpu else jnp.float32)
    return measure.timed(jax.jit(jnp.matmul), a, a), 2.0 * n**3


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
    parser.add_argument("--nets", nargs="+", choices=SPECS, default=list(SPECS))
    parser.add_argument("--batch", type=int, help="2, on a GPU 8")
    parser.add_argument("--size", type=int, nargs=2, metavar=("H", "W"))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--no-torch", action="store_true")
    parser.add_argument("--no-torch-compile", action="store_true")
    options = parser.parse_args()
    # torch shares a GPU's memory.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    jax.config.update("jax_enable_compilation_cache", False)  # compiling is measured
    use_gpu = jax.default_backend() == "gpu"
    size = options.size or ((512, 1024) if use_gpu else (256, 256))
    has_torch = importlib.util.find_spec("torch") is not None
    for name in options.nets:
        for line in compare(
            name,
            options.batch or (8 if use_gpu else 2),
            tuple(size),
            repeats=options.repeats,
            with_torch=has_torch and not options.no_torch,
            with_compiled=not options.no_torch_compile,
        ):
            measure.report(line)


if __name__ == "__main__":
    main()
