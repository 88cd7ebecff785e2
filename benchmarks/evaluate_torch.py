"""Evaluation with sliding windows in PyTorch: the other side of `benchmarks.evaluate`.

The loop is that of common libraries: for each place of the window, cut it out of all
pictures, add up logits and counts; divide, take classes, count with `bincount`.
"""

import time

import numpy as np
import torch

from benchmarks.models_torch import Network


class Loop:
    """Pictures and a network, evaluated by windows.

    Args:
        name: of the network, see `benchmarks.models_torch.NETS`.
        num_classes: C.
        image: [B, H, W, 3] float32.
        label: [B, H, W] class ids.
        window: height and width.
        stride: down and right.
        use_gpu: compute there.
    """

    def __init__(
        self,
        name: str,
        num_classes: int,
        image: np.ndarray,
        label: np.ndarray,
        *,
        window: tuple[int, int],
        stride: tuple[int, int],
        use_gpu: bool,
    ):
        self.network = Network(name, num_classes, image, label, use_gpu=use_gpu)
        self.num_classes = num_classes
        height, width = image.shape[1:3]
        self.window = window
        self.places = [
            (top, left)
            for top in starts(height, window[0], stride[0])
            for left in starts(width, window[1], stride[1])
        ]

    def run(self) -> float:
        """From pictures to the confusion matrix on the host; gives the seconds."""
        began = time.perf_counter()
        self._confusion(self._classes()).cpu()
        return time.perf_counter() - began

    def ids(self) -> np.ndarray:
        """Class ids [B, H, W]."""
        return self._classes().cpu().numpy()

    @torch.no_grad()
    def _classes(self) -> torch.Tensor:
        image = self.network.image
        b, _, height, width = image.shape
        total = image.new_zeros(b, self.num_classes, height, width)
        count = image.new_zeros(1, 1, height, width)
        on_gpu = image.is_cuda
        for top, left in self.places:
            rows = slice(top, top + self.window[0])
            columns = slice(left, left + self.window[1])
            with torch.autocast(image.device.type, torch.bfloat16, enabled=on_gpu):
                logits = self.network.models[False](image[:, :, rows, columns])
            total[:, :, rows, columns] += logits.float()
            count[:, :, rows, columns] += 1
        return (total / count).argmax(1)

    def _confusion(self, classes: torch.Tensor) -> torch.Tensor:
        label, c = self.network.label, self.num_classes
        labelled = (label >= 0) & (label < c)
        cells = label[labelled] * c + classes[labelled]
        return torch.bincount(cells, minlength=c * c).reshape(c, c)


def starts(length: int, window: int, stride: int) -> list[int]:
    """Where windows begin along a side, the last at the border."""
    return [*range(0, length - window, stride), max(length - window, 0)]
