"""Batches for training and evaluation, the same whatever loads them.

Read `Stream` first: it is the endless training order, of which position p is found
without the ones before, so that a step number is all that a run must remember.
`loaders` reads it ahead.
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import numpy as np
from absl import logging

from jaxseg.data import buckets as buckets_lib
from jaxseg.data.buckets import Place, Size
from jaxseg.data.labels import ignored_id
from jaxseg.data.loaders import Batches, GrainBatches, Share, Slot, Steps, ThreadBatches
from jaxseg.data.processes import Workers
from jaxseg.data.source import Example, PictureError, Source, UnknownLabelError
from jaxseg.data.transforms import MEAN_COLOUR
from jaxseg.data.zero_shot import Guard

Transform: TypeAlias = Callable[[Example, np.random.Generator], Example]
Draw: TypeAlias = Callable[[np.random.Generator], int]


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
        unseen: train ids that no example may hold; see `zero_shot.Guard`.
        draw: chooses the picture of a position at random instead of the epoch's order,
            which then only counts; an unreadable picture is replaced by another draw.
    """

    def __init__(
        self,
        source: Source,
        *,
        transform: Transform,
        seed: int,
        on_error: str = "raise",
        unseen: Sequence[int] = (),
        draw: Draw | None = None,
    ):
        if not len(source):
            raise ValueError("there are no pictures to train on")
        self._pictures = _Pictures(source, _checked(on_error))
        self._length = len(source)
        self._transform = transform
        self._seed = seed
        self._guard = Guard(unseen)
        self._draw = draw
        self._orders: dict[int, np.ndarray] = {}

    def __getitem__(self, position: int) -> Example:
        return self.read(position).example

    def read(self, position: int) -> Slot:
        """The example at a position, and which pictures were skipped for it."""
        rng = self._generator(position)
        skipped: list[str] = []
        for index in self._candidates(position, rng):
            example = self._pictures.read(index, skipped)
            if example is not None:
                example = self._transform(example, rng)
                self._guard.check(example, self._pictures.source.name(index))
                return Slot(example, True, tuple(skipped))
        raise PictureError(
            f"none of {self._length} pictures can be read; the first is {skipped[0]}"
        )

    def name(self, position: int) -> str:
        """Which picture lies at a position, for messages."""
        first = next(self._candidates(position, self._generator(position)))
        return self._pictures.source.name(first)

    def _generator(self, position: int) -> np.random.Generator:
        epoch, start = divmod(position, self._length)
        picture = int(self._order(epoch)[start])
        return np.random.default_rng((self._seed, epoch, picture))

    def _candidates(self, position: int, rng: np.random.Generator) -> Iterator[int]:
        """The picture of a position, and those to try if it cannot be read."""
        epoch, start = divmod(position, self._length)
        order = self._order(epoch)
        for place in range(start, start + self._length):
            if self._draw is None:
                yield int(order[place % self._length])
            else:
                yield self._draw(rng)

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
    unseen: Sequence[int] = (),
    draw: Draw | None = None,
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
        num_threads: that decode, in each worker if there are any. OpenCV lets them run
            side by side; where Pillow and NumPy do the work, processes are faster.
        num_workers: processes that decode; 0 for threads of this process.
        on_error: "raise" or "skip", for unreadable pictures; see `Stream`.
        unseen: train ids that no batch may hold; an example that does is an error.
        draw: instead of the epochs' order, for instance `episodes.ByClass`.
    """
    stream = Stream(
        source,
        transform=transform,
        seed=seed,
        on_error=on_error,
        unseen=unseen,
        draw=draw,
    )
    return _load(
        stream,
        Share(batch_size, process_index, process_count),
        start_step,
        loader=loader,
        num_threads=num_threads,
        num_workers=num_workers,
    )


def _load(
    stream: Stream,
    share: Share,
    start_step: int,
    *,
    loader: str,
    num_threads: int,
    num_workers: int,
) -> Batches:
    """Reads a host's share of every step ahead; see `train_batches`."""
    if num_threads < 1:
        raise ValueError(f"num_threads must be at least 1, got {num_threads}")
    if num_workers < 0:
        raise ValueError(f"num_workers must be at least 0, got {num_workers}")
    if loader == "grain":
        return GrainBatches(
            Steps(stream.read, share, start_step), num_threads, num_workers
        )
    if loader != "threads":
        raise ValueError(f"data.loader is 'threads' or 'grain', got {loader!r}")
    steps = (share.positions(step) for step in itertools.count(start_step))
    if not num_workers:
        return ThreadBatches(stream.read, steps, num_threads)
    workers = Workers(
        stream.read, name=stream.name, num_workers=num_workers, num_threads=num_threads
    )
    num_threads *= num_workers
    return ThreadBatches(workers.read, steps, num_threads, workers.close)


