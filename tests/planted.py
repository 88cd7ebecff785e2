"""Pictures of seen classes, into some of which an unseen one is planted."""

import dataclasses

import jax
import numpy as np

from jaxseg.data import inputs
from jaxseg.data.labels import LabelSet

PATTERNS = {"red": (255, 0, 0), "green": (0, 255, 0)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Planted:
    """A data set of eight pictures; into every other one a patch is planted.

    Attributes:
        labels: all classes.
        size: of the pictures, multiples of 4.
        colour: of the patch.
        ids: its labels, drawn from these.
    """

    labels: LabelSet
    size: tuple[int, int]
    colour: tuple[int, int, int] = PATTERNS["red"]
    ids: tuple[int, ...]

    def source(self, split):
        del split
        return self

    def __len__(self):
        return 8

    def __getitem__(self, index):
        rng = np.random.RandomState(index)
        height, width = self.size
        image = rng.randint(0, 120, (height, width, 3)).astype(np.uint8)
        blocks = rng.choice(self.labels.seen, (height // 4, width // 4))
        label = blocks.repeat(4, 0).repeat(4, 1)
        if index % 2:
            image[4:12, 8:16] = self.colour
            label[4:12, 8:16] = np.resize(self.ids, (8, 8))
        return dict(image=image, label=label.astype(np.uint8))

    def name(self, index):
        return f"picture {index}"


def first_batches(config, planted, count):
    """The first batches of a run, as it trains on them."""
    stream = inputs.training_batches(config, planted, start_step=0)
    found = [jax.tree.map(np.asarray, dict(next(stream))) for _ in range(count)]
    stream.close()
    return found
