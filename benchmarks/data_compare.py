"""The loaders of jaxseg beside a torch DataLoader; `benchmarks.data` runs this."""

import contextlib
import dataclasses
import pathlib
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import jax
import numpy as np

from benchmarks import measure, process_tree
from jaxseg.data import extras, pipeline, transforms
from jaxseg.data.labels import CITYSCAPES
from jaxseg.data.source import Source
from jaxseg.ops import augmentation

PEER = "torch DataLoader"
EPOCHS = 3
AHEAD = 5  # batches that a loader may have ready before its turn; not timed


@dataclasses.dataclass(frozen=True)
class Kind:
    """Pictures as a known data set has them, and what is trained on."""

    name: str
    suffix: str
    picture: tuple[int, int]
    crop: tuple[int, int]
    batch_size: int = 8
    num_pictures: int = 8
    num_batches: int = 8  # of an epoch


KINDS = (
    Kind("Cityscapes-size PNG", ".png", (1024, 2048), (512, 1024)),
    Kind("VOC-size JPEG", ".jpg", (375, 500), (320, 320), num_batches=32),
)
TINY = (
    Kind("Cityscapes-size PNG", ".png", (64, 128), (32, 64), 2, 3, 2),
    Kind("VOC-size JPEG", ".jpg", (48, 64), (32, 32), 2, 3, 2),
)


class Loader(NamedTuple):
    """Endless batches, and the processes that read them (this one for threads)."""

    batches: Iterator
    processes: list[pathlib.Path]


def compare(kinds, write_pictures, *, num_workers: int = 2) -> Iterator[dict]:
    """Yields a line for each loader and kind of picture.

    Args:
        kinds: of pictures.
        write_pictures: (folder, kind, suffix) -> source, of `benchmarks.data`.
        num_workers: processes of each loader; threads of the one without.
    """
    if not pathlib.Path("/proc/self/smaps_rollup").exists():
        reason = "processor time and memory of processes are read from Linux's /proc"
        yield measure.not_measured("loaders beside torch's", {}, reason)
        return
    for kind in kinds:
        with tempfile.TemporaryDirectory() as root, contextlib.ExitStack() as stack:
            source = write_pictures(pathlib.Path(root), kind, kind.suffix)
            closed = {
                f"{num_workers} threads": _ours(source, kind, num_threads=num_workers),
                f"{num_workers} processes": _ours(
                    source, kind, num_threads=1, num_workers=num_workers
                ),
            }
            if extras.installed("torch"):
                closed[PEER] = _peer(pathlib.Path(root), kind, num_workers)
            loaders = {
                name: _started(stack.enter_context(contextlib.closing(batches)))
                for name, batches in closed.items()
            }
            if PEER not in loaders:
                sizes, reason = dataclasses.asdict(kind), 'pip install "jaxseg[torch]"'
                yield measure.not_measured(f"{PEER}, {kind.name}", sizes, reason)
            yield from _measure(kind, loaders, num_workers)


def _started(batches: Iterator) -> Loader:
    """With the processes that are there after the first batch and were not before."""
    known = process_tree.members()
    next(batches)
    new = [folder for folder in process_tree.members() if folder not in known]
    return Loader(batches, new or known[:1])


def _ours(source: Source, kind: Kind, **options) -> Iterator:
    """Our loader, opened when its first batch is asked for."""
    transform = transforms.TrainTransform(crop=kind.crop)
    given = dict(transform=transform, seed=0, batch_size=kind.batch_size)
    with pipeline.train_batches(source, **given, **options) as batches:
        yield from batches


def _peer(root: pathlib.Path, kind: Kind, num_workers: int) -> Iterator:
    from benchmarks import data_torch

    files = [
        [str(file) for file in sorted(root.rglob(pattern))]
        for pattern in (f"*_leftImg8bit{kind.suffix}", "*_labelIds.png")
    ]
    pairs = data_torch.Pairs(
        list(zip(*files, strict=True)),
        CITYSCAPES.lookup_table()[:256].astype(np.uint8),
        kind.crop,
        transforms.MEAN_COLOUR,
        kind.num_batches * kind.batch_size,
    )
    return data_torch.batches(
        pairs, batch_size=kind.batch_size, num_workers=num_workers
    )


