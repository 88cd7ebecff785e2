"""Checkpoints of a run: saved in the background, newest and best kept, never torn.

One checkpoint is a folder `checkpoints/<step>` with a separate item for the parameters,
the running statistics, the optimiser, the memory and the loop's step and key, so that
evaluation reads the first two only.
"""

import os
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import optax
import orbax.checkpoint as ocp
from absl import logging
from etils import epath
from jax.sharding import Sharding
from orbax.checkpoint.checkpoint_managers import preservation_policy

from jaxseg import sharding
from jaxseg.sharding import path_name
from jaxseg.state import TrainState

FOLDER = "checkpoints"
PARTIAL = ("params", "batch_stats")  # may hold sub-networks that nobody asks for


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be written or read; the message says where and why."""


class Checkpoints:
    """The checkpoints of one work folder; a context manager, so that saves finish.

    Args:
        workdir: where the folder `checkpoints` is, or is made.
        keep: how many of the newest to keep, beside the best.
        best: the metric that says which is best.
        metadata: plain values to keep with each checkpoint, such as the protocol.
        read_only: makes no folder and cleans nothing up.
    """

    def __init__(
        self,
        workdir: str,
        *,
        keep: int = 2,
        best: str = "mean_iou",
        metadata: Mapping[str, Any] | None = None,
        read_only: bool = False,
    ):
        self.folder = os.path.join(os.path.abspath(workdir), FOLDER)
        if read_only and not os.path.isdir(self.folder):
            raise CheckpointError(
                f"{self.folder} does not exist: {workdir} is not the work folder of a "
                "run that has saved a checkpoint"
            )
        # A plain `max_to_keep` with `best_fn` would delete the newest checkpoint.
        policy = preservation_policy.AnyPreservationPolicy(
            [
                preservation_policy.LatestN(n=keep),
                preservation_policy.BestN(
                    get_metric_fn=lambda metrics: metrics[best],
                    n=1,
                    keep_checkpoints_without_metrics=False,
                ),
            ]
        )
        options = ocp.CheckpointManagerOptions(
            best_fn=lambda metrics: metrics[best],  # without it none are stored
            preservation_policy=policy,
            read_only=read_only,
        )
        self._manager = ocp.CheckpointManager(self.folder, options=options)
        self._metadata = dict(metadata or {})
        self._damaged: set[int] = set()  # steps that could not be read

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        try:
            self.wait()
        except CheckpointError as failed:
            if kind is None:
                raise
            logging.error("%s", failed)  # the error under way is the one to see
        finally:
            self._manager.close()

    @property
    def latest_step(self) -> int | None:
        """The newest step that was saved whole, or None."""
        readable = set(self._manager.all_steps()) - self._damaged
        return max(readable, default=None)

    def latest_step_of_all(self) -> int | None:
        """The newest step, once all processes have said that it is theirs too.

        Raises:
            CheckpointError: if their hosts do not see the same.
        """
        newest = -1 if self.latest_step is None else self.latest_step
        found = sharding.of_processes(newest)
        if len(set(found)) > 1:
            others = [i for i, step in enumerate(found) if step != found[0]]
            raise CheckpointError(
                f"the hosts do not see the same in {self.folder}: its newest step is "
                f"{_step_name(found[0])} for process 0, {_step_name(found[others[0]])} "
                f"for process {others[0]}; wait until the file system shows all of it "
                "to all, and start again"
            )
        return self.latest_step

    @property
    def best_step(self) -> int | None:
        """The step whose evaluation was best, or None without any evaluation."""
        return self._manager.best_step()

    def has_scores(self, step: int) -> bool:
        """Whether an evaluation is kept with the checkpoint of a step."""
        return self._manager.metrics(step) is not None

    def metadata(self, step: int) -> dict[str, Any]:
        """What was given as `metadata` when the checkpoint of a step was saved."""
        return dict(self._manager.metadata(step).custom_metadata or {})

    def sub_networks(self) -> set[str]:
        """The names of the sub-networks in the newest checkpoint."""
        step = self.latest_step
        if step is None:
            raise CheckpointError(f"there is no checkpoint in {self.folder}")
        return set(self._describe(step, "params"))

    def save(
        self, state: TrainState, *, metrics: Mapping[str, float] | None = None
    ) -> None:
        """Begins to save a state, which may be donated as soon as this returns.

        Args:
            state: of the step to save; a step that is there already is left as it is.
            metrics: of this step's evaluation, among them the one that says "best".

        Raises:
            CheckpointError: if the parameters are not finite, or this or the previous
                save failed, as on a full disk.
        """
        step = int(state.step)
        if step in self._damaged:
            self._manager.delete(step)
            self._damaged.remove(step)
        if step in self._manager.all_steps():
            return
        if not np.isfinite(jax.device_get(jax.jit(optax.tree.norm)(state.params))):
            raise CheckpointError(
                f"the parameters at step {step} are not finite and were not saved; "
                f"{self._last_good()}"
            )
        items = {
            name: ocp.args.StandardSave(tree) for name, tree in split(state).items()
        }
        try:
            self._manager.save(
                step,
                args=ocp.args.Composite(**items),
                metrics=metrics,
                force=True,
                custom_metadata=self._metadata,
            )
        except Exception as error:
            raise self._explain(error, step) from error

    def wait(self) -> None:
        """Waits for the save under way.

        Raises:
            CheckpointError: if it failed.
        """
        try:
            self._manager.wait_until_finished()
            self._manager.check_for_errors()
        except Exception as error:
            raise self._explain(error, None) from error

    def restore(self, target: TrainState, *, step: int | None = None) -> TrainState:
        """Reads a whole state onto the devices that `target` says.

        Args:
            target: a state of `ShapeDtypeStruct`s with shardings; another number of
                devices than at the time of saving is fine.
            step: which one; None takes the newest that can be read. Of several
                processes none may go on with an older one by itself, so there it is
                the newest or an error.

        Raises:
            CheckpointError: if the checkpoint is of another model, or none can be read.
        """
        return self._restore(target, step, tuple(split(target)))

    def restore_for_evaluation(
        self, target: TrainState, *, step: int | None = None
    ) -> TrainState:
        """Reads the step, the parameters and the running statistics, no more.

        Sub-networks of which the target has no parameters are read too, since Orbax
        reads whole items, and dropped.
        """
        target = target.replace(opt_state=None, memory=None)
        return self._restore(target, step, ("loop", "params", "batch_stats"))

    def _restore(
        self, target: TrainState, step: int | None, items: tuple[str, ...]
    ) -> TrainState:
        self.latest_step_of_all()
        steps = sorted(self._manager.all_steps(), reverse=True)
        if step is not None and step not in steps:
            raise CheckpointError(
                f"{self.folder} has no step {step}; there are: {sorted(steps)}"
            )
        problems = []
        for candidate in [step] if step is not None else steps:
            trees = {k: v for k, v in split(target).items() if k in items}
            try:
                self._check_same_model(candidate, trees)
                return self._read(target, candidate, trees)
            except CheckpointError:
                raise
            except Exception as error:  # damaged files: an older step may be whole
                reason = str(error).split(" [tensorstore_spec")[0]
                if jax.process_count() > 1:
                    raise self._damaged_for_all(candidate, reason) from error
                problems.append(f"step {candidate}: {reason}")
                self._damaged.add(candidate)
                logging.warning(
                    "checkpoint %s/%d cannot be read, trying an older one: %s",
                    self.folder,
                    candidate,
                    reason,
                )
        raise CheckpointError(
            f"no checkpoint in {self.folder} can be read: "
            + ("; ".join(problems) or "there is none")
        )

    def _read(
        self, target: TrainState, step: int, trees: Mapping[str, Any]
    ) -> TrainState:
        place = target.step.sharding
        wanted = {
            name: tree | surplus(self._describe(step, name), tree, place)
            if name in PARTIAL
            else tree
            for name, tree in trees.items()
        }
        found = self._manager.restore(
            step,
            args=ocp.args.Composite(
                **{k: ocp.args.StandardRestore(v) for k, v in wanted.items()}
            ),
        )
        return join(target, {name: found[name] for name in trees})

    def _check_same_model(self, step: int, trees: Mapping[str, Any]) -> None:
        lines = [
            line
            for item, tree in trees.items()
            for line in compare(tree, self._describe(step, item), item)
        ]
        if lines:
            shown = "\n  ".join(lines[:12])
            more = f"\n  ... and {len(lines) - 12} more" if len(lines) > 12 else ""
            raise CheckpointError(
                f"checkpoint {self.folder}/{step} is of another model:\n  {shown}{more}"
                "\nuse the config that the run was made with, or another work folder"
            )

    def _describe(self, step: int, item: str) -> Any:
        """Reads shapes and dtypes of one item; the manager would read all items'."""
        path = epath.Path(self.folder) / str(step) / item
        if not path.exists():
            if item in ("loop", "params"):
                raise FileNotFoundError(f"{path} is missing")
            return {}
        return ocp.StandardCheckpointHandler().metadata(path).tree

    def _explain(self, error: Exception, step: int | None) -> CheckpointError:
        what = "a checkpoint" if step is None else f"step {step}"
        text = str(error)
        reason = (
            "no space is left on the disk"
            if "No space left" in text or "RESOURCE_EXHAUSTED" in text
            else text
        )
        return CheckpointError(
            f"could not save {what} to {self.folder}: {reason}; {self._last_good()}"
        )

    def _damaged_for_all(self, step: int, reason: str) -> CheckpointError:
        # The others may be reading it, and wait for this process within Orbax.
        return CheckpointError(
            f"checkpoint {self.folder}/{step} cannot be read by process "
            f"{jax.process_index()}: {reason}; if it is damaged, move it away, and the "
            "same command resumes from the one before"
        )

    def _last_good(self) -> str:
        """Says what is on disk, asking the disk and not the manager's plans."""
        found = {int(name) for name in os.listdir(self.folder) if name.isdigit()}
        steps = sorted(found - self._damaged)
        if not steps:
            return "no checkpoint was saved before"
        return f"the last good checkpoint, step {steps[-1]}, is intact"


