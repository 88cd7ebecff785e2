"""Adding up what an evaluation counts, and keeping the pictures worth a look.

`accumulate` is one pass over a split; read it first.
"""

import bisect
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from jaxseg import config as config_lib
from jaxseg import inference, sharding
from jaxseg.inference import Counts
from jaxseg.protocols.base import Protocol
from jaxseg.protocols.whole import Whole
from jaxseg.reporting import ScoredPicture
from jaxseg.state import TrainState


class Tally:
    """What a pass over a split has counted.

    Args:
        num_pictures: how many pictures of each kind to keep.
        name: the name of the picture at a position of the split.

    Attributes:
        totals: confusion int64 [C, C] and the further measures' PyTrees of int64
            arrays, exact for any number of pixels; None before the first batch.
        first: pictures from the beginning of the split.
        worst: those with the lowest scores, the lowest first.
        best: those with the highest, the highest first.
    """

    def __init__(self, num_pictures: int, name: Callable[[int], str]):
        self.totals: tuple[np.ndarray, tuple[Any, ...]] | None = None
        self.first: list[ScoredPicture] = []
        self.worst: list[ScoredPicture] = []
        self.best: list[ScoredPicture] = []
        self._num_pictures = num_pictures
        self._name = name

    def add(self, batch: Mapping[str, np.ndarray], counts: Counts) -> None:
        """Adds one batch; pictures are those that this process holds."""
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
            self._keep(self._picture(batch, row, scores[row], prediction[row]))

    def _wants(self, score: float) -> bool:
        kept = self._num_pictures
        if len(self.first) < kept:
            return True
        if math.isnan(score):
            return False
        if min(len(self.worst), len(self.best)) < kept:
            return True
        return score < self.worst[-1].score or score > self.best[-1].score

    def _keep(self, picture: ScoredPicture) -> None:
        if len(self.first) < self._num_pictures:
            self.first.append(picture)
        if math.isnan(picture.score):
            return
        bisect.insort(self.worst, picture, key=lambda kept: kept.score)
        bisect.insort(self.best, picture, key=lambda kept: -kept.score)
        del self.worst[self._num_pictures :], self.best[self._num_pictures :]

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
    return tally
