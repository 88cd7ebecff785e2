"""Adding up what an evaluation counts, and keeping the pictures worth a look.

`accumulate` is one pass over a split; read it first.
"""

import bisect
import math
import pickle
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeAlias

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh

from jaxseg import config as config_lib
from jaxseg import inference, sharding
from jaxseg.inference import Counts
from jaxseg.protocols.base import Protocol
from jaxseg.protocols.whole import Whole
from jaxseg.reporting import ScoredPicture
from jaxseg.state import TrainState

Place: TypeAlias = tuple[int, int, int]  # in a pass: batch, process, row


class Kept(NamedTuple):
    """A picture, and where it was met."""

    place: Place
    picture: ScoredPicture


# What is kept of a pass, and in which order of scores and places.
KINDS: Mapping[str, Callable[[float, Place], Any]] = {
    "first": lambda score, place: place,
    "worst": lambda score, place: (score, place),
    "best": lambda score, place: (-score, place),
}


class Tally:
    """What a pass over a split has counted.

    Args:
        num_pictures: how many pictures of each kind to keep.
        name: the name of the picture at a position of the split.

    Attributes:
        totals: confusion int64 [C, C] and the further measures' PyTrees of int64
            arrays, exact for any number of pixels; None before the first batch.
        kept: pictures of each kind, in its order.
    """

    def __init__(self, num_pictures: int, name: Callable[[int], str]):
        self.totals: tuple[np.ndarray, tuple[Any, ...]] | None = None
        self.kept: dict[str, list[Kept]] = {kind: [] for kind in KINDS}
        self._num_batches = 0
        self._num_pictures = num_pictures
        self._name = name

    @property
    def first(self) -> list[ScoredPicture]:
        """Pictures from the beginning of the split."""
        return [kept.picture for kept in self.kept["first"]]

    @property
    def worst(self) -> list[ScoredPicture]:
        """Those with the lowest scores, the lowest first."""
        return [kept.picture for kept in self.kept["worst"]]

    @property
    def best(self) -> list[ScoredPicture]:
        """Those with the highest scores, the highest first."""
        return [kept.picture for kept in self.kept["best"]]

    def add(self, batch: Mapping[str, np.ndarray], counts: Counts) -> None:
        """Adds one batch; pictures are those that this process holds, see `gather`."""
        self._num_batches += 1
        exact = jax.tree.map(
            lambda count: np.asarray(count, np.int64),
            (counts.confusion, counts.measures),
        )
        self.totals = (
            exact if self.totals is None else jax.tree.map(np.add, self.totals, exact)
        )
        if not self._num_pictures:
            return
        scores = inference.local_rows(counts.scores)
        rows = [
            row
            for row, valid in enumerate(batch["valid"])
            if valid and self._wants(scores[row])
        ]
        if not rows:
            return
        prediction = inference.local_rows(counts.prediction)
        for row in rows:
            picture = self._picture(batch, row, scores[row], prediction[row])
            place = (self._num_batches, jax.process_index(), row)
            self._keep(Kept(place, picture))

    def gather(self) -> None:
        """Has every process keep what one process would have kept; all must ask."""
        if jax.process_count() == 1 or not self._num_pictures:
            return
        for kind, kept in among_processes(self.kept, self._num_pictures).items():
            self.kept[kind] = kept

    def _wants(self, score: float) -> bool:
        if len(self.kept["first"]) < self._num_pictures:
            return True
        if math.isnan(score):
            return False
        worst, best = self.kept["worst"], self.kept["best"]
        if min(len(worst), len(best)) < self._num_pictures:
            return True
        return score < worst[-1].picture.score or score > best[-1].picture.score

    def _keep(self, kept: Kept) -> None:
        for kind, key in KINDS.items():
            if kind == "first" or not math.isnan(kept.picture.score):
                bisect.insort(
                    self.kept[kind], kept, key=lambda k: key(k.picture.score, k.place)
                )
                del self.kept[kind][self._num_pictures :]

    def _picture(
        self,
        batch: Mapping[str, np.ndarray],
        row: int,
        score: float,
        prediction: np.ndarray,
    ) -> ScoredPicture:
        image, truth = batch["image"][row], batch["label"][row]
        height, width = batch["size"][row] if "size" in batch else truth.shape
        index = int(batch["index"][row]) if "index" in batch else -1
        return ScoredPicture(
            name=self._name(index) if index >= 0 else "",
            score=float(score),
            image=image[:height, :width].copy(),
            truth=truth[:height, :width].copy(),
            prediction=prediction[:height, :width].copy(),
        )


