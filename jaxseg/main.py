"""Trains or evaluates what a config file describes.

    python -m jaxseg.main --config configs/quickstart.py --workdir runs/quickstart

Any key of the config can be set behind it: `--config.schedule.peak=2e-3`.
"""

import json
import sys
from typing import Any

from absl import app, flags, logging
from ml_collections import config_flags

from jaxseg import command

CONFIG = config_flags.DEFINE_config_file(
    "config", None, "Config file, with an optional :variant.", lock_config=True
)
MODE = flags.DEFINE_enum(
    "mode", "train", ["train", "eval"], "Train and evaluate, or only evaluate."
)
flags.adopt_module_key_flags(command)


def main(argv: list[str]) -> None:
    """Runs one config; flags are parsed already.

    Args:
        argv: the program's name and nothing else.
    """
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    command.carry_out(run_config)


def run_config(line: Any) -> None:
    """Does what the flags say, together with the processes on the line."""
    from jaxseg import evaluate, train

    config = CONFIG.value.to_dict()
    overrides = config_flags.get_override_values(flags.FLAGS["config"])
    logging.info("config:\n%s", json.dumps(config, indent=2))
    if overrides:
        logging.info("set on the command line: %s", overrides)
    if MODE.value == "eval":
        evaluate.run(config, command.WORKDIR.value)
    else:
        train.train(config, command.WORKDIR.value, line=line)


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