def _step_name(step: int) -> str:
    return "none" if step < 0 else str(step)


def split(state: TrainState) -> dict[str, Any]:
    """Divides a state into the items of a checkpoint, leaving empty ones out."""
    items = {
        "loop": {"step": state.step, "rng": state.rng},
        "params": state.params,
        "batch_stats": state.batch_stats,
        "opt_state": state.opt_state,
        "memory": state.memory,
    }
    return {name: tree for name, tree in items.items() if jax.tree.leaves(tree)}


def join(target: TrainState, items: Mapping[str, Any]) -> TrainState:
    """Puts the items of a checkpoint back into a state, the inverse of `split`."""
    fields = {name: items[name] for name in items if name != "loop"}
    for name in PARTIAL:
        if name in fields:
            fields[name] = {key: fields[name][key] for key in getattr(target, name)}
    loop = items["loop"]
    return target.replace(step=loop["step"], rng=loop["rng"], **fields)


def surplus(saved: Any, wanted: Any, place: Sharding) -> dict[str, Any]:
    """Describes the sub-networks that are saved but not wanted; Orbax reads all."""
    return {
        name: jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place),
            tree,
        )
        for name, tree in saved.items()
        if name not in wanted
    }


def compare(wanted: Any, saved: Any, item: str) -> list[str]:
    """Lists the arrays that the model and a checkpoint do not share, with shapes.

    Args:
        wanted: a tree of arrays or `ShapeDtypeStruct`s.
        saved: Orbax's description of the tree on disk.
        item: the tree's name; of "params" and "batch_stats", sub-networks that only the
            checkpoint has do not count.
    """
    paths = jax.tree_util.tree_leaves_with_path(wanted)
    ours = {path_name(path): leaf for path, leaf in paths}
    theirs = {leaf.name.replace(".", "/"): leaf for leaf in jax.tree.leaves(saved)}
    if item in PARTIAL:
        theirs = {k: v for k, v in theirs.items() if k.split("/")[0] in wanted}
    lines = []
    for name in sorted(ours.keys() | theirs.keys()):
        if name not in theirs:
            lines.append(f"{item}/{name}: not in the checkpoint")
        elif name not in ours:
            lines.append(f"{item}/{name}: in the checkpoint, not in the model")
        elif item != "loop" and _differ(ours[name], theirs[name]):
            lines.append(
                f"{item}/{name}: {theirs[name].dtype}{list(theirs[name].shape)} in the "
                f"checkpoint, {ours[name].dtype}{list(ours[name].shape)} in the model"
            )
    return lines


def _differ(one: Any, other: Any) -> bool:
    # Orbax would cast another dtype without a word.
    return tuple(one.shape) != tuple(other.shape) or one.dtype != other.dtype
