"""TensorBoard events and profiles through CLU, without TensorFlow.

`create_writer` is what runs use. CLU's writers import TensorFlow for one class, the
writer of event files; `install_shim` puts one of ours in its place before CLU looks for
it, which writes the same files with the tensorboard package alone.
"""

import importlib
import importlib.util
import io
import os
import sys
import time
import types
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import jax
import numpy as np
from absl import logging
from PIL import Image

_SHIMMED = "clu.metric_writers.tf.summary_writer"
PROFILED_STEPS = 5


class Writer(Protocol):
    """What a run asks of a metric writer; CLU's have more."""

    def write_scalars(self, step: int, scalars: Mapping[str, Any]) -> None: ...
    def write_images(self, step: int, images: Mapping[str, Any]) -> None: ...
    def flush(self) -> None: ...
    def close(self) -> None: ...


class NoWriter:
    """Writes nothing: for processes other than the first, and without CLU."""

    def write_scalars(self, step: int, scalars: Mapping[str, Any]) -> None:
        """Does nothing."""

    def write_images(self, step: int, images: Mapping[str, Any]) -> None:
        """Does nothing."""

    def flush(self) -> None:
        """Does nothing."""

    def close(self) -> None:
        """Does nothing."""


def create_writer(workdir: str | os.PathLike[str], *, is_main: bool = True) -> Writer:
    """Creates the writer of `tensorboard/` in a work folder.

    Args:
        workdir: of the run.
        is_main: False for all processes but the first, which write nothing.

    Returns:
        CLU's asynchronous writer; one that writes nothing, with a line that says what
        to install, if CLU or tensorboard is missing.
    """
    if not is_main:
        return NoWriter()
    missing = [name for name in ("clu", "tensorboard") if not _is_installed(name)]
    if missing:
        logging.info(
            "no TensorBoard files: pip install %s to get them; metrics.jsonl and "
            "pictures/ hold the same",
            " ".join(missing),
        )
        return NoWriter()
    install_shim()
    writers = importlib.import_module("clu.metric_writers")
    folder = os.path.join(workdir, "tensorboard")
    return writers.AsyncWriter(writers.SummaryWriter(folder))


def periodic_actions(
    workdir: str | os.PathLike[str],
    writer: Writer,
    *,
    total_steps: int,
    profile_at: int = 0,
) -> list[Callable[[int], Any]]:
    """Makes CLU's periodic actions: steps per second, and a profile where asked for.

    Args:
        workdir: the profile, an xplane trace, goes to its `tensorboard/`.
        writer: gets steps_per_sec and uptime once a minute.
        total_steps: of the run.
        profile_at: the step from which a few steps are traced; 0 for none.

    Returns:
        Functions to call with the number of steps done after every step; none if CLU
        is not there.
    """
    if isinstance(writer, NoWriter):
        return []
    actions = importlib.import_module("clu.periodic_actions")
    result = [actions.ReportProgress(num_train_steps=total_steps, writer=writer)]
    # A trace that the end of the run cuts short would not be written.
    profiled = min(PROFILED_STEPS, total_steps - profile_at)
    if profile_at and profiled > 0:
        result.append(
            actions.Profile(
                logdir=os.path.join(workdir, "tensorboard"),
                first_profile=profile_at,
                num_profile_steps=profiled,
                profile_duration_ms=None,
                every_secs=None,
            )
        )
    return result


def describe_parameters(params: Any) -> str:
    """Lists names, shapes and sizes of parameters; only their number without CLU."""
    if _is_installed("clu"):
        overview = importlib.import_module("clu.parameter_overview")
        return overview.get_parameter_overview(params, include_stats=False)
    number = sum(leaf.size for leaf in jax.tree.leaves(params))
    return f"Total: {number:,} (pip install clu for the table)"


def install_shim() -> None:
    """Lets `clu.metric_writers` be imported without TensorFlow, wherever it is."""
    if _SHIMMED in sys.modules:
        return
    stub = types.ModuleType(_SHIMMED)
    stub.SummaryWriter = _EventWriter  # type: ignore[attr-defined]
    sys.modules[_SHIMMED] = stub
    # tensorboard takes TensorFlow's file system if it finds one, unless this exists.
    name = "tensorboard.compat.notf"
    sys.modules.setdefault(name, types.ModuleType(name))


class _EventWriter:
    """Writes scalars and pictures as TensorBoard events, with CLU's interface."""

    def __init__(self, logdir: str):
        event_file_writer = importlib.import_module(
            "tensorboard.summary.writer.event_file_writer"
        )
        self._event = importlib.import_module("tensorboard.compat.proto.event_pb2")
        self._summary = importlib.import_module(
            "tensorboard.compat.proto.summary_pb2"
        ).Summary
        self._file = event_file_writer.EventFileWriter(logdir)

    def write_scalars(self, step: int, scalars: Mapping[str, Any]) -> None:
        """Writes numbers by name."""
        self._add(
            step,
            [
                self._summary.Value(tag=name, simple_value=float(np.asarray(value)))
                for name, value in scalars.items()
            ],
        )

    def write_images(self, step: int, images: Mapping[str, Any]) -> None:
        """Writes pictures by name: uint8 [H, W, 3] or [B, H, W, 3]."""
        values = []
        for name, pictures in images.items():
            pictures = np.asarray(pictures)
            batch = pictures[None] if pictures.ndim == 3 else pictures
            for i, picture in enumerate(batch):
                values.append(
                    self._summary.Value(tag=f"{name}/{i}", image=self._encode(picture))
                )
        self._add(step, values)

    def write_hparams(self, hparams: Mapping[str, Any]) -> None:
        """Does nothing; the run's config.json holds them."""

    def flush(self) -> None:
        """Hands all events to the system."""
        self._file.flush()

    def close(self) -> None:
        """Writes what is left and closes the file."""
        self._file.close()

    def _add(self, step: int, values: list[Any]) -> None:
        self._file.add_event(
            self._event.Event(
                step=int(step),
                wall_time=time.time(),
                summary=self._summary(value=values),
            )
        )

    def _encode(self, picture: np.ndarray) -> Any:
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "PNG")
        height, width, channels = picture.shape
        return self._summary.Image(
            height=height,
            width=width,
            colorspace=channels,
            encoded_image_string=file.getvalue(),
        )


def _is_installed(name: str) -> bool:
    if name in sys.modules:
        return sys.modules[name] is not None
    return importlib.util.find_spec(name) is not None
