import sys

import pytest

from jaxseg.reporting import starts

VERSIONS = {"python": "3.11", "devices": ["cpu"]}


def start(workdir, *arguments, **given):
    command = ["/usr/bin/python3", "-m", "jaxseg.main", *arguments]
    starts.record_start(workdir, versions=VERSIONS, arguments=command, **given)


def test_every_start_is_a_line(tmp_path):
    for value in (1, 2):
        start(tmp_path / "run", "--workdir", "my run", f"--config.seed={value}")
    first, second = starts.read_starts(tmp_path / "run")
    command = "python -m jaxseg.main --workdir 'my run' --config.seed="
    assert (first["command"], second["command"]) == (f"{command}1", f"{command}2")
    assert first["changed"] == {"seed": "1"} and first["versions"] == VERSIONS
    assert first["time"].endswith("+00:00")


def test_other_processes_write_nothing(tmp_path):
    start(tmp_path / "run", is_main=False)
    assert not list(tmp_path.iterdir()) and starts.read_starts(tmp_path) == []


def test_without_arguments_it_is_this_process(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "orig_argv", ["/usr/bin/python3", "-m", "run", "a b"])
    starts.record_start(tmp_path, versions=VERSIONS)
    assert starts.read_starts(tmp_path)[0]["command"] == "python -m run 'a b'"


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["--config", "a.py:tiny", "--workdir=b"], {}),
        (["--config.a.b=1e-3", "-config.c=x=y"], {"a.b": "1e-3", "c": "x=y"}),
        (["--config.a", "(1, 2)", "--mode=eval"], {"a": "(1, 2)"}),
        (["--config.a="], {"a": ""}),
    ],
)
def test_what_a_command_line_changes(arguments, found):
    assert starts.changed(arguments) == found