def _measure(
    kind: Kind, loaders: Mapping[str, Loader], num_workers: int
) -> Iterator[dict]:
    """Epochs of all loaders in turn, so that what else runs meets all alike.

    The first epoch is not counted: the largest picture that a process has held stays
    with its memory.
    """
    memory: dict[str, list[float]] = {name: [] for name in loaders}
    speeds: dict[str, list[float]] = {name: [] for name in loaders}
    per_core: dict[str, list[float]] = {name: [] for name in loaders}
    for epoch in range(1 + EPOCHS):
        for name, loader in loaders.items():
            images, seconds, processor = _epoch(loader.batches, kind)
            if epoch:
                speeds[name].append(images / seconds)
                per_core[name].append(images / processor)
                memory[name].append(process_tree.resident_mb(loader.processes))
    for name in loaders:
        speed, economy = (statistics.median(x[name]) for x in (speeds, per_core))
        numbers = {"images_per_second": speed, "images_per_second_per_core": economy}
        if PEER in loaders:
            numbers["ratio"] = speed / statistics.median(speeds[PEER])
            numbers["ratio_per_core"] = economy / statistics.median(per_core[PEER])
        for epoch, megabytes in enumerate(memory[name]):
            numbers[f"mb_after_epoch_{epoch + 1}"] = megabytes
        sizes = dataclasses.asdict(kind) | {"num_workers": num_workers}
        yield measure.line(f"{name}, {kind.name}", sizes, **numbers)


def _epoch(batches: Iterator, kind: Kind) -> tuple[int, float, float]:
    """Pictures of an epoch, seconds and processor seconds for them.

    Before it, all loaders have read ahead and are idle; what this one has ready then
    is not timed.
    """
    _settle()
    for _ in range(AHEAD):
        next(batches)
    processor = process_tree.processor_seconds()
    began = time.perf_counter()
    for _ in range(kind.num_batches):
        next(batches)
    seconds = time.perf_counter() - began
    processor = process_tree.processor_seconds() - processor
    processor = max(processor, 1 / process_tree.TICKS)  # the clock's step
    return kind.num_batches * kind.batch_size, seconds, processor


def _settle() -> None:
    """Waits until no process of ours works."""
    before = -1.0
    while process_tree.processor_seconds() > before + 0.02:
        before = process_tree.processor_seconds()
        time.sleep(0.3)


def augment_on_device(source: Source, kind: Kind, *, repeats: int) -> Iterator[dict]:
    """The same augmentation of a batch on the host, one thread, and compiled."""
    settings = dict(crop=kind.crop)
    host = transforms.TrainTransform(**settings)
    deferred = transforms.DeferredTransform(**settings, canvas=kind.picture)
    examples = [source[i % len(source)] for i in range(kind.batch_size)]

    def drawn(transform):
        return [
            transform(example, np.random.default_rng(i))
            for i, example in enumerate(examples)
        ]

    keys = ("image", "label", "size", "choices")
    arrays = [np.stack([made[key] for made in drawn(deferred)]) for key in keys]
    placed = jax.device_put(arrays)
    program = jax.jit(
        lambda *arrays: augmentation.augment(
            *arrays, crop=kind.crop, fill=transforms.MEAN_COLOUR
        )
    )
    seconds = measure.in_turn(
        {
            "host, one thread": measure.timed(lambda: drawn(host) and None),
            "device, arrays in place": measure.timed(program, *placed),
            "device, drawing and stacking": measure.timed(
                lambda: [np.stack([m[key] for m in drawn(deferred)]) for key in keys]
            ),
        },
        repeats,
    )
    host_seconds = statistics.median(seconds["host, one thread"])
    for name, found in seconds.items():
        median = statistics.median(found)
        yield measure.line(
            f"augment a batch, {name}, {kind.name}",
            dataclasses.asdict(kind),
            median=median,
            ratio=host_seconds / median,
        )