def eval_batches(
    source: Source,
    *,
    batch_size: int,
    canvas: Size | None = None,
    buckets: int | str | Sequence[Size] | None = None,
    align_corners: bool = False,
    on_error: str = "raise",
    process_index: int = 0,
    process_count: int = 1,
    num_threads: int = 2,
    fill: tuple[int, int, int] = MEAN_COLOUR,
) -> Batches:
    """Opens one pass over all pictures, each once, unaugmented.

    All hosts get the same number of batches, of the same shapes in the same order;
    places past the end, and of pictures that cannot be read, are `valid=False` with
    all pixels unlabelled. Pictures lie in the upper left of their canvas. Beside what
    all batches hold there are size int32 [B, 2], the true height and width, and index
    int32 [B], the position in the split; 0, 0 and -1 for padding.

    Args:
        source: the pictures.
        batch_size: pictures in the global batch, as for `train_batches`.
        canvas: height and width to fill up to, at the bottom and on the right, if
            pictures differ in size; added pixels are unlabelled. The order of the
            batches is that of the split.
        buckets: several canvases instead, of which each picture takes the smallest
            that holds it, or how many to choose at most for the sizes of the split
            (see `buckets.choose`), or "exact" for one of each size. A batch is of one
            canvas, the largest come first, and the pictures of one canvas are in the
            order of the split.
        align_corners: of the network; the sides of chosen canvases are then one more
            than a multiple.
        on_error: "raise" or "skip", for unreadable pictures.
        process_index: of this host.
        process_count: number of hosts.
        num_threads: that decode.
        fill: the colour of what is added.
    """
    share = Share(batch_size, process_index, process_count)
    _checked(on_error)
    if canvas is not None and buckets is not None:
        raise ValueError("config.evals.<name> has canvas and buckets: give one")
    pictures = _Pictures(source, on_error)
    first = _first_readable(pictures, len(source)) if len(source) else {}
    if buckets is None:
        height, width = canvas or (first["label"].shape if first else (1, 1))
        places = _in_order(len(source), (height, width), batch_size)
    else:
        places = _in_buckets(
            source,
            buckets,
            batch_size,
            align_corners=align_corners,
            on_error=on_error,
            num_threads=num_threads,
        )
    fixed = canvas is not None or buckets is not None
    reader = _Padded(pictures, first, fixed, fill)
    steps = (batch[share.places] for batch in places)
    return ThreadBatches(reader.read, steps, num_threads)


def _in_order(length: int, size: Size, batch_size: int) -> list[list[Place]]:
    return [
        [Place(i if i < length else -1, size) for i in range(start, start + batch_size)]
        for start in range(0, length, batch_size)
    ]


def _in_buckets(
    source: Source,
    buckets: int | str | Sequence[Size],
    batch_size: int,
    *,
    align_corners: bool,
    on_error: str,
    num_threads: int,
) -> list[list[Place]]:
    sizes = buckets_lib.read_sizes(source, on_error=on_error, num_threads=num_threads)
    canvases = _canvases(sizes, buckets, batch_size, align_corners)
    return buckets_lib.plan(sizes, canvases, batch_size=batch_size, name=source.name)


def _canvases(
    sizes: np.ndarray,
    buckets: int | str | Sequence[Size],
    batch_size: int,
    align_corners: bool,
) -> Sequence[Size]:
    if isinstance(buckets, int):
        return buckets_lib.choose(
            sizes, max_shapes=buckets, batch_size=batch_size, more=int(align_corners)
        )
    if isinstance(buckets, str):
        if buckets != "exact":
            raise ValueError(
                f"config.evals.<name>.buckets is {buckets!r}: give their number, "
                "'exact', or canvases ((height, width), ...)"
            )
        return buckets_lib.every_size(sizes)
    return [(height, width) for height, width in buckets]


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


@dataclasses.dataclass(frozen=True)
class _Padded:
    """Slots of an evaluation: one picture each, laid on its canvas.

    Attributes:
        pictures: of the split.
        first: one of its examples, which says what else the others hold.
        fixed: whether canvases were asked for, rather than all of one size expected.
        fill: the colour of what is added.
    """

    pictures: _Pictures
    first: Example
    fixed: bool
    fill: tuple[int, int, int]

    def read(self, place: Place) -> Slot:
        index, canvas = place
        skipped: list[str] = []
        example = None
        if index >= 0:
            example = self.pictures.read(index, skipped)
        padded = {k: np.zeros_like(self.first[k]) for k in self._further}
        image = np.empty((*canvas, 3), np.uint8)
        image[:] = self.fill
        label = np.full(canvas, ignored_id(self._dtype), self._dtype)
        size = (0, 0)
        if example is not None:
            height, width = size = self._checked_size(example, place)
            image[:height, :width] = example["image"]
            label[:height, :width] = example["label"]
            padded |= {k: example[k] for k in self._further}
        padded |= {
            "image": image,
            "label": label,
            "size": np.array(size, np.int32),
            "index": np.array(-1 if example is None else index, np.int32),
        }
        return Slot(padded, example is not None, tuple(skipped))

    @property
    def _dtype(self) -> np.dtype:
        return self.first["label"].dtype

    @property
    def _further(self) -> set[str]:
        return set(self.first) - {"image", "label"}

    def _checked_size(self, example: Example, place: Place) -> Size:
        size, canvas = example["label"].shape, place.canvas
        fits = all(a <= b for a, b in zip(size, canvas, strict=True))
        if size == canvas or (self.fixed and fits):
            return size
        name = self.pictures.source.name(place.picture)
        needed = tuple(int(side) for side in np.maximum(size, canvas))
        if self.fixed:
            what = f"does not fit the canvas {canvas}"
        else:
            what = f"differs from {canvas}, the size of the first picture"
        raise ValueError(
            f"{name} is {size} (height, width), which {what}: set "
            f"config.evals.<name>.canvas to at least {needed}, for instance "
            "the largest height and width of the split, or config.evals.<name>.buckets "
            "to a few such sizes or to their number"
        )


def _first_readable(pictures: _Pictures, length: int) -> Example:
    skipped: list[str] = []
    for index in range(length):
        example = pictures.read(index, skipped)
        if example is not None:
            return example
    raise PictureError(
        f"none of {length} pictures can be read; the first is {skipped[0]}"
    )


def _checked(on_error: str) -> str:
    if on_error not in ("raise", "skip"):
        raise ValueError(f"on_error is 'raise' or 'skip', got {on_error!r}")
    return on_error
