"""Batches for training and evaluation, the same whatever loads them.

Read `Stream` first: it is the endless training order, of which position p is found
without the ones before, so that a step number is all that a run must remember. The
rest reads ahead, in threads of this process or by grain.
"""

import collections
import dataclasses
import itertools
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
from absl import logging

from jaxseg.data import extras
from jaxseg.data.labels import IGNORE
from jaxseg.data.source import Example, PictureError, Source, UnknownLabelError
from jaxseg.data.transforms import MEAN_COLOUR

Batch: TypeAlias = dict[str, np.ndarray]
Transform: TypeAlias = Callable[[Example, np.random.Generator], Example]

PREFETCH = 2  # batches read ahead of the one in use


class Slot(NamedTuple):
    """One place of a batch, and the names of the pictures skipped to fill it."""

    example: Example
    valid: bool = True
    skipped: tuple[str, ...] = ()


class Stream:
    """The endless training order: every epoch a new permutation, freshly augmented.

    Position p lies in epoch p // len(source), and shows there the picture that the
    permutation of (seed, epoch) has at p % len(source), augmented with random numbers
    of (seed, epoch, picture).

    Args:
        source: the pictures.
        transform: the augmentation, (example, generator) -> example.
        seed: of orders and augmentations.
        on_error: "raise", or "skip": for an unreadable picture the next one of the
            epoch's order stands in, with the random numbers of the one it replaces.
    """

    def __init__(
        self,
        source: Source,
        *,
        transform: Transform,
        seed: int,
        on_error: str = "raise",
    ):
        if not len(source):
            raise ValueError("there are no pictures to train on")
        self._pictures = _Pictures(source, _checked(on_error))
        self._length = len(source)
        self._transform = transform
        self._seed = seed
        self._orders: dict[int, np.ndarray] = {}

    def __getitem__(self, position: int) -> Example:
        return self.read(position).example

    def read(self, position: int) -> Slot:
        """The example at a position, and which pictures were skipped for it."""
        epoch, start = divmod(position, self._length)
        order = self._order(epoch)
        rng = np.random.default_rng((self._seed, epoch, int(order[start])))
        skipped: list[str] = []
        for offset in range(start, start + self._length):
            index = int(order[offset % self._length])
            example = self._pictures.read(index, skipped)
            if example is not None:
                return Slot(self._transform(example, rng), True, tuple(skipped))
        raise PictureError(
            f"none of {self._length} pictures can be read; the first is {skipped[0]}"
        )

    def _order(self, epoch: int) -> np.ndarray:
        order = self._orders.get(epoch)
        if order is None:
            # A spawn key keeps these numbers apart from those of the augmentation.
            seed = np.random.SeedSequence(self._seed, spawn_key=(epoch,))
            order = np.random.default_rng(seed).permutation(self._length)
            # Threads at the border of two epochs need both; to compute one twice is
            # harmless, so there is no lock (which processes could not be sent).
            self._orders = {
                **{e: o for e, o in self._orders.items() if abs(e - epoch) == 1},
                epoch: order,
            }
        return order


class Batches(Protocol):
    """An iterator over batches that reads ahead; a context that closes it.

    Batches are dicts of image uint8 [B, H, W, 3] RGB, label int32 [B, H, W] with 255
    for unlabelled pixels, and valid bool [B], false for places that hold no picture;
    B is this host's share.

    Attributes:
        skipped: how many unreadable pictures the batches so far had to do without.
        skipped_files: their names, each once.
    """

    skipped: int
    skipped_files: set[str]

    def __iter__(self) -> Iterator[Batch]: ...

    def __next__(self) -> Batch: ...

    def __enter__(self) -> "Batches": ...

    def __exit__(self, *error: Any) -> None: ...

    def close(self) -> None:
        """Ends the reading ahead; later calls of next() raise StopIteration."""


def train_batches(
    source: Source,
    *,
    transform: Transform,
    seed: int,
    batch_size: int,
    start_step: int = 0,
    process_index: int = 0,
    process_count: int = 1,
    loader: str = "threads",
    num_threads: int = 2,
    num_workers: int = 0,
    on_error: str = "raise",
) -> Batches:
    """Opens the training order at a step.

    The batch of step s holds positions s * batch_size and on of the `Stream`, so an
    epoch need not end with a batch and nothing is dropped. Neither the loader nor the
    number of threads, workers or hosts changes what a global batch holds.

    Args:
        source: the pictures.
        transform: the augmentation; its results must be of one size.
        seed: of orders and augmentations.
        batch_size: pictures in the global batch, of which every host reads a
            contiguous share.
        start_step: where to begin; takes no longer than at 0.
        process_index: of this host.
        process_count: number of hosts.
        loader: "threads", which needs no package, or "grain".
        num_threads: that decode.
        num_workers: processes that decode; grain only, and 0 for none.
        on_error: "raise" or "skip", for unreadable pictures; see `Stream`.
    """
    stream = Stream(source, transform=transform, seed=seed, on_error=on_error)
    share = _Share(batch_size, process_index, process_count)
    if num_threads < 1:
        raise ValueError(f"num_threads must be at least 1, got {num_threads}")
    if loader == "grain":
        return _GrainBatches(
            _Steps(stream.read, share, start_step), num_threads, num_workers
        )
    if loader != "threads":
        raise ValueError(f"data.loader is 'threads' or 'grain', got {loader!r}")
    if num_workers:
        raise ValueError(
            f"data.num_workers={num_workers} needs data.loader='grain'; the loader "
            "'threads' has num_threads only"
        )
    steps = (share.positions(step) for step in itertools.count(start_step))
    return _ThreadBatches(stream.read, steps, num_threads)


