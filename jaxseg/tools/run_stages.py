"""Runs the stages of a config one after the other, each from the one before.

    python -m jaxseg.tools.run_stages --config configs/cagnet_voc.py --workdir runs/voc

A config names its stages in order, `STAGES = ("step1", "mixed")`, and its
`get_config("mixed,tiny")` is the run of one, with any other words. The stage `mixed` is
then a run like any other, in `runs/voc/mixed`, with `init_from` of
`runs/voc/step1`. The same command goes on after a signal: a stage that is finished
is not run again, a half-done one is resumed. Words behind a colon and keys such as
`--config.seed=1` are for all stages; `--stages step1,mixed` runs some. The final scores
of all are printed, and are in `stages.json`; the log of all is `train.log` there.
"""

import dataclasses
import os
import runpy
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import jax
from absl import app, flags, logging
from ml_collections import config_dict, config_flags

from jaxseg import command, reporting, train, workfolder
from jaxseg import config as config_lib
from jaxseg.config import ConfigError
from jaxseg.data import inputs
from jaxseg.data.labels import LabelSet
from jaxseg.reporting import records
from jaxseg.reporting.text import percent

CONFIG = flags.DEFINE_string("config", None, "Config file, with optional :words.")
STAGES = flags.DEFINE_list("stages", None, "Those to run; default: all of the config.")
flags.adopt_module_key_flags(command)

ZERO_SHOT = ("seen_iou", "unseen_iou", "harmonic_iou")
SUMMARY = "stages.json"


@dataclasses.dataclass(frozen=True, eq=False)
class Stage:
    """One run of several.

    Attributes:
        name: in the config's `STAGES`.
        config: of the run, with the `init_from` that joins it to the stage before.
        workdir: its own, in that of the whole.
    """

    name: str
    config: Mapping[str, Any]
    workdir: str

    @property
    def total_steps(self) -> int:
        """Of this run."""
        return self.config["total_steps"]


def read_stages(
    path: str, workdir: str, *, names: Sequence[str] = (), overrides: Sequence[str] = ()
) -> list[Stage]:
    """Reads the configs of the stages to run, and joins them.

    Args:
        path: of the config file, with words for all stages behind a colon.
        workdir: of the whole.
        names: of the stages to run, in the config's order; all if empty.
        overrides: as on the command line, "--config.seed=1".

    Raises:
        ConfigError: if the file or a stage is not as described above, or the stage that
            the first one begins from is not in the work folder.
    """
    path, _, words = path.partition(":")
    known = stage_names(path)
    names = check_names(names or known, known, words.split(","))
    stages: list[Stage] = []
    for name in names:
        config, given = load(path, name, words, overrides=overrides)
        folder = os.path.join(workdir, name)
        if stages:
            config["init_from"] = stages[-1].workdir
        elif name != known[0] and "init_from" not in given:
            before = os.path.join(workdir, known[known.index(name) - 1])
            check_finished(before, name)
            config["init_from"] = before
        stages.append(Stage(name, config, folder))
    return stages


def stage_names(path: str) -> tuple[str, ...]:
    """What a config file calls its stages.

    Raises:
        ConfigError: if it has none.
    """
    if not os.path.exists(path):
        raise ConfigError(f"--config {path} does not exist")
    found = runpy.run_path(path).get("STAGES", ())
    if not found or not isinstance(found, (tuple, list)):
        raise ConfigError(
            f'{path} has no tuple STAGES = ("first", "second"): a config of one run is '
            "trained by python -m jaxseg.main"
        )
    return tuple(found)


def check_names(
    names: Sequence[str], known: Sequence[str], words: Sequence[str]
) -> list[str]:
    """Refuses stages that there are not, in another order, or as words."""
    for name in names:
        if name not in known:
            raise ConfigError(
                f"no stage is called {name!r}" + config_lib.suggest(name, known)
            )
    ordered = [name for name in known if name in names]
    if list(names) != ordered:
        raise ConfigError(
            f"--stages {','.join(names)}: each once, in the config's order, "
            f"{','.join(ordered)}"
        )
    both = [word for word in words if word in known]
    if both:
        raise ConfigError(f"{both[0]!r} is a stage: choose it with --stages {both[0]}")
    return ordered


