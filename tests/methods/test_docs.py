"""What the methods' pages name is there: functions by path, keys and defaults."""

import ast
import dataclasses
import importlib
import pathlib
import re
import typing

import pytest

from jaxseg.methods import base

ROOT = pathlib.Path(__file__).parent.parent.parent
PAGES = {
    page.stem: page.read_text()
    for page in sorted((ROOT / "docs" / "methods").glob("*.md"))
    if "## From equation to function" in page.read_text()
}
OF_MODULES = ("parent", "name")  # which flax gives to every module
NAME = re.compile(r"`([A-Za-z_]+(?:\.[A-Za-z_]\w*)+)`")

pytestmark = pytest.mark.parametrize("page", PAGES)


def table(page, heading):
    """The cells of the rows below a heading, without the table's head."""
    text = PAGES[page].split(f" {heading}\n", 1)[1].split("\n#", 1)[0]
    rows = [line for line in text.splitlines() if line.startswith("|")]
    return [[x.strip() for x in row.split(" | ")] for row in rows[2:]]


def methods(page):
    """The classes that a method's package offers."""
    module = importlib.import_module(f"jaxseg.methods.{page}")
    found = [getattr(module, name) for name in getattr(module, "__all__", vars(module))]
    return [x for x in found if isinstance(x, type) and issubclass(x, base.Method)]


def is_there(page, name):
    """Whether `losses.cross_entropy.loss`, `m.pico.loss` or `PiCo.loss` exists."""
    for method in methods(page):
        if name.startswith(f"{method.__name__}."):
            return hasattr(method, name.partition(".")[2])
    module, _, attribute = re.sub(r"^m\.", "methods.", name).rpartition(".")
    try:
        found = importlib.import_module(f"jaxseg.{module}")
        return hasattr(found, attribute) or bool(
            importlib.import_module(f"jaxseg.{module}.{attribute}")
        )
    except ModuleNotFoundError:
        return False


def test_functions_of_equations_exist(page):
    names = [
        name
        for row in table(page, "From equation to function")
        for name in NAME.findall(row[-1])
    ]
    assert names and not [name for name in names if not is_there(page, name)]


def keys(options, prefix="", without=()):
    """Keys and defaults of a class of options, and of the options that those may be."""
    found = {}
    hints = typing.get_type_hints(options)
    for field in dataclasses.fields(options):
        if field.name in without:
            continue
        key, hint = f"{prefix}{field.name}", hints[field.name]
        below = [
            x for x in (hint, *typing.get_args(hint)) if dataclasses.is_dataclass(x)
        ]
        if not below or field.default is None:
            required = field.default is dataclasses.MISSING
            found[key] = "required" if required else field.default
        for section in below:
            found |= keys(section, f"{key}.", (*OF_MODULES, "model"))
    return {key: value for key, value in found.items() if not callable(value)}


def test_every_key_is_explained_with_its_default(page):
    rows = table(page, "Keys of `config.method`")
    told = {
        row[0].strip("|` "): row[1]
        if row[1] == "required"
        else ast.literal_eval(row[1].strip("`").replace(" ", ""))
        for row in rows
    }
    (method,) = methods(page)
    given = [field.name for field in dataclasses.fields(base.Method)]
    assert told == keys(method, without=given)
