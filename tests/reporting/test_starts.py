from jaxseg.reporting import starts

VERSIONS = {"python": "3.11", "devices": ["cpu"]}


def start(workdir, command, **given):
    starts.record_start(
        workdir, command=command, changed={"seed": 1}, versions=VERSIONS, **given
    )


def test_every_start_is_a_line(tmp_path):
    for command in ("train", "train again"):
        start(tmp_path / "run", command)
    first, second = starts.read_starts(tmp_path / "run")
    assert (first["command"], second["command"]) == ("train", "train again")
    assert first["changed"] == {"seed": "1"} and first["versions"] == VERSIONS
    assert first["time"].endswith("+00:00")


def test_other_processes_write_nothing(tmp_path):
    start(tmp_path / "run", "train", is_main=False)
    assert not list(tmp_path.iterdir()) and starts.read_starts(tmp_path) == []
