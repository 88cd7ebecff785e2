"""The peer of `benchmarks.data`: a torch DataLoader over Pillow and NumPy.

Written as the data sets of published training code are: files are decoded by Pillow,
resized by Pillow, cropped, mirrored, brightened and padded in NumPy, and collated by
torch in its worker processes.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from PIL import Image
from torch.utils import data


class Pairs(data.Dataset):
    """Augmented pairs of picture and mask.

    Args:
        pairs: paths of pictures and masks.
        table: [256] uint8, train ids by raw id.
        crop: height and width of what comes out.
        fill: the colour of padding.
        length: of an epoch; pairs come again and again until then.
    """

    def __init__(
        self,
        pairs: Sequence[tuple[str, str]],
        table: np.ndarray,
        crop: tuple[int, int],
        fill: tuple[int, int, int],
        length: int,
    ):
        self.pairs = list(pairs)
        self.table = table
        self.crop = crop
        self.fill = fill
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        picture, mask = self.pairs[index % len(self.pairs)]
        image = Image.open(picture).convert("RGB")
        label = Image.fromarray(self.table[np.asarray(Image.open(mask))])
        rng = np.random.default_rng(np.random.SeedSequence())
        scale, stretch = rng.uniform(0.5, 2), math.sqrt(rng.uniform(0.9, 1.1))
        size = (int(image.width * scale * stretch), int(image.height * scale / stretch))
        image = np.asarray(image.resize(size, Image.Resampling.BICUBIC))
        label = np.asarray(label.resize(size, Image.Resampling.NEAREST))
        return self.finish(image, label, rng)

    def finish(self, image, label, rng) -> tuple[torch.Tensor, torch.Tensor]:
        """Crops, mirrors, brightens and pads."""
        room = np.maximum(np.subtract(label.shape, self.crop), 0)
        top, left = rng.integers(0, room + 1)
        window = np.s_[top : top + self.crop[0], left : left + self.crop[1]]
        image, label = image[window], label[window]
        if rng.random() < 0.5:
            image, label = image[:, ::-1], label[:, ::-1]
        shift = rng.integers(-10, 11)
        image = np.clip(image.astype(np.int16) + shift, 0, 255).astype(np.uint8)
        top, left = rng.integers(0, np.subtract(self.crop, label.shape) + 1)
        window = np.s_[top : top + label.shape[0], left : left + label.shape[1]]
        padded = np.empty((*self.crop, 3), np.uint8)
        padded[:] = self.fill
        padded[window] = image
        ids = np.full(self.crop, 255, np.int32)
        ids[window] = label
        return torch.from_numpy(padded), torch.from_numpy(ids)


def batches(pairs: Pairs, *, batch_size: int, num_workers: int) -> Iterator:
    """Endless batches in random order, read by processes that stay."""
    loader = data.DataLoader(
        pairs,
        batch_size=batch_size,
        shuffle=True,
        num_workers=num_workers,
        persistent_workers=True,
        prefetch_factor=2,
        drop_last=True,
        multiprocessing_context="spawn",  # JAX has threads, so forks may lock up
    )
    while True:
        yield from loader
