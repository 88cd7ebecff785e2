"""Notebooks hold calls and pictures: no logic, no outputs, a badge."""

import ast
import pathlib

import nbformat
import pytest

ROOT = pathlib.Path(__file__).parent.parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LOGIC = (
    *(ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef),
    *(ast.For, ast.While, ast.Try),
)
MOST_LINES = 25
MOST_STORED_BYTES = 3_000

pytestmark = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)


def code(path):
    notebook = nbformat.read(path, as_version=4)
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def python(source):
    """A cell without the lines that are the shell's or IPython's."""
    lines = source.splitlines()
    return "\n".join(
        line.replace(line.strip(), "pass") if line.strip()[:1] in ("!", "%") else line
        for line in lines
    )


def test_the_notebook_holds_no_logic(path):
    for cell in code(path):
        assert len(cell.source.splitlines()) <= MOST_LINES, cell.source
        found = [x for x in ast.walk(ast.parse(python(cell.source)))]
        assert not [x for x in found if isinstance(x, LOGIC)], cell.source


def test_no_outputs_are_stored(path):
    for cell in code(path):
        assert len(str(cell.outputs)) < MOST_STORED_BYTES and not cell.execution_count


def test_the_badge_opens_this_notebook(path):
    first = nbformat.read(path, as_version=4).cells[0].source
    target = f"github/jaxseg/jaxseg/blob/main/notebooks/{path.name}"
    assert f"(https://colab.research.google.com/{target})" in first
