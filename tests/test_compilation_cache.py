"""The command line keeps compiled programs, and a second run finds them."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from tests.test_main import QUICK, ROOT

# Names of variables that the tests themselves are run with. On several devices, which
# XLA_FLAGS would give, JAX does not keep a step that reads PiCo's memory.
OURS = (
    *("JAX_COMPILATION_CACHE_DIR", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"),
    "XLA_FLAGS",
)


def run(*command, **variables):
    """Runs Python as a user would who has set nothing but `variables`."""
    inherited = {key: value for key, value in os.environ.items() if key not in OURS}
    return subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=ROOT,
        env=inherited | {key: str(value) for key, value in variables.items()},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=True,
    ).stdout


def kept(folder):
    return {path.name for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def twice(tmp_path_factory):
    """Two new runs of one config: folder of caches, and output and losses of each."""
    caches = tmp_path_factory.mktemp("caches")
    results = []
    for _ in range(2):
        workdir = tmp_path_factory.mktemp("run")
        command = ("-m", "jaxseg.main", *QUICK, "--workdir", workdir)
        variables = dict(XDG_CACHE_HOME=caches, JAX_LOG_COMPILES=1)
        output = run(*command, **variables)
        lines = (workdir / "metrics.jsonl").read_text().splitlines()
        trained = [line for line in map(json.loads, lines) if line["split"] == "train"]
        losses = [line["loss"] for line in trained]
        results.append((output, losses, kept(caches)))
    return caches, *results


@pytest.mark.slow
def test_the_step_is_kept_and_found_again(twice):
    caches, (first, _, files), (second, _, files_after) = twice
    # Which small programs are slow enough to be kept depends on the machine's load.
    assert files <= files_after == kept(caches / "jaxseg" / "compiled")
    hit = "cache hit for 'jit_train_step'"
    assert hit not in first and hit in second
    kept_steps = [
        {name for name in names if name.startswith("jit_train_step")}
        for names in (files, files_after)
    ]
    assert kept_steps[0] and kept_steps[0] == kept_steps[1]


@pytest.mark.slow
def test_a_step_from_the_cache_computes_the_same(twice):
    _, (_, losses, _), (_, losses_again, _) = twice
    assert len(losses) == 2 and losses == losses_again


SMALL = """
import jax
from jaxseg import compilation_cache
compilation_cache.enable({folder!r})
print(jax.jit(lambda x: x + 1)(1))
"""


def compile_small(folder, home, **variables):
    script = SMALL.format(folder=folder)
    everything = dict(JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0)
    return run("-c", script, XDG_CACHE_HOME=home, **everything, **variables)


def test_a_folder_can_be_chosen(tmp_path):
    compile_small(str(tmp_path / "chosen"), tmp_path / "home")
    assert kept(tmp_path / "chosen") and not kept(tmp_path / "home")


def test_the_variable_of_jax_comes_before_the_default(tmp_path):
    variables = dict(JAX_COMPILATION_CACHE_DIR=tmp_path / "variable")
    compile_small(None, tmp_path / "home", **variables)
    assert kept(tmp_path / "variable") and not kept(tmp_path / "home")


@pytest.mark.parametrize("variable", [False, True])
def test_an_empty_folder_switches_it_off(tmp_path, variable):
    name = "JAX_COMPILATION_CACHE_DIR" if variable else "UNUSED"
    output = compile_small("", tmp_path, **{name: tmp_path / "variable"})
    assert not kept(tmp_path) and "not kept" not in output


def test_a_folder_that_cannot_be_written_to_is_a_warning(tmp_path):
    (tmp_path / "file").write_text("in the way")
    output = compile_small(str(tmp_path / "file" / "folder"), tmp_path)
    assert "compiled programs are not kept" in output and "file/folder" in output
    assert output.rstrip().endswith("2")


def test_the_default_is_where_caches_are(monkeypatch):
    from jaxseg.compilation_cache import default_folder

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    home = pathlib.Path.home() / ".cache" / "jaxseg" / "compiled"
    assert default_folder() == str(home)
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert default_folder() == "/elsewhere/jaxseg/compiled"


@pytest.mark.parametrize("module", ["jaxseg.main", "jaxseg.predict"])
def test_the_command_line_says_how_to_switch_it_off(module):
    answer = subprocess.run(
        [sys.executable, "-m", module, "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "compilation_cache" in answer.stdout and "'' for" in answer.stdout
