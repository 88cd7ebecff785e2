"""The generator and the MMD of `benchmarks.synthesis` in PyTorch.

The generator has the released structure: 1x1 convolutions on maps [B, D, h, w] of word
vectors beside latent codes. As linear layers on rows it is the same, without maps. The
MMD goes through its sets one after the other, as the release does.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

Layer = tuple[np.ndarray, np.ndarray]


class Generator(nn.Module):
    """The MLP of given layers, kernels [in, out] and biases, on maps or on rows."""

    def __init__(self, layers: Sequence[Layer], rates: Sequence[float], on_maps: bool):
        super().__init__()
        modules: list[nn.Module] = []
        for (kernel, bias), rate in zip(layers, [*rates, None], strict=True):
            weight = torch.from_numpy(np.ascontiguousarray(kernel.T))
            linear = (
                nn.Conv2d(*kernel.shape, 1) if on_maps else nn.Linear(*kernel.shape)
            )
            linear.weight.data = weight.reshape(linear.weight.shape)
            linear.bias.data = torch.from_numpy(bias.copy())
            modules.append(linear)
            if rate is not None:
                modules += [nn.LeakyReLU(0.2), nn.Dropout(rate)]
        self.layers = nn.Sequential(*modules, nn.Sigmoid())
        self.on_maps = on_maps

    def forward(self, words: torch.Tensor, latent: torch.Tensor) -> torch.Tensor:
        return self.layers(torch.cat([words, latent], dim=1))


class Synthesis:
    """Draws features of classes, with dropout, as often as it is called."""

    def __init__(
        self,
        layers: Sequence[Layer],
        rates: Sequence[float],
        table: np.ndarray,
        class_ids: np.ndarray,
        *,
        on_maps: bool,
        dtype: str,
        use_gpu: bool,
    ):
        torch.set_num_threads(os.cpu_count() or 1)
        self.device = "cuda" if use_gpu else "cpu"
        self.dtype = getattr(torch, dtype)
        put = dict(device=self.device, dtype=self.dtype)
        self.network = Generator(layers, rates, on_maps).to(**put)
        self.table = torch.from_numpy(table).to(**put)
        self.ids = torch.from_numpy(class_ids).long().to(self.device)  # [B, h, w]

    @torch.no_grad()
    def __call__(self) -> torch.Tensor:
        shape = (*self.ids.shape, self.table.shape[1])
        if self.network.on_maps:
            shape = (shape[0], shape[3], shape[1], shape[2])
        else:
            shape = (self.ids.numel(), shape[3])
        latent = torch.randn(shape, device=self.device, dtype=self.dtype)
        return self.finished(self.of_latent(latent))

    def of_latent(self, latent: torch.Tensor) -> torch.Tensor:
        """Features of latent codes in the network's layout."""
        words = self.table[self.ids]  # [B, h, w, E]
        if self.network.on_maps:
            return self.network(words.permute(0, 3, 1, 2).contiguous(), latent)
        return self.network(words.flatten(0, 2), latent)

    @torch.no_grad()
    def without_dropout(self, latent: np.ndarray) -> np.ndarray:
        """Features [B, h, w, D] of latent codes [B, h, w, Z]."""
        self.network.eval()
        codes = torch.from_numpy(latent).to(self.device, self.dtype)
        if self.network.on_maps:
            found = self.of_latent(codes.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        else:
            found = self.of_latent(codes.flatten(0, 2)).reshape(*latent.shape[:3], -1)
        self.network.train()
        return found.float().cpu().numpy()

    def finished(self, result: torch.Tensor) -> torch.Tensor:
        if self.device == "cuda":
            torch.cuda.synchronize()
        return result


def set_loss(
    generated: torch.Tensor, real: torch.Tensor, bandwidths: Sequence[float]
) -> torch.Tensor:
    """sqrt(1/2 sum_b MMD_b^2) of two sets of N rows each, []."""
    rows = torch.cat([generated, real])
    products = rows @ rows.T
    squares = products.diagonal()
    halves = products - 0.5 * squares[:, None] - 0.5 * squares
    shares = torch.full((len(rows), 1), 1 / len(real), device=rows.device)
    shares[len(generated) :] *= -1
    kernel = torch.stack([torch.exp(halves / b) for b in bandwidths]).sum(0)
    return torch.sqrt(0.5 * (shares.T @ kernel @ shares)[0, 0].clamp_min(1e-12))


def classes_in_turn(labels: torch.Tensor) -> Iterator[torch.Tensor]:
    """The rows of each class."""
    for label in torch.unique(labels):
        yield torch.nonzero(labels == label)[:, 0]


def drawn_in_turn(labels: torch.Tensor, most: int) -> Iterator[torch.Tensor]:
    """So many rows of each class, drawn at random."""
    for rows in classes_in_turn(labels):
        yield rows[torch.randperm(len(rows), device=rows.device)[:most]]


def runs_in_turn(labels: torch.Tensor) -> Iterator[slice]:
    """Runs of equal labels, found by a look at every pixel, as in the release."""
    start = 0
    for index in range(1, len(labels)):
        if labels[index] != labels[index - 1]:
            yield slice(start, index)
            start = index
    yield slice(start, len(labels))


def mmd_solver(
    generated: np.ndarray,
    real: np.ndarray,
    labels: np.ndarray,
    bandwidths: Sequence[float],
    *,
    sets: Callable[[torch.Tensor], Iterator[Any]],
    use_gpu: bool,
) -> Callable[[], tuple[float, np.ndarray]]:
    """Computes the mean loss over sets, and its gradient, with every call.

    Args:
        generated: [N, D].
        real: [N, D].
        labels: [N].
        bandwidths: of the kernels.
        sets: from the labels to the rows of one set after the other.
        use_gpu: whether it runs there.
    """
    torch.set_num_threads(os.cpu_count() or 1)
    device = "cuda" if use_gpu else "cpu"
    x = torch.from_numpy(generated).to(device).requires_grad_()
    y = torch.from_numpy(real).to(device)
    of_pixels = torch.from_numpy(labels).to(device)

    def solve() -> tuple[float, np.ndarray]:
        losses = [set_loss(x[i], y[i], bandwidths) for i in sets(of_pixels)]
        loss = torch.stack(losses).mean()
        (gradient,) = torch.autograd.grad(loss, x)
        return loss.item(), gradient.cpu().numpy()

    return solve