def load(
    path: str, *words: str, overrides: Sequence[str] = ()
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Reads a config file as `jaxseg.main` does, keys of the command line included.

    Args:
        path: of the file.
        *words: of the variant.
        overrides: as on the command line, "--config.seed=1".

    Returns:
        The config, and by dotted key what the overrides have set.

    Raises:
        ConfigError: if the config has no such key, or an argument is none of its.
    """
    variant = ",".join(filter(None, words))
    read = config_dict.ConfigDict(config_lib.load(path, variant))
    values = flags.FlagValues()
    try:
        flag = config_flags.DEFINE_config_dict(
            "config", read, flag_values=values, sys_argv=list(overrides)
        )
        rest = values(["", *overrides])[1:]
    except (AttributeError, KeyError) as error:  # these carry "Did you mean ..."
        raise ConfigError(f"{variant}: unknown config key: {error.args[0]}") from error
    except flags.Error as error:
        raise ConfigError(str(error)) from error
    if rest:
        raise ConfigError(f"unexpected arguments: {rest}")
    return flag.value.to_dict(), config_flags.get_override_values(values["config"])


def check_finished(workdir: str, name: str) -> None:
    """Refuses to begin a stage from another one that is not done."""
    recorded = workfolder.read_config(workdir)
    if recorded and workfolder.newest_step(workdir) == recorded["total_steps"]:
        return
    before = os.path.basename(workdir)
    raise ConfigError(
        f"the stage {name!r} begins from {before!r}, which is not finished in "
        f"{workdir}: run it too, --stages {before},{name}, or begin from elsewhere, "
        "--config.init_from=DIR"
    )


def check(stages: Sequence[Stage]) -> None:
    """Refuses, before the first step of all, what a later stage would stumble over.

    Raises:
        ConfigError: if a config has a mistake, or the folder of a stage is of a run
            with another config, or was begun from another stage than the one there.
    """
    for stage in stages:
        labels = labels_of(stage)
        note_moved(stage)
        workfolder.check_owner(stage.config, stage.workdir, labels)
    for before, stage in zip(stages, stages[1:], strict=False):
        is_done = workfolder.newest_step(before.workdir) == before.total_steps
        if workfolder.holds_checkpoint(stage.workdir) and not is_done:
            raise ConfigError(
                f"{stage.workdir} holds a run, but {before.workdir}, from which it "
                "would have begun, is not finished: remove the one, or bring back the "
                "other"
            )


def labels_of(stage: Stage) -> LabelSet:
    """The classes of a stage, which could begin or is finished.

    Raises:
        ConfigError: of `train.prepare`, with the stage's name.
    """
    if is_finished(stage):  # its data and as many devices need not be there any more
        return inputs.make_dataset(stage.config).labels
    try:
        _, dataset, _, _ = train.prepare(stage.config)
    except ConfigError as error:
        raise ConfigError(f"the stage {stage.name!r}: {error}") from error
    return dataset.labels


def note_moved(stage: Stage) -> None:
    """Records where the stage before is now, if the whole folder has been moved.

    A stage under way does not read it again, but it is part of its config.
    """
    recorded = workfolder.read_config(stage.workdir) or {}
    there, here = recorded.get("init_from", ""), stage.config.get("init_from", "")
    is_beside = os.path.dirname(here) == os.path.dirname(stage.workdir)
    same_stage = os.path.basename(there) == os.path.basename(here)
    if is_beside and same_stage and there != here and jax.process_index() == 0:
        path = os.path.join(stage.workdir, "config.json")
        workfolder.write_json(path, {**recorded, "init_from": here})


def is_finished(stage: Stage) -> bool:
    """Whether all steps are saved and every evaluation of them is recorded."""
    recorded = workfolder.read_config(stage.workdir)
    if workfolder.newest_step(stage.workdir) != stage.total_steps or recorded is None:
        return False
    evals = stage.config.get("evals", {})
    if config_lib.differences(recorded.get("evals", {}), evals):
        return False
    scored = {x["evaluation"]: x["step"] for x in records.read(stage.workdir)}
    return all(scored.get(name) == stage.total_steps for name in evals)


def run(stages: Sequence[Stage], workdir: str, *, line: Any = None) -> bool:
    """Runs what is left of all stages.

    All are runs of this process, which need not import and find its devices again: a
    run gives its arrays back at its end, and here its programs too.

    Args:
        stages: of `read_stages`.
        workdir: of the whole.
        line: to the other processes of the run; None for a process by itself.

    Returns:
        False if a signal stopped a stage.
    """
    check(stages)
    is_main = line is None or line.place[0] == 0
    total = sum(stage.total_steps for stage in stages)
    before = 0
    for i, stage in enumerate(stages):
        title = f"stage {i + 1}/{len(stages)} {stage.name}"
        if is_finished(stage):
            logging.info("%s: is finished, in %s", title, stage.workdir)
        else:
            logging.info("%s: %d steps, of %d", title, stage.total_steps, total)
            part = reporting.Part(title, before, total)
            train.train(stage.config, stage.workdir, line=line, part=part)
            # Without it three runs of MobileNetV2 came to 2.1 GB on a CPU, where one
            # alone and three with it came to 1.5.
            jax.clear_caches()
            if not is_finished(stage):
                logging.info("%s: stopped; the same command goes on", title)
                return False
        before += stage.total_steps
        if is_main:
            write_summary(stages[: i + 1], workdir)
    logging.info("the final scores of %d stages:\n%s", len(stages), table(stages))
    return True


def write_summary(stages: Sequence[Stage], workdir: str) -> None:
    """Writes `stages.json`: of each stage its folder, its start and its scores."""
    found = [
        {
            "name": stage.name,
            "workdir": stage.workdir,
            "init_from": stage.config.get("init_from", ""),
            "total_steps": stage.total_steps,
            "scores": final_scores(stage),
        }
        for stage in stages
    ]
    workfolder.write_json(os.path.join(workdir, SUMMARY), {"stages": found})


def final_scores(stage: Stage) -> dict[str, dict[str, float | None]]:
    """The numbers of a finished stage by evaluation; None where one is undefined."""
    return {
        record["evaluation"]: {
            name: value
            for name, value in record["scores"].items()
            if value is None or isinstance(value, int | float)
        }
        for record in records.read(stage.workdir)
        if record["evaluation"] in stage.config.get("evals", {})
    }


def table(stages: Sequence[Stage]) -> str:
    """The final scores in per cent, a line for each stage and evaluation.

    Seen, unseen and harmonic IoU, and the numbers that the configs show (`metrics`).
    """
    scores = {stage.name: final_scores(stage) for stage in stages}
    evals = [x for stage in stages for x in stage.config.get("evals", {}).values()]
    listed = [name for spec in evals for name in spec.get("metrics") or ()]
    there = [set(values) for found in scores.values() for values in found.values()]
    known = set().union(*there)
    names = [name for name in dict.fromkeys((*ZERO_SHOT, *listed)) if name in known]
    heads = [name.replace("_", " ").replace("iou", "IoU") for name in names]
    rows = [["stage", "evaluation", *heads]]
    for stage, found in scores.items():
        for evaluation, values in found.items():
            numbers = [values.get(name) for name in names]
            cells = [percent(float("nan") if x is None else x) for x in numbers]
            rows.append([stage, evaluation, *cells])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )


def main(argv: list[str]) -> None:
    """Runs the stages; the tool's own flags are parsed already.

    Args:
        argv: the program's name, and the keys of the config to set.
    """
    path, workdir, names = CONFIG.value, command.WORKDIR.value, STAGES.value or ()
    assert path is not None  # the flag is required

    def work(line: Any) -> None:
        stages = read_stages(path, workdir, names=names, overrides=argv[1:])
        run(stages, workdir, line=line)

    command.carry_out(work)


def parse(argv: list[str]) -> list[str]:
    """Parses the tool's flags and leaves the config's, which each stage reads."""
    flags.FLAGS.set_gnu_getopt(True)
    try:
        return flags.FLAGS(argv, known_only=True)
    except flags.Error as error:
        sys.exit(f"{error}\nsee {argv[0]} --help")


if __name__ == "__main__":
    flags.mark_flags_as_required(["config"])
    app.run(main, flags_parser=parse)
