"""What a step of PiCo moves between devices, as there are more of them.

    python -m benchmarks.scaling [--devices 1 2 4 8 16 64 256] [--timed 8] [--step]

Prints a JSON object a line for each number of devices, in a process of its own with so
many virtual CPU devices and a fixed batch for each: the memory's update, with a
replicated and with a split memory, and with `--step` and up to 8 devices a whole step
of a tiny network too. With it all is compiled without LLVM's optimisations, which
change no collective operation, so that times are of use without it only.
`bytes` are those that each kind of collective operation gives a device, counted from
the compiled program; `formula` is what must be gathered of entries: images x classes x
(1 + picks) x D x 4. Up to `--timed` devices the programs are run too; virtual devices
share the cores, so that times there grow with the work of all devices.
"""

import argparse
import json
import math
import os
import re
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks import measure, train_step
from jaxseg import sharding, train
from jaxseg.data import inputs
from jaxseg.methods.pico import memory as memories

CONFIG = "configs/quickstart.py:tiny"
STEP_DEVICES = 8  # more of them compile for long
SPLIT = (("memory/.*/values", (None, "data")),)
NUM_PICKS = 10
GRID = (32, 64)
DIM = 256
COLLECTIVE = re.compile(
    r"= (\(.*?\)|\S+) (all-gather|all-reduce|reduce-scatter|all-to-all"
    r"|collective-permute)(?:-start)?\("
)
ARRAY = re.compile(r"\b(pred|[a-z]+(\d+))\[([\d,]*)\]")


