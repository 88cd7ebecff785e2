import subprocess
import sys

import numpy as np
import pytest

from tests.golden import __main__ as command
from tests.golden import runner

FILES = sorted(runner.ROOT.glob("*/*.npz"))
LARGE = ("inverseform_mlp_full",)  # beginnings of names: half a gigabyte of weights
CASES = [
    pytest.param(
        path,
        id=f"{path.parent.name}-{path.stem}",
        marks=[pytest.mark.slow] if path.stem.startswith(LARGE) else [],
    )
    for path in FILES
]


@pytest.mark.parametrize("path", CASES)
def test_case(path):
    result = runner.run(path, runner.checks_of(path.parent.name))
    assert result.passed, result.failure


def test_every_check_has_a_case():
    for system in {path.parent.name for path in FILES}:
        stems = [path.stem for path in FILES if path.parent.name == system]
        used = {runner.find(stem, runner.checks_of(system)) for stem in stems}
        assert used == set(runner.checks_of(system))


def save(folder, name, **arrays):
    (folder / "pico").mkdir(exist_ok=True)
    np.savez(folder / "pico" / f"{name}.npz", **arrays)
    return folder / "pico" / f"{name}.npz"


def double(case):
    case.close("y", 2 * case["x"], rtol=1e-6)


@pytest.mark.parametrize(
    "arrays, failure",
    [
        (dict(x=1.0, y=2.0), ""),
        (dict(x=1.0, y=2.1), "Not equal to tolerance"),
        (dict(x=1.0, y=2.0, z=0.0), "neither read nor set aside: z"),
        (dict(x=1.0), "KeyError: 'y'"),
    ],
)
def test_a_case_passes_only_if_all_is_read_and_agrees(tmp_path, arrays, failure):
    result = runner.run(save(tmp_path, "double_00", **arrays), {"double": double})
    assert result.passed == (not failure) and failure in result.failure


def test_a_file_without_a_check_fails(tmp_path):
    result = runner.run(save(tmp_path, "triple_00", x=1.0), {"double": double})
    assert "no check" in result.failure


def test_a_check_that_compares_nothing_fails(tmp_path):
    path = save(tmp_path, "double_00", x=1.0)
    assert "compared nothing" in runner.run(path, {"double": lambda c: c["x"]}).failure


def test_arrays_can_be_set_aside_with_a_reason(tmp_path):
    def check(case):
        double(case)
        case.reference_only("z", reason="a defect of their code")

    path = save(tmp_path, "double_00", x=1.0, y=2.0, z=3.0)
    assert runner.run(path, {"double": check}).passed


def test_the_longest_beginning_decides():
    checks = dict.fromkeys(("loss", "loss_masked", "metrics"), double)
    assert runner.find("loss_masked_01", checks) == "loss_masked"
    assert runner.find("loss_01", checks) == "loss"
    assert runner.find("los", checks) is None


def test_nan_equals_nan_and_nothing_else(tmp_path):
    path = save(tmp_path, "double_00", x=[np.nan, 1.0], y=[np.nan, 2.0])
    assert runner.run(path, {"double": double}).passed
    path = save(tmp_path, "double_01", x=[1.0, 1.0], y=[np.nan, 2.0])
    assert not runner.run(path, {"double": double}).passed


def test_a_broken_file_is_one_failure(tmp_path):
    path = save(tmp_path, "double_00", x=1.0)
    path.write_bytes(b"not an archive")
    assert not runner.run(path, {"double": double}).passed


def test_the_last_line_counts_and_the_exit_code_tells(tmp_path, capsys, monkeypatch):
    for name in ("miou_02_perfect", "miou_00"):
        with np.load(runner.ROOT / "pico" / f"{name}.npz") as file:
            save(tmp_path, name, **file)
    monkeypatch.setattr(sys, "argv", ["golden", str(tmp_path), "pico"])
    assert command.main() == 0
    assert capsys.readouterr().out.splitlines()[-1] == "2 passed, 0 failed"

    save(tmp_path, "unheard_of", x=1.0)
    assert command.main() == 1
    assert capsys.readouterr().out.splitlines()[-1] == "2 passed, 1 failed"


def test_a_system_without_files_is_an_error(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "tests.golden", str(tmp_path), "pico"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and "holds no npz file" in done.stderr
