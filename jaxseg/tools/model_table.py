"""Prints the catalogue's networks as a table: parameters, work, who publishes weights.

python -m jaxseg.tools.model_table                       # as in docs/models.md
python -m jaxseg.tools.model_table --compile hrnet_w18   # and the step's compilation
"""

import argparse
import functools
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxseg.config import ConfigError, suggest
from jaxseg.data.labels import LabelSet
from jaxseg.methods import base
from jaxseg.models import NETS, create
from jaxseg.ops.backward import compiler_options

NUM_CLASSES = 19
SIZE = 512  # height and width of the picture that the work is counted for
STEP_SIZE = 128  # of the pictures of the step that is compiled


@functools.cache
def num_parameters(name: str, *, num_classes: int = NUM_CLASSES) -> int:
    """Counts the trainable numbers of a network, auxiliary heads included."""
    shapes = _shapes(create(name, num_classes=num_classes))["params"]
    return sum(leaf.size for leaf in jax.tree.leaves(shapes))


def gflops(name: str, *, num_classes: int = NUM_CLASSES, size: int = SIZE) -> float:
    """The compiler's count of 1e9 operations of one picture's logits.

    A multiplication and an addition are two operations.
    """
    model = create(name, num_classes=num_classes)

    def logits(variables: Any, image: jax.Array) -> jax.Array:
        return model.apply(variables, image, train=False).logits

    image = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    counts: Any = jax.jit(logits).lower(_shapes(model), image).cost_analysis()
    return counts["flops"] / 1e9


def compile_seconds(name: str, *, size: int = STEP_SIZE) -> float:
    """How long the program of a training step takes to make, on this machine."""
    method = base.from_config(_config(name), _labels(NUM_CLASSES))
    batch = {
        "image": jax.ShapeDtypeStruct((2, size, size, 3), jnp.uint8),
        "label": jax.ShapeDtypeStruct((2, size, size), jnp.int32),
        "valid": jax.ShapeDtypeStruct((2,), jnp.bool_),
    }
    state = jax.eval_shape(method.init, jax.random.key(0), batch)
    began = time.perf_counter()
    step = jax.jit(method.train_step, donate_argnums=0)
    step.lower(state, batch).compile(compiler_options())
    return time.perf_counter() - began


def table(names: Sequence[str], *, compile_step: bool = False) -> Iterator[str]:
    """Yields the lines of a Markdown table, a row a network, as they are known."""
    step = f" step's compilation (s, {jax.default_backend()}) |" if compile_step else ""
    yield f"| network | parameters | GFLOPs at {SIZE}x{SIZE} |{step} weights |"
    yield "|---|---|---|" + ("---|" if compile_step else "") + "---|"
    for name in names:
        count = f"{num_parameters(name):,}".replace(",", " ")
        seconds = f" {compile_seconds(name):.1f} |" if compile_step else ""
        yield (
            f"| `{name}` | {count} | {gflops(name):.1f} |{seconds} "
            f"{NETS[name].weights} |"
        )


def _shapes(model: Any) -> Any:
    image = jnp.zeros((1, 64, 64, 3))
    init = jax.eval_shape(lambda key: model.init(key, image, train=False), _key())
    return {"params": {}, "batch_stats": {}, **init}


def _key() -> Any:
    return jax.eval_shape(lambda: jax.random.key(0))


def _config(name: str) -> dict[str, Any]:
    by_masks = "maskformer" in str(NETS[name].spec.get("decoder", ""))
    method = "mask_classification.MaskClassification"
    return dict(
        total_steps=1,
        model=NETS[name].spec,
        method=dict(name=method if by_masks else "supervised.Supervised"),
        optimizer=dict(name="sgd"),
    )


def _labels(num_classes: int) -> LabelSet:
    return LabelSet(
        names=tuple(map(str, range(num_classes))), palette=((0, 0, 0),) * num_classes
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the job; 1 and a message for an unknown network."""
    parser = argparse.ArgumentParser(
        prog="python -m jaxseg.tools.model_table", description=__doc__
    )
    parser.add_argument("names", nargs="*", help="networks; all if none is named")
    parser.add_argument("--compile", action="store_true", help="time the compilation")
    given = parser.parse_args(arguments)
    for name in given.names:
        if name not in NETS:
            error = ConfigError(f"no network {name!r}{suggest(name, NETS)}")
            print(f"model_table: {error}", file=sys.stderr)
            return 1
    for line in table(given.names or tuple(NETS), compile_step=given.compile):
        print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
