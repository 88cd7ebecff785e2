"""The benchmark of synthesis runs, at small sizes, and compares like with like."""

import numpy as np
import pytest

from benchmarks import synthesis

SMALL = dict(hidden=(12, 8), dropout=(0.1, 0.5), features=10)


@pytest.fixture(scope="module")
def problem():
    return synthesis.make(2, 3, **SMALL)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_torch_makes_the_same_features(torch, problem, dtype):
    lines = list(
        synthesis.synthesis_lines(problem.in_type(dtype), repeats=1, with_torch=True)
    )
    assert [line["ratio"] > 0 for line in lines] == [True] * 3
    assert lines[0]["what"] == "synthesis: ours" and lines[0]["ratio"] == 1


def test_other_features_are_found_out(torch, problem):
    with pytest.raises(RuntimeError, match="features differ"):
        synthesis.check_same(problem, lambda latent: latent[..., :10] + 9)


def test_the_arithmetic_of_the_published_generator():
    # 9.43 million with the words' part of the first layer, which is looked up.
    operations = synthesis.make(1, 2).operations() / 4
    assert operations + 2 * 600 * 1024 == pytest.approx(9.43e6, rel=1e-3)


def test_the_loop_over_classes_finds_our_loss(torch):
    sets = synthesis.one_map()
    assert sets.fits and (np.bincount(sets.labels) == 256).all()
    sets = synthesis.many_maps(1, 24)
    assert sets.fits  # so that the losses are compared, too
    (ours, *theirs) = synthesis.mmd_lines(sets, repeats=1, with_torch=True)
    assert ours["ratio"] == 1 and [line["ratio"] > 0 for line in theirs] == [True] * 3
    solve = synthesis.torch_loops(sets)["torch, loop over classes"]
    loss, gradient = solve()
    assert loss > 0 and gradient.shape == sets.generated.shape
    with pytest.raises(RuntimeError, match="losses differ"):
        synthesis.check_same_mmd((2 * loss, gradient), (loss, gradient))


def test_the_loops_go_through_the_sets_that_they_name(torch):
    from benchmarks import synthesis_torch

    sets = synthesis.many_maps(2, 11)
    assert len(sets.labels) == len(sets.real) == 2 * 11 * 11
    labels = torch.from_numpy(sets.labels)
    runs = [labels[run] for run in synthesis_torch.runs_in_turn(labels)]
    assert torch.equal(torch.cat(runs), labels)
    assert all(len(run.unique()) == 1 for run in runs)
    changes = int((np.diff(sets.labels) != 0).sum())
    assert len(runs) == changes + 1
    for rows, most in zip(
        synthesis_torch.classes_in_turn(labels),
        synthesis_torch.drawn_in_turn(labels, 5),
        strict=True,
    ):
        assert set(most.tolist()) <= set(rows.tolist())
        assert len(set(most.tolist())) == min(5, len(rows))
