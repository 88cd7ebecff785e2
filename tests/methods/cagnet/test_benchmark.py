"""The benchmark of synthesis runs, at small sizes, and compares like with like."""

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
    from benchmarks.synthesis_torch import mmd_solver

    inputs = synthesis.mmd_inputs()
    loss, gradient = mmd_solver(*inputs, (2.0, 5.0), sets="classes", use_gpu=False)()
    assert loss > 0 and gradient.shape == inputs[0].shape
    with pytest.raises(RuntimeError, match="losses differ"):
        synthesis.check_same_mmd((2 * loss, gradient), (loss, gradient))
