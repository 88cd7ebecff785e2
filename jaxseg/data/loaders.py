"""Reading batches ahead, in threads, in processes or by grain.

A loader is told which positions make a batch (`Share`) and how to read one (`Slot`); it
does not know what they mean, and changes nothing about them. `ThreadBatches` needs no
package, and is the one to read.
"""

import abc
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
from jaxseg.data.source import Example

Batch: TypeAlias = dict[str, np.ndarray]

PREFETCH = 2  # batches read ahead of the one in use


class Slot(NamedTuple):
    """One place of a batch, and the names of the pictures skipped to fill it."""

    example: Example
    valid: bool = True
    skipped: tuple[str, ...] = ()


class Batches(Protocol):
    """An iterator over batches that reads ahead; a context that closes it.

    Batches are dicts of image uint8 [B, H, W, 3] RGB, label int32 [B, H, W] with
    `labels.ignore` for unlabelled pixels, and valid bool [B], false for places that
    hold no picture; B is this host's share. What else the examples hold is stacked
    likewise.

    Attributes:
        skipped: how many unreadable pictures the batches so far had to do without.
        skipped_files: their names, each once; closing logs them.
    """

    skipped: int
    skipped_files: set[str]

    def __iter__(self) -> Iterator[Batch]: ...

    def __next__(self) -> Batch: ...

    def __enter__(self) -> "Batches": ...

    def __exit__(self, *error: Any) -> None: ...

    def close(self) -> None:
        """Ends the reading ahead; later calls of next() raise StopIteration."""


@dataclasses.dataclass(frozen=True)
class Share:
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

    @property
    def places(self) -> slice:
        """Which places of a global batch are this host's."""
        size = self.batch_size // self.process_count
        return slice(self.process_index * size, (self.process_index + 1) * size)

    def positions(self, step: int) -> range:
        start = step * self.batch_size
        return range(start, start + self.batch_size)[self.places]


@dataclasses.dataclass(frozen=True)
class Steps:
    """This host's batches by step, from `start` on: what grain indexes."""

    read: Callable[[int], Slot]
    share: Share
    start: int

    def __len__(self) -> int:
        return sys.maxsize // self.share.batch_size - self.start

    def __getitem__(self, step: int) -> tuple[Batch, tuple[str, ...]]:
        return _stack([self.read(p) for p in self.share.positions(self.start + step)])


class _Counting(abc.ABC):
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
        if self._closed:
            return
        self._closed = True
        self._stop()
        if self.skipped_files:
            logging.warning(
                "%d unreadable pictures were skipped: %s",
                len(self.skipped_files),
                ", ".join(sorted(self.skipped_files)),
            )

    @abc.abstractmethod
    def _next(self) -> tuple[Batch, tuple[str, ...]]: ...

    @abc.abstractmethod
    def _stop(self) -> None: ...


class ThreadBatches(_Counting):
    """Reads examples in a pool of threads and stacks them in one more.

    Args:
        read: gives the slot of a position.
        steps: the positions of each batch.
        num_threads: that read.
        close: called when all threads have ended.
    """

    def __init__(
        self,
        read: Callable[[Any], Slot],
        steps: Iterator[Sequence[Any]],
        num_threads: int,
        close: Callable[[], None] = lambda: None,
    ):
        super().__init__()
        self._read = read
        self._close = close
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
        self._close()


class GrainBatches(_Counting):
    """Reads whole batches by grain, in its threads or its processes."""

    def __init__(self, steps: Steps, num_threads: int, num_workers: int):
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


def _mark_flags_as_parsed() -> None:
    """Spares grain, which reads absl flags, from failing in notebooks and tests."""
    from absl import flags

    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()


def _stack_results(slots: Sequence[futures.Future[Slot]]):
    return _stack([slot.result() for slot in slots])


def _stack(slots: Sequence[Slot]) -> tuple[Batch, tuple[str, ...]]:
    examples = [slot.example for slot in slots]
    batch = {key: _stack_arrays(key, examples) for key in examples[0]}
    if "label" in batch:
        batch["label"] = batch["label"].astype(np.int32)
    batch["valid"] = np.array([slot.valid for slot in slots])
    return batch, tuple(name for slot in slots for name in slot.skipped)


def _stack_arrays(key: str, examples: Sequence[Example]) -> np.ndarray:
    arrays = [np.asarray(example[key]) for example in examples]
    shapes = {array.shape for array in arrays}
    if len(shapes) > 1 and key in ("image", "label"):
        sizes = sorted({shape[:2] for shape in shapes})
        raise ValueError(
            f"pictures of a batch differ in size, {sizes} (height, width): set "
            "config.data.crop, so that all are cut to it"
        )
    if len(shapes) > 1:
        raise ValueError(
            f"{key!r} has different shapes in one batch, {sorted(shapes)}: examples "
            "are stacked, so each key must have one shape"
        )
    return np.stack(arrays)