def among_processes(
    kept: Mapping[str, list[Kept]], num_pictures: int
) -> dict[str, list[Kept]]:
    """The first in order of what all processes keep; all must ask.

    Args:
        kept: of this process, by kind.
        num_pictures: how many to keep.
    """
    pickled = {k.place: pickle.dumps(k.picture) for kind in kept.values() for k in kind}
    index = np.zeros((len(KINDS), num_pictures, 4), np.int32)  # a length of 0: none
    scores = np.zeros((len(KINDS), num_pictures), np.float32)
    for i, kind in enumerate(KINDS):
        for j, one in enumerate(kept[kind]):
            index[i, j] = (*one.place, len(pickled[one.place]))
            scores[i, j] = one.picture.score
    # [processes, kinds, pictures, ...]
    index, scores = multihost_utils.process_allgather((index, scores))
    sent: dict[Place, ScoredPicture] = {}
    result: dict[str, list[Kept]] = {}
    for i, (kind, key) in enumerate(KINDS.items()):
        candidates = sorted(
            (key(float(score), (batch, process, row)), (batch, process, row), length)
            for (batch, process, row, length), score in zip(
                index[:, i].reshape(-1, 4).tolist(), scores[:, i].ravel(), strict=True
            )
            if length
        )
        result[kind] = []
        for _, place, length in candidates[:num_pictures]:
            if place not in sent:  # one picture may be of several kinds
                sent[place] = _send(pickled.get(place), place, length)
            result[kind].append(Kept(place, sent[place]))
    return result


def _send(pickled: bytes | None, place: Place, length: int) -> ScoredPicture:
    """Sends a picture from the process that has it to all."""
    # Of few lengths, since each is a program of its own.
    data = np.zeros(1 << (length - 1).bit_length(), np.uint8)
    is_source = place[1] == jax.process_index()
    if is_source:
        assert pickled is not None
        data[:length] = np.frombuffer(pickled, np.uint8)
    data = np.asarray(multihost_utils.broadcast_one_to_all(data, is_source=is_source))
    return pickle.loads(data[:length].tobytes())


def accumulate(
    count: Callable[..., Counts],
    state: TrainState,
    batches: Iterable[Mapping[str, np.ndarray]],
    *,
    mesh: Mesh,
    protocol: Protocol = Whole(),  # noqa: B008
    num_pictures: int = 0,
    name: Callable[[int], str] = str,
    stop: Callable[[], bool] = lambda: False,
) -> Tally | None:
    """Adds up the counts of all batches.

    Args:
        count: of `inference.make_count`.
        state: of `inference.predicting`.
        batches: host batches, those of the same shape compile once.
        mesh: the devices.
        protocol: how the network is shown the pictures.
        num_pictures: how many pictures to hand back of each kind.
        name: the name of the picture at a position of the split, a batch's `index`.
        stop: asked between batches.

    Returns:
        The sums and the pictures, or None if stopped.

    Raises:
        ConfigError: if there are no batches.
    """
    tally = Tally(num_pictures, name)
    pending: tuple[Mapping[str, np.ndarray], Counts] | None = None
    for batch in batches:
        if stop():
            return None
        placed = sharding.to_devices(batch, mesh)
        counts = count(state, placed, inference.fitted(protocol, batch))
        # Reading the batch before this one leaves the devices busy with this one.
        if pending is not None:
            tally.add(*pending)
        pending = batch, counts
    if pending is None:
        raise config_lib.ConfigError("the split to evaluate holds no pictures")
    tally.add(*pending)
    tally.gather()
    return tally
