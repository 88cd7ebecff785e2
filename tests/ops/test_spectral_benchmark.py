import numpy as np
import pytest

from benchmarks import measure, spectral, spectral_fields
from benchmarks.spectral_scipy import Exact, neighbours
from jaxseg.ops.affinity import colour_neighbours
from jaxseg.ops.spectral import METHODS


@pytest.mark.slow
@pytest.mark.parametrize("field", ["A", "C"])
def test_every_method_and_theirs_are_measured(field):
    methods = METHODS if field == "A" else ("auto",)
    lines = list(spectral.lines(81, 2, field, methods=methods, repeats=1, longest=60))
    names = [line["what"].removeprefix("eigenvectors: ") for line in lines]
    assert names[: len(methods)] == list(methods) and "SciPy" in names[-1]
    for line in lines:
        assert line["sine"] < 1e-2
        assert line["images_per_second"] == pytest.approx(2 / line["median"], rel=1e-2)


def test_what_is_slow_is_called_once(monkeypatch):
    monkeypatch.setattr(measure, "REST", 0)
    monkeypatch.setattr(spectral, "WARM", 2)
    calls = dict.fromkeys(("fast", "slow"), 0)

    def counted(name, seconds):
        def run():
            calls[name] += 1
            return seconds

        return spectral.Call(run, lambda: np.zeros(0))

    given = dict(fast=counted("fast", 1.0), slow=counted("slow", 30.0))
    seconds = spectral.in_turn(given, repeats=4, longest=20)
    assert calls == dict(fast=1 + 4 * (2 + 3), slow=1)
    assert seconds == dict(fast=[1.0] * 12, slow=[30.0])


def test_a_number_of_nodes_that_is_no_square_is_refused():
    with pytest.raises(SystemExit, match="use 900"):
        list(spectral.lines(901, 1, "A", repeats=1, longest=1))


def test_the_sine_is_that_of_the_angle():
    weights = np.random.default_rng(0).uniform(size=(30, 30))
    weights += weights.T
    exact, root = Exact(weights, 3), np.sqrt(weights.sum(axis=1))[:, None]
    one, two, three = exact._vectors.T
    other = np.linalg.svd(exact._vectors)[0][:, 5]  # orthogonal to all three
    turned = np.cos(0.1) * two + np.sin(0.1) * other
    assert exact.sine(np.stack([one, two, three], 1) / root) < 1e-9
    found = exact.sine(np.stack([three, one, turned], 1) / root)
    assert found == pytest.approx(np.sin(0.1), rel=1e-6)


def test_pictures_of_a_field_differ():
    features, colours = spectral_fields.make(spectral_fields.KINDS["C"], 2, 6, 8)
    assert features.shape == (2, 6, 6, 8) and colours.shape == (2, 6, 6, 3)
    assert np.min(colours) >= 0 and np.max(colours) <= 1
    assert np.any(features[0] != features[1])
    assert spectral_fields.make(spectral_fields.KINDS["A"], 1, 6, 8)[1] is None


def test_their_neighbours_are_ours():
    colours = np.random.default_rng(0).uniform(size=(9, 11, 3)).astype(np.float32)
    np.testing.assert_array_equal(neighbours(colours), colour_neighbours(colours))
