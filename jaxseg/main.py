"""Trains or evaluates what a config file describes.

    python -m jaxseg.main --config configs/quickstart.py --workdir runs/quickstart

Any key of the config can be set behind it: `--config.schedule.peak=2e-3`.
"""

import faulthandler
import json
import signal
import sys
from typing import Any

from absl import app, flags, logging
from ml_collections import config_flags

CONFIG = config_flags.DEFINE_config_file(
    "config", None, "Config file, with an optional :variant.", lock_config=True
)
WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run.", required=True)
MODE = flags.DEFINE_enum(
    "mode", "train", ["train", "eval"], "Train and evaluate, or only evaluate."
)
COMPILATION_CACHE = flags.DEFINE_string(
    "compilation_cache",
    None,
    "Folder that keeps compiled programs, so that the next start is faster; '' for "
    "none. Default: $JAX_COMPILATION_CACHE_DIR, else ~/.cache/jaxseg/compiled.",
)
LAUNCHER = flags.DEFINE_enum(
    "launcher",
    "auto",
    ["auto", "none", "env", "slurm", "tpu"],
    "Who says which processes take part in this run; none for this one alone.",
)
STARTUP_TIMEOUT = flags.DEFINE_float(
    "startup_timeout", 300, "Seconds to wait at the start for the other processes."
)
PEER_TIMEOUT = flags.DEFINE_float(
    "peer_timeout", 60, "Seconds of silence after which another process counts as dead."
)


def main(argv: list[str]) -> None:
    """Runs one config; flags are parsed already.

    Args:
        argv: the program's name and nothing else.
    """
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    # Imported here so that --help and a misspelt flag answer at once.
    from jaxseg import distributed, peers, reporting

    logging.set_verbosity(logging.WARNING)  # JAX says which backends are not there
    try:
        launch = distributed.find_launch(LAUNCHER.value)
        is_main = launch is None or launch.process == 0
        reporting.setup_logging(WORKDIR.value, is_main=is_main)
        line = distributed.start(
            launch,
            startup_timeout=STARTUP_TIMEOUT.value,
            peer_timeout=PEER_TIMEOUT.value,
        )
    except (distributed.LaunchError, peers.PeerError) as error:
        logging.error("%s", error)
        sys.exit(1)
    if hasattr(signal, "SIGUSR1"):  # not on Windows
        faulthandler.register(signal.SIGUSR1)  # prints what a run that hangs does
    with line:
        run_config(line)


def run_config(line: Any) -> None:
    """Does what the flags say, together with the processes on the line."""
    from jaxseg import compilation_cache, evaluate, reporting, train
    from jaxseg.checkpoints import CheckpointError
    from jaxseg.hooks import TrainingDiverged

    compilation_cache.enable(COMPILATION_CACHE.value)
    config = CONFIG.value.to_dict()
    overrides = config_flags.get_override_values(flags.FLAGS["config"])
    logging.info("config:\n%s", json.dumps(config, indent=2))
    if overrides:
        logging.info("set on the command line: %s", overrides)
    expected = (
        CheckpointError,
        TrainingDiverged,
        ValueError,  # of the config or the data, with their own subclasses
        OSError,  # a file that is not there, a full disk
        ModuleNotFoundError,  # of an extra
    )
    try:
        if MODE.value == "eval":
            evaluate.run(config, WORKDIR.value)
        else:
            train.train(config, WORKDIR.value, line=line)
    except KeyboardInterrupt:  # while evaluating; training saves first
        sys.exit(130)
    except expected as error:
        reporting.log_failure(WORKDIR.value, error, is_main=line.place[0] == 0)
        sys.exit(1)


def parse(argv: list[str]) -> list[str]:
    """Parses flags as absl does; a misspelt config key is one sentence."""
    try:
        return app.parse_flags_with_usage(argv)
    except (AttributeError, KeyError) as error:  # these carry "Did you mean ..."
        sys.exit(f"unknown config key: {error.args[0]}")


def run() -> None:
    """Parses the command line and runs `main`."""
    flags.mark_flags_as_required(["config"])
    app.run(main, flags_parser=parse)


if __name__ == "__main__":
    run()