def collective_bytes(text: str) -> dict[str, int]:
    """Bytes that each kind of collective operation of a compiled program gives.

    Args:
        text: the program, as `compiled.as_text()` has it; operations in a loop count
            once.
    """
    found: Counter[str] = Counter()
    for shapes, kind in COLLECTIVE.findall(text):
        for name, bits, dimensions in ARRAY.findall(shapes):
            sizes = [int(size) for size in dimensions.split(",") if size]
            found[kind] += math.prod(sizes) * (1 if name == "pred" else int(bits) // 8)
    return dict(sorted(found.items()))


def compile_update(
    num_devices: int, *, images: int, num_classes: int, slots: int, rules: Any = ()
) -> tuple[Any, Any]:
    """The memory's update with so many images a device, and shapes of its inputs."""
    mesh = sharding.make_mesh(num_devices)
    b = images * num_devices
    memory = jax.eval_shape(
        lambda: memories.empty(
            num_classes,
            region_size=slots,
            pixel_size=slots * 2,
            dim=DIM,
            dtype="float32",
        )
    )
    places = sharding.place_state({"memory": memory}, mesh, rules)["memory"]
    batch = (
        jax.ShapeDtypeStruct((b, *GRID, DIM), "float32"),
        jax.ShapeDtypeStruct((b, *GRID), "int32"),
        jax.ShapeDtypeStruct((b, num_classes, NUM_PICKS), "int32"),
    )
    split = sharding.batched(mesh)
    update = jax.jit(
        memories.update,
        in_shardings=(places, split, split, split),
        out_shardings=places,
        donate_argnums=0,
    )
    with jax.set_mesh(mesh):
        compiled = update.lower(memory, *batch).compile()
    return compiled, ((memory, *batch), (places, split, split, split))


def formula(num_images: int, num_classes: int) -> int:
    """Bytes of the entries that a batch brings: a region and its pixels a class."""
    return num_images * num_classes * (1 + NUM_PICKS) * DIM * 4


def update_line(
    num_devices: int,
    *,
    images: int,
    num_classes: int,
    slots: int,
    repeats: int,
    rules: Any = (),
) -> dict[str, Any]:
    """The memory's update on so many devices; it is run if there are `repeats`."""
    compiled, (shapes, places) = compile_update(
        num_devices, images=images, num_classes=num_classes, slots=slots, rules=rules
    )
    numbers = {}
    if repeats:
        memory, *batch = jax.tree.map(_ones, shapes, _leaves_of(places, shapes))
        kept = [memory]

        def advance() -> Any:
            kept[0] = compiled(kept[0], *batch)
            return kept[0]

        run = {"update": measure.timed(advance)}
        numbers["median"] = statistics.median(measure.in_turn(run, repeats)["update"])
    sizes = dict(
        devices=num_devices,
        images=images * num_devices,
        classes=num_classes,
        slots=3 * slots,
        dim=DIM,
        split=bool(rules),
    )
    line = measure.line("memory update", sizes, **numbers)
    line["bytes"] = collective_bytes(compiled.as_text())
    line["formula"] = formula(images * num_devices, num_classes)
    return line


def _leaves_of(places: Any, shapes: Any) -> Any:
    return jax.tree.map(
        lambda place, tree: jax.tree.map(lambda _: place, tree), places, shapes
    )


def _ones(shape: Any, place: Any) -> jax.Array:
    return jax.device_put(jnp.ones(shape.shape, shape.dtype), place)


def step_line(
    num_devices: int, *, images: int, rules: Any, repeats: int
) -> dict[str, Any]:
    """A whole step of a tiny network, with contrast in it."""
    config = train_step.load_config(CONFIG)
    config |= dict(num_devices=num_devices, sharding=rules)
    num_images = images * num_devices
    config["data"] = config["data"] | dict(batch_size=num_images, num_train=num_images)
    config["method"] = config["method"] | dict(
        warmup_steps=0, group_size=images, region_size=512, pixel_size=1024
    )
    mesh = sharding.make_mesh(num_devices)
    dataset = inputs.make_dataset(config)
    stream = inputs.training_batches(config, dataset, start_step=0)
    batch = sharding.to_devices(next(stream), mesh)
    stream.close()
    method, state = train_step.fresh(config, dataset, mesh)
    compiled = train.compile_step(method, mesh, state, batch)
    numbers = {}
    if repeats:
        seconds, _ = train_step.time_steps(compiled, state, _again(batch), repeats)
        numbers["median"] = statistics.median(seconds)
    sizes = dict(devices=num_devices, images=num_images, split=bool(rules))
    line = measure.line("step of a tiny network", sizes, **numbers)
    use: Any = compiled
    line["bytes"] = collective_bytes(use.as_text())
    line["temporaries"] = use.memory_analysis().temp_size_in_bytes
    return line


def _again(batch: Any) -> Iterator[Any]:
    while True:
        yield batch


def lines(
    num_devices: int,
    *,
    images: int,
    num_classes: int,
    slots: int,
    repeats: int,
    with_step: bool,
) -> Iterator[dict[str, Any]]:
    """All measurements of one number of devices, which this process must have."""
    for rules in ((), SPLIT):
        yield update_line(
            num_devices,
            images=images,
            num_classes=num_classes,
            slots=slots,
            repeats=repeats,
            rules=rules,
        )
    for rules in ((), SPLIT) if with_step and num_devices <= STEP_DEVICES else ():
        yield step_line(num_devices, images=images, rules=rules, repeats=repeats)


def in_own_process(num_devices: int, arguments: Sequence[str]) -> None:
    """Measures with so many virtual devices, whose number a process cannot change."""
    flags = ["--xla_backend_optimization_level=0"] * ("--step" in arguments)
    flags += [os.environ.get("XLA_FLAGS", "")]  # the last of two that differ counts
    flags += [f"--xla_force_host_platform_device_count={num_devices}"]
    subprocess.run(
        [sys.executable, "-m", "benchmarks.scaling", "--child", *arguments],
        env={**os.environ, "XLA_FLAGS": " ".join(flags), "JAX_PLATFORMS": "cpu"},
        check=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--devices", type=int, nargs="+", default=[1, 2, 4, 8, 16, 64, 256]
    )
    parser.add_argument(
        "--timed", type=int, default=8, help="most devices that are run"
    )
    parser.add_argument("--step", action="store_true", help="also a whole step")
    parser.add_argument("--images", type=int, default=2, help="of a device")
    parser.add_argument("--classes", type=int, default=19)
    parser.add_argument("--slots", type=int, default=512, help="regions of a class")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    for num_devices in options.devices:
        timed = num_devices <= options.timed
        if options.child:
            for line in lines(
                num_devices,
                images=options.images,
                num_classes=options.classes,
                slots=options.slots,
                repeats=options.repeats if timed else 0,
                with_step=options.step,
            ):
                print(json.dumps(line), flush=True)
        else:
            arguments = [f"--devices={num_devices}", f"--timed={options.timed}"]
            arguments += [f"--images={options.images}", f"--classes={options.classes}"]
            arguments += [f"--slots={options.slots}", f"--repeats={options.repeats}"]
            arguments += ["--step"] * options.step
            in_own_process(num_devices, arguments)


if __name__ == "__main__":
    main()
