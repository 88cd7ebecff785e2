"""The architecture is a table of rows; a module imports from rows above its own."""

import ast
import importlib
import pathlib

from jaxseg.methods.base import Method

ROOT = pathlib.Path(__file__).parent.parent / "jaxseg"
ROWS = (
    ("config", "compilation_cache", "peers"),
    ("roll_call",),
    ("distributed",),
    ("ops", "sharding", "state", "data.labels", "data.word_vectors"),
    (
        "losses",
        "memory",
        "metrics",
        "protocols",
        "visualize",
        "plots",
        "checkpoints",
        "optimizers",
    ),
    ("workfolder", "reporting"),
    ("models", "data"),
    ("pretrained",),
    ("methods",),
    ("initialization", "inference"),
    ("tally",),
    ("evaluate", "hooks"),
    ("predict", "live"),
    ("train",),
    ("command",),
    ("tools", "main"),
)


def row(module: str) -> int:
    """The row of the longest name in the table that `module` starts with."""
    names = {name: i for i, names in enumerate(ROWS) for name in names}
    matches = [n for n in names if module == n or module.startswith(f"{n}.")]
    assert matches, f"jaxseg.{module} stands in no row of the table"
    return names[max(matches, key=len)]


def package(module: str) -> str:
    """What counts as one room: a method's folder or file, else the first name."""
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] in ("methods", "data") else parts[0]


def imported(path: pathlib.Path) -> set[str]:
    """The jaxseg modules that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {
                f"{node.module}.{a.name}"
                if (ROOT.parent / node.module.replace(".", "/")).is_dir()
                else node.module
                for a in node.names
            }
    return {
        name.removeprefix("jaxseg.") for name in found if name.startswith("jaxseg.")
    }


def all_modules() -> dict[str, pathlib.Path]:
    paths = [p for p in ROOT.rglob("*.py") if p.name != "__init__.py"]
    return {
        ".".join(p.relative_to(ROOT).with_suffix("").parts): p for p in sorted(paths)
    }


def test_imports_point_one_way():
    wrong = [
        f"{module} imports {other}"
        for module, path in all_modules().items()
        for other in imported(path)
        if other != "__version__"
        and row(other) >= row(module)
        and other.split(".")[0] != module.split(".")[0]
    ]
    assert not wrong


def test_methods_do_not_import_each_other():
    wrong = [
        f"{module} imports {other}"
        for module, path in all_modules().items()
        if module.startswith("methods.")
        for other in imported(path)
        if other.startswith("methods.")
        and other != "methods.base"
        and package(other) != package(module)
    ]
    assert not wrong


def test_only_sharding_names_a_mesh_axis():
    naming = [
        module
        for module, path in all_modules().items()
        if "PartitionSpec" in path.read_text() and module != "sharding"
    ]
    assert not naming


def test_torch_and_tensorflow_are_imported_nowhere():
    for module, path in all_modules().items():
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in getattr(node, "names", [])]
            names.append(getattr(node, "module", None) or "")
            tops = {name.split(".")[0] for name in names}
            assert "tensorflow" not in tops, module
            assert "torch" not in tops or module.startswith("pretrained."), module


def test_methods_inherit_from_the_seam_alone():
    names = [module for module in all_modules() if module.startswith("methods.")]
    for name in names:
        importlib.import_module(f"jaxseg.{name}")
    ours = [c for c in Method.__subclasses__() if c.__module__.startswith("jaxseg.")]
    assert len(ours) > 5
    for method in ours:
        below = [
            c for c in method.__subclasses__() if c.__module__.startswith("jaxseg")
        ]
        assert not below, f"{method.__name__} is a method, and {below} inherit from it"
