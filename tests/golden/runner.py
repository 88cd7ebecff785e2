"""Finds golden files, sends each to its check, and collects what came of it.

The checks of a system are the public functions of `checks/<system>.py`. A file goes to
the one whose name is the longest beginning of the file's name: `pico/ce_00.npz` to
`checks.pico.ce`. To add a family, write its function; nothing is registered.
"""

import collections
import dataclasses
import importlib
import inspect
import pathlib
from collections.abc import Callable, Mapping, Sequence

import jax

from tests.golden.case import Case

ROOT = pathlib.Path(__file__).parent
Check = Callable[[Case], None]


@dataclasses.dataclass(frozen=True)
class Result:
    """What came of one file; `failure` is empty if it passed."""

    file: str
    check: str
    failure: str

    @property
    def passed(self) -> bool:
        return not self.failure


def run_all(root: pathlib.Path, systems: Sequence[str] = ()) -> list[Result]:
    """Runs all cases in `root/<system>/*.npz`, of all systems if none is named."""
    folders = [root / system for system in systems] or sorted(root.glob("*"))
    return [
        run(path, checks_of(folder.name))
        for folder in folders
        for path in sorted(folder.glob("*.npz")) or _nothing(folder, systems)
    ]


def run(path: pathlib.Path, checks: Mapping[str, Check]) -> Result:
    """Runs one case. A check that passes over an array, or compares none, fails."""
    system, file = path.parent.name, f"{path.parent.name}/{path.stem}"
    name = find(path.stem, checks)
    if name is None:
        return Result(file, f"{system}/-", "no check has a name that begins its name")
    try:
        case = Case(path)
        # Without it a GPU would multiply in TF32, three digits short.
        with jax.default_matmul_precision("highest"):
            checks[name](case)
    except Exception as error:  # whatever a check stumbles over is its result
        return Result(file, f"{system}/{name}", f"{type(error).__name__}: {error}")
    failure = ""
    if case.unread:
        failure = f"neither read nor set aside: {', '.join(case.unread)}"
    elif not case.num_comparisons:
        failure = "the check compared nothing"
    return Result(file, f"{system}/{name}", failure)


def find(stem: str, checks: Mapping[str, Check]) -> str | None:
    """Returns the longest name of a check that `stem` begins with."""
    return max(filter(stem.startswith, checks), key=len, default=None)


def checks_of(system: str) -> dict[str, Check]:
    """Returns the checks of a system by name; none if it has no module.

    The module `pico` may import some from files of its own, `pico_contrast` and so on.
    """
    if not (ROOT / "checks" / f"{system}.py").exists():
        return {}
    module = importlib.import_module(f"tests.golden.checks.{system}")
    return {
        name: function
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__.startswith(module.__name__) and not name.startswith("_")
    }


def table(results: Sequence[Result]) -> str:
    """Writes counts per check, the failures, and the sum as the last line."""
    passed = collections.Counter(r.check for r in results if r.passed)
    failed = collections.Counter(r.check for r in results if not r.passed)
    width = max([5, *(len(result.check) for result in results)])
    lines = [f"{'check':<{width}}  passed  failed"]
    for check in dict.fromkeys(result.check for result in results):
        lines.append(f"{check:<{width}}  {passed[check]:6}  {failed[check]:6}")
    for result in results:
        if not result.passed:
            lines.append(f"\n{result.file} FAILED\n  {_indent(result.failure)}")
    return "\n".join([*lines, f"\n{passed.total()} passed, {failed.total()} failed"])


def _nothing(folder: pathlib.Path, systems: Sequence[str]) -> list[pathlib.Path]:
    if systems:  # someone asked for this one
        raise SystemExit(f"{folder} holds no npz file")
    return []


def _indent(text: str) -> str:
    return "\n  ".join(line for line in text.splitlines() if line.strip())
