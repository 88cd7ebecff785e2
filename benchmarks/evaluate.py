"""Evaluation with sliding windows against the same loop in PyTorch.

    pip install 'jaxseg[torch]'
    python -m benchmarks.evaluate [--nets segformer_b0 ...] [--batch 2] [--size 256 512]

Prints one JSON object a line. Of every network, with the same weights and pictures:
seconds from pictures and labels on the device to the confusion matrix on the host, by
ours and by torch, in turn. Both cut the same windows, give the network as many at once,
average their logits and take classes; torch in a loop over windows as its libraries
have it. `ratio` is how many times longer than ours it takes. Class ids are compared
before anything is timed.

On a GPU both compute in bfloat16 and torch channels last, 8 x 1024 x 2048; on a CPU
both have float32 and all cores.
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
import optax

from benchmarks import measure, models
from jaxseg import inference, sharding
from jaxseg.data.labels import CITYSCAPES
from jaxseg.methods.base import Method
from jaxseg.protocols.sliding import Sliding
from jaxseg.state import TrainState


class Sizes(NamedTuple):
    """What is evaluated.

    Attributes:
        batch: B, pictures at a time, and windows too.
        size: height and width of the pictures.
        window: height and width.
        stride: down and right.
    """

    batch: int
    size: tuple[int, int]
    window: tuple[int, int]
    stride: tuple[int, int]


ON_CPU = Sizes(2, (256, 512), (256, 256), (170, 170))
ON_GPU = Sizes(8, (1024, 2048), (512, 1024), (341, 683))
TINY = Sizes(2, (24, 40), (16, 16), (10, 10))


class Evaluation(NamedTuple):
    """One side: `run` gives the seconds it took, `ids` the class ids [B, H, W]."""

    run: Callable[[], float]
    ids: Callable[[], np.ndarray]


def compare(
    name: str, sizes: Sizes, *, repeats: int, with_torch: bool = True
) -> Iterator[dict[str, Any]]:
    """Yields the measurements of one network.

    Args:
        name: a key of `benchmarks.models.NETS`.
        sizes: what is evaluated.
        repeats: of everything.
        with_torch: whether to compare with torch at all.

    Raises:
        RuntimeError: if the two sides predict different classes.
    """
    problem = models.make(name, sizes.batch, sizes.size)
    sides = {}
    reason = "torch is not installed"
    if with_torch:
        problem, theirs, reason = of_torch(problem, sizes)
        sides = {models.TORCH: theirs} if theirs else {}
    sides = {models.OURS: of_ours(problem, sizes), **sides}
    if len(sides) > 1:
        check_same(*(side.ids() for side in sides.values()))
    runs = {which: side.run for which, side in sides.items()}
    medians = {
        which: statistics.median(seconds)
        for which, seconds in measure.in_turn(runs, repeats).items()
    }
    what = problem.sizes() | sizes._asdict()
    for which, median in medians.items():
        line = measure.line(
            f"{name}, sliding windows: {which}",
            what,
            median=median,
            images_per_second=sizes.batch / median,
            ratio=median / medians[models.OURS],
        )
        line.pop("peak_memory_mb")  # both are in this process
        yield line
    if len(sides) == 1:
        yield measure.not_measured(f"{name}: {models.TORCH}", what, reason)


def of_ours(problem: models.Problem, sizes: Sizes) -> Evaluation:
    """The step that every evaluation of a run compiles."""
    method = Method(
        segmentor=problem.model, optimizer=optax.identity(), labels=CITYSCAPES
    )
    mesh = sharding.make_mesh(1)
    state = TrainState(
        step=jnp.zeros((), jnp.int32),
        rng=jax.random.key(0),
        params={"segmentor": problem.variables["params"]},
        batch_stats={"segmentor": problem.variables.get("batch_stats", {})},
        opt_state=None,
        memory=None,
    )
    state = jax.device_put(state, sharding.replicated(mesh))
    valid = np.ones(sizes.batch, bool)
    batch = dict(image=problem.image, label=problem.label, valid=valid)
    batch = sharding.to_devices(batch, mesh)
    protocol = Sliding(
        window=sizes.window, stride=sizes.stride, windows_at_once=sizes.batch
    )
    count = inference.make_count(method, mesh)

    def run() -> float:
        began = time.perf_counter()
        np.asarray(count(state, batch, protocol).confusion, np.int64)
        return time.perf_counter() - began

    return Evaluation(run, lambda: np.asarray(count(state, batch, protocol).prediction))


def of_torch(
    problem: models.Problem, sizes: Sizes
) -> tuple[models.Problem, Evaluation | None, str]:
    """torch's side, and its weights in ours; or why there is none."""
    from benchmarks import evaluate_torch

    if measure.on_gpu() and not evaluate_torch.torch.cuda.is_available():
        return problem, None, "this torch has no CUDA"
    theirs = evaluate_torch.Loop(
        problem.name,
        models.NUM_CLASSES,
        problem.image,
        problem.label,
        window=sizes.window,
        stride=sizes.stride,
        use_gpu=measure.on_gpu(),
    )
    problem = models.with_weights(problem, theirs.network.tensors())
    return problem, Evaluation(theirs.run, theirs.ids), ""


def check_same(ours: np.ndarray, theirs: np.ndarray) -> None:
    """Raises RuntimeError unless nearly all pixels have the same class."""
    share = np.mean(ours != theirs)
    if share > (0.05 if measure.on_gpu() else 1e-3):
        raise RuntimeError(f"the two disagree on {100 * share:.1f} % of the pixels")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nets", nargs="+", choices=models.NETS)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--size", type=int, nargs=2, metavar=("H", "W"))
    parser.add_argument("--window", type=int, nargs=2, metavar=("H", "W"))
    parser.add_argument("--stride", type=int, nargs=2, metavar=("DOWN", "RIGHT"))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--no-torch", action="store_true")
    parser.add_argument("--tiny", action="store_true", help="small sizes, for tests")
    options = parser.parse_args()
    # torch shares a GPU's memory.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    sizes = TINY if options.tiny else ON_GPU if measure.on_gpu() else ON_CPU
    given = {key: getattr(options, key) for key in Sizes._fields}
    sizes = sizes._replace(
        **{
            key: value if key == "batch" else tuple(value)
            for key, value in given.items()
            if value is not None
        }
    )
    has_torch = importlib.util.find_spec("torch") is not None
    for name in options.nets or models.NETS:
        for line in compare(
            name,
            sizes,
            repeats=1 if options.tiny else options.repeats,
            with_torch=has_torch and not options.no_torch,
        ):
            measure.report(line)


if __name__ == "__main__":
    main()
