import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parent.parent


def launch(*arguments, **environment):
    return subprocess.run(
        ["launch/single_machine.sh", *arguments],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )


def test_a_dry_run_prints_the_command_and_makes_nothing(tmp_path):
    done = launch(
        *("configs/quickstart.py:tiny", str(tmp_path / "run"), "--config.seed=3"),
        DRY_RUN="1",
        DEVICES="0,1",
    )
    assert done.returncode == 0
    assert "devices: 0,1" in done.stdout
    assert "-m jaxseg.main --config configs/quickstart.py:tiny" in done.stdout
    assert done.stdout.strip().endswith("--config.seed=3")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((), "launch/single_machine.sh configs/"), (("no.py", "w"), "no such config")],
)
def test_a_mistake_is_explained(arguments, message):
    done = launch(*arguments)
    assert done.returncode == 2 and message in done.stderr
