"""The contrast in PyTorch, by whole matrices [A, C M], as the authors' code has it.

`exp_sum` computes what their loss does, with the masks as the paper means them;
`logsumexp` is the same by the functions that PyTorch has for it. `picked` takes the
positives out of the matrix, which the authors do not, before it goes on. All get what
helps them: all cores, boolean masks, the temperature in the anchors, no copy they can
do without.
"""

import os
import resource
import sys
from collections.abc import Callable

import numpy as np
import torch

from benchmarks import contrast_problem as problems
from benchmarks.contrast_problem import TEMPERATURE, Problem, Sizes

Form = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def exp_sum(scores: torch.Tensor, positive: torch.Tensor) -> torch.Tensor:
    """Mean over positives of -log( e^s_p / (e^s_p + sum_N e^s_n) ), as written, [A].

    Args:
        scores: [A, N]; they are shifted in place.
        positive: [A, N] bool.
    """
    scores -= scores.detach().amax(dim=1, keepdim=True)
    weights = torch.exp(scores)
    negatives = weights.masked_fill(positive, 0.0).sum(dim=1, keepdim=True)
    log_shares = scores - torch.log(weights + negatives)
    total = log_shares.masked_fill_(~positive, 0.0).sum(dim=1)
    return -total / positive.sum(dim=1)


def logsumexp(scores: torch.Tensor, positive: torch.Tensor) -> torch.Tensor:
    """The same in log space, where nothing overflows and no log of 0 is taken, [A].

    Args:
        scores: [A, N].
        positive: [A, N] bool.
    """
    negatives = scores.masked_fill(positive, -torch.inf)
    lse = torch.logsumexp(negatives, dim=1, keepdim=True)
    losses = torch.nn.functional.softplus(lse - scores)
    total = losses.masked_fill_(~positive, 0.0).sum(dim=1)
    return total / positive.sum(dim=1)


def picked(scores: torch.Tensor, positive: torch.Tensor) -> torch.Tensor:
    """The same, where losses are computed of the positives alone, [A].

    Args:
        scores: [A, N]; they are shifted in place.
        positive: [A, N] bool, as many in every row, as in a full bank.
    """
    scores -= scores.detach().amax(dim=1, keepdim=True)
    weights = torch.exp(scores)
    negatives = weights.masked_fill(positive, 0.0).sum(dim=1, keepdim=True)
    of_positives = scores[positive].view(len(scores), -1)
    losses = torch.log(torch.exp(of_positives) + negatives) - of_positives
    return losses.mean(dim=1)


FORMS = dict(exp=exp_sum, logsumexp=logsumexp, picked=picked)


def solver(problem: Problem, form: Form) -> Callable[[], tuple[float, np.ndarray]]:
    """Computes the loss and its gradient to the anchors with every call."""
    torch.set_num_threads(os.cpu_count() or 1)
    anchors = torch.from_numpy(problem.anchors).requires_grad_()
    labels = torch.from_numpy(problem.labels)
    num_classes, num_slots, dim = problem.bank.shape
    bank = torch.from_numpy(problem.bank).view(-1, dim)  # where it lies
    bank_labels = torch.arange(num_classes).repeat_interleave(num_slots)

    def solve() -> tuple[float, np.ndarray]:
        scores = (anchors / TEMPERATURE) @ bank.T
        loss = form(scores, labels[:, None] == bank_labels).mean()
        (gradient,) = torch.autograd.grad(loss, anchors)
        return loss.item(), gradient.numpy()

    return solve


def serve(form: str, sizes: tuple[int, int, int]) -> None:
    """What a process does that measures one form, named as in `FORMS`."""
    solve = solver(problems.make(Sizes(*sizes)), FORMS[form])
    problems.serve(solve, _peak_memory)


def _peak_memory() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