def eval_batches(
    source: Source,
    *,
    batch_size: int,
    canvas: tuple[int, int] | None = None,
    on_error: str = "raise",
    process_index: int = 0,
    process_count: int = 1,
    num_threads: int = 2,
    fill: tuple[int, int, int] = MEAN_COLOUR,
) -> Batches:
    """Opens one pass over all pictures in order, unaugmented.

    All hosts get the same number of batches; places past the end, and of pictures
    that cannot be read, are `valid=False` with all pixels unlabelled.

    Args:
        source: the pictures.
        batch_size: pictures in the global batch, as for `train_batches`.
        canvas: height and width to fill up to, at the bottom and on the right, if
            pictures differ in size; added pixels are unlabelled.
        on_error: "raise" or "skip", for unreadable pictures.
        process_index: of this host.
        process_count: number of hosts.
        num_threads: that decode.
        fill: the colour of what is added.
    """
    share = _Share(batch_size, process_index, process_count)
    reader = _InOrder(source, canvas, _checked(on_error), fill)
    num_steps = -(-len(source) // batch_size)
    steps = (share.positions(step) for step in range(num_steps))
    return _ThreadBatches(reader.read, steps, num_threads)


@dataclasses.dataclass(frozen=True)
class _Pictures:
    """Reads pictures by index, and on request passes over unreadable ones."""

    source: Source
    on_error: str
    logged: set[str] = dataclasses.field(default_factory=set)

    def read(self, index: int, skipped: list[str]) -> Example | None:
        """The picture, or None with its name added to `skipped`."""
        try:
            return self.source[index]
        except UnknownLabelError:
            raise
        except PictureError as error:
            if self.on_error == "raise":
                raise
            name = self.source.name(index)
            skipped.append(name)
            if name not in self.logged:
                self.logged.add(name)
                logging.warning("Skipping a picture: %s", error)
            return None


class _InOrder:
    """Slots of an evaluation: position p is picture p, padded to one size."""

    def __init__(self, source, canvas, on_error, fill):
        self._pictures = _Pictures(source, on_error)
        self._length = len(source)
        self._fill = fill
        self._fixed = canvas is not None
        self._size = tuple(canvas) if self._fixed else self._first_size()

    def read(self, position: int) -> Slot:
        skipped: list[str] = []
        example = None
        if position < self._length:
            example = self._pictures.read(position, skipped)
        image = np.empty((*self._size, 3), np.uint8)
        image[:] = self._fill
        label = np.full(self._size, IGNORE, np.uint8)
        if example is not None:
            height, width = self._checked_size(example["label"].shape, position)
            image[:height, :width] = example["image"]
            label[:height, :width] = example["label"]
        return Slot({"image": image, "label": label}, example is not None, (*skipped,))

    def _first_size(self) -> tuple[int, ...]:
        skipped: list[str] = []
        for index in range(self._length):
            example = self._pictures.read(index, skipped)
            if example is not None:
                return example["label"].shape
        what = f"; the first is {skipped[0]}" if skipped else ""
        raise PictureError(f"none of {self._length} pictures can be read{what}")

    def _checked_size(self, size, position):
        fits = all(a <= b for a, b in zip(size, self._size, strict=True))
        if size == self._size or (self._fixed and fits):
            return size
        name = self._pictures.source.name(position)
        needed = tuple(int(side) for side in np.maximum(size, self._size))
        if self._fixed:
            what = f"does not fit the canvas {self._size}"
        else:
            what = f"differs from {self._size}, the size of the first picture"
        raise ValueError(
            f"{name} is {size} (height, width), which {what}: set "
            f"config.evals.<name>.canvas to at least {needed}, for instance "
            "the largest height and width of the split"
        )


@dataclasses.dataclass(frozen=True)
class _Share:
    """Which positions of the order this host reads for a step."""

    batch_size: int
    process_index: int
    process_count: int

    def __post_init__(self):
        if self.batch_size < 1 or self.batch_size % self.process_count:
            raise ValueError(
                f"batch_size {self.batch_size} is the size of the global batch: it "
                f"must be a positive multiple of the {self.process_count} hosts"
            )
        if not 0 <= self.process_index < self.process_count:
            raise ValueError(
                f"process_index {self.process_index} of {self.process_count} hosts"
            )

    def positions(self, step: int) -> range:
        size = self.batch_size // self.process_count
        start = step * self.batch_size + self.process_index * size
        return range(start, start + size)


class _Counting:
    """Hands out batches and counts what was skipped for those handed out."""

    def __init__(self):
        self.skipped = 0
        self.skipped_files: set[str] = set()
        self._closed = False

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        if self._closed:
            raise StopIteration
        try:
            batch, skipped = self._next()
        except BaseException:
            self.close()
            raise
        self.skipped += len(skipped)
        self.skipped_files.update(skipped)
        return batch

    def __enter__(self) -> Batches:
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._stop()

    def _next(self) -> tuple[Batch, tuple[str, ...]]:
        raise NotImplementedError

    def _stop(self) -> None:
        raise NotImplementedError


class _ThreadBatches(_Counting):
    """Reads examples in a pool of threads and stacks them in one more."""

    def __init__(
        self,
        read: Callable[[int], Slot],
        steps: Iterator[Sequence[int]],
        num_threads: int,
    ):
        super().__init__()
        self._read = read
        self._steps = steps
        self._readers = futures.ThreadPoolExecutor(num_threads, "jaxseg-read")
        self._stacker = futures.ThreadPoolExecutor(1, "jaxseg-stack")
        self._ahead: collections.deque[futures.Future[Any]] = collections.deque()
        self._read_ahead()

    def _read_ahead(self) -> None:
        for positions in itertools.islice(self._steps, PREFETCH - len(self._ahead)):
            slots = [self._readers.submit(self._read, p) for p in positions]
            self._ahead.append(self._stacker.submit(_stack_results, slots))

    def _next(self) -> tuple[Batch, tuple[str, ...]]:
        if not self._ahead:
            raise StopIteration
        batch = self._ahead.popleft()
        self._read_ahead()
        return batch.result()

    def _stop(self) -> None:
        self._ahead.clear()
        self._readers.shutdown(cancel_futures=True)
        self._stacker.shutdown(cancel_futures=True)


class _GrainBatches(_Counting):
    """Reads whole batches by grain, in its threads or its processes."""

    def __init__(self, steps: "_Steps", num_threads: int, num_workers: int):
        super().__init__()
        grain = extras.require(
            "grain", purpose='data.loader="grain"', instead='loader="threads"'
        )
        _mark_flags_as_parsed()
        options = grain.ReadOptions(
            num_threads=num_threads, prefetch_buffer_size=max(PREFETCH, num_threads)
        )
        batches = grain.MapDataset.source(steps).to_iter_dataset(options)
        if num_workers:
            processes = grain.MultiprocessingOptions(
                num_workers=num_workers, per_worker_buffer_size=PREFETCH
            )
            batches = batches.mp_prefetch(processes)
        self._iterator = iter(batches)
        self._iterator.start_prefetch()

    def _next(self) -> tuple[Batch, tuple[str, ...]]:
        return next(self._iterator)

    def _stop(self) -> None:
        self._iterator.close()


@dataclasses.dataclass(frozen=True)
class _Steps:
    """This host's batches by step, from `start` on: what grain indexes."""

    read: Callable[[int], Slot]
    share: _Share
    start: int

    def __len__(self) -> int:
        return sys.maxsize // self.share.batch_size - self.start

    def __getitem__(self, step: int) -> tuple[Batch, tuple[str, ...]]:
        return _stack([self.read(p) for p in self.share.positions(self.start + step)])


def _mark_flags_as_parsed() -> None:
    """Spares grain, which reads absl flags, from failing in notebooks and tests."""
    from absl import flags

    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()


def _stack_results(slots: Sequence[futures.Future[Slot]]):
    return _stack([slot.result() for slot in slots])


def _stack(slots: Sequence[Slot]) -> tuple[Batch, tuple[str, ...]]:
    labels = [slot.example["label"] for slot in slots]
    if len({label.shape for label in labels}) > 1:
        raise ValueError(
            f"pictures of a batch differ in size, {sorted({x.shape for x in labels})} "
            "(height, width): set config.data.crop, so that all are cut to it"
        )
    batch = {
        "image": np.stack([slot.example["image"] for slot in slots]),
        "label": np.stack(labels).astype(np.int32),
        "valid": np.array([slot.valid for slot in slots]),
    }
    return batch, tuple(name for slot in slots for name in slot.skipped)


def _checked(on_error: str) -> str:
    if on_error not in ("raise", "skip"):
        raise ValueError(f"on_error is 'raise' or 'skip', got {on_error!r}")
    return on_error
