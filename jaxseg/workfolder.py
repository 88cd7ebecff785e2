"""The work folder's identity: which config it belongs to, and with which versions."""

import importlib.metadata
import json
import os
import platform
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from jaxseg import config as config_lib
from jaxseg.checkpoints import FOLDER
from jaxseg.config import ConfigError
from jaxseg.data.labels import LabelSet

# What a run may be resumed with: where data lies, how it is read, what is reported, and
# what of a method is for its predictions alone.
MAY_CHANGE = (
    "every",
    "init_allow",
    "evals",
    "num_devices",
    "sharding",
    "palette",
    "data.on_error",
    "data.root",
    "data.base.root",
    "data.base.form",
    "data.lists",
    "data.form",
    "data.tfds_dir",
    "data.loader",
    "data.num_threads",
    "data.num_workers",
    "method.gamma",
    "method.predict_scales",
    "method.fusion",
    "method.segments",
    "guide_from",
    "word_vectors.path",
    "word_vectors.weights",
)
PROTOCOL = "protocol"  # in config.json: of `data.zero_shot.protocol`, zero-shot only
IMPORTED = "imported"  # in config.json: what a file of weights had and had not
WORD_VECTORS = "word_vectors.npy"  # of the classes, where the config asks for some
PACKAGES = (
    "jaxseg",
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "orbax-checkpoint",
    "numpy",
    "pillow",
    "opencv-python-headless",
)


def claim(
    config: Mapping[str, Any],
    workdir: str,
    labels: LabelSet,
    *,
    protocol: Mapping[str, Any] | None = None,
) -> None:
    """Writes `config.json` and `versions.json`, or refuses another run's folder.

    Args:
        config: the resolved config of this run.
        workdir: is made if it is not there.
        labels: whose names, colours and word vectors are kept with the config, so that
            a prediction needs nothing but the folder.
        protocol: of a zero-shot run, kept too; {} or None of another.

    Raises:
        ConfigError: if the folder holds checkpoints of a run with another config,
            naming the keys that differ.
    """
    check_owner(config, workdir, labels, protocol=protocol or {})
    os.makedirs(workdir, exist_ok=True)
    resolved = _resolved(config, labels, protocol)
    write_json(os.path.join(workdir, "config.json"), resolved)
    write_json(os.path.join(workdir, "versions.json"), versions())
    if labels.word_vectors is not None:
        write_array(os.path.join(workdir, WORD_VECTORS), labels.word_vectors)


def check_owner(
    config: Mapping[str, Any],
    workdir: str,
    labels: LabelSet,
    *,
    protocol: Mapping[str, Any] | None = None,
) -> None:
    """Refuses what `claim` refuses, and writes nothing.

    Without a protocol, None, that is not compared.
    """
    recorded = read_config(workdir)
    if recorded is None or not holds_checkpoint(workdir):
        return
    resolved = _resolved(config, labels, protocol)
    ignore = MAY_CHANGE if protocol is not None else (*MAY_CHANGE, PROTOCOL)
    differ = config_lib.differences(recorded, resolved, ignore=ignore)
    if differ:
        raise ConfigError(
            f"{workdir} belongs to a run with another config; these keys differ "
            "(there -> here):\n  "
            + "\n  ".join(differ)
            + "\ngive a new --workdir; to start from that run's weights, add "
            f"--config.init_from={workdir}"
        )


def _resolved(
    config: Mapping[str, Any], labels: LabelSet, protocol: Mapping[str, Any] | None
) -> dict[str, Any]:
    resolved = {**config, "id2label": labels.id2label, "palette": labels.palette}
    return resolved | ({PROTOCOL: dict(protocol)} if protocol else {})


VISIBLE_SECONDS = 30.0  # that a network's file system may take to show a new file


def check_shared(workdir: str, name: str) -> None:
    """Has all processes see whether the first one's folder is theirs.

    Args:
        workdir: of the run.
        name: of a file in it that the first has just written, and grows each time.

    Raises:
        ConfigError: on a host that does not see it.
    """
    if jax.process_count() == 1:
        return
    path = os.path.join(workdir, name)
    written = os.stat(path).st_size if jax.process_index() == 0 else 0
    written = int(multihost_utils.broadcast_one_to_all(np.int32(written)))
    deadline = time.monotonic() + VISIBLE_SECONDS
    while not os.path.exists(path) or os.stat(path).st_size != written:
        if time.monotonic() > deadline:
            raise ConfigError(
                f"process {jax.process_index()} on {socket.gethostname()} does not see "
                f"{path}, which process 0 has written: --workdir must be a folder that "
                "all hosts share"
            )
        time.sleep(0.2)


def check_same_model(
    config: Mapping[str, Any],
    workdir: str,
    labels: LabelSet,
    *,
    build: Callable[[Mapping[str, Any]], Any],
) -> None:
    """Refuses to score a run as another model, or by other classes, than it learnt.

    Args:
        config: of this run.
        workdir: of the run that learnt.
        labels: of this run.
        build: makes the network of a `model` section, so that two which spell one
            network differently are the same.

    Raises:
        ConfigError: naming the keys that differ.
    """
    recorded = read_config(workdir)
    if recorded is None:
        return
    here = {"model": config["model"], "id2label": labels.id2label}
    # Imported weights may come without names; shapes tell how many classes they have.
    there = {key: recorded[key] for key in here if key in recorded}
    differ = config_lib.differences(
        there, {key: here[key] for key in there}, ignore=("model.dtype",)
    )
    names_differ = [line for line in differ if not line.startswith("model.")]
    if differ and not names_differ:
        specs = ({**tree["model"], "dtype": "float32"} for tree in (there, here))
        one, other = map(build, specs)
        if one == other:
            return
    if differ:
        raise ConfigError(
            f"{workdir} holds a run of another model (there -> here):\n  "
            + "\n  ".join(differ)
            + "\nevaluate it with the config that it was trained with"
        )


def untrained(workdir: str) -> tuple[str, ...]:
    """Lists what a folder of imported weights lacks, entries of the segmentor."""
    return tuple(_imported(workdir).get("untrained", ()))


def is_folded(workdir: str) -> bool:
    """Whether a folder holds imported weights with folded normalisations."""
    return _imported(workdir).get("folded", False)


def _imported(workdir: str) -> Mapping[str, Any]:
    return (read_config(workdir) or {}).get(IMPORTED, {})


def holds_checkpoint(workdir: str) -> bool:
    """Whether a folder is a run's, with at least one whole checkpoint."""
    return newest_step(workdir) is not None


def newest_step(workdir: str) -> int | None:
    """The step of the newest whole checkpoint of a run; None if there is none."""
    folder = os.path.join(workdir, FOLDER)
    names = os.listdir(folder) if os.path.isdir(folder) else []
    return max((int(name) for name in names if name.isdigit()), default=None)


def run_folder(path: str) -> str:
    """The work folder of a run, given it or its folder of checkpoints."""
    path = os.path.normpath(path)
    return os.path.dirname(path) if os.path.basename(path) == FOLDER else path


def read_config(workdir: str) -> dict[str, Any] | None:
    """Reads the resolved config of a work folder, or None if it has none."""
    path = os.path.join(workdir, "config.json")
    if not os.path.exists(path):
        return None
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def read_word_vectors(workdir: str) -> np.ndarray | None:
    """Reads the word vectors [C, E] of a run's classes, or None if it has none."""
    path = os.path.join(workdir, WORD_VECTORS)
    return np.load(path) if os.path.exists(path) else None


def versions() -> dict[str, Any]:
    """Names Python, the packages that decide numbers, and the devices."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    devices = [str(device.device_kind) for device in jax.devices()]
    return {"python": platform.python_version(), **found, "devices": devices}


def write_array(path: str, value: np.ndarray) -> None:
    """Writes a .npy file whole or not at all."""
    with open(f"{path}.part", "wb") as file:
        np.save(file, value)
    os.replace(f"{path}.part", path)


def write_json(path: str, value: Any) -> None:
    """Writes a JSON file whole or not at all."""
    with open(f"{path}.part", "w", encoding="utf-8") as file:
        json.dump(value, file, indent=2)
        file.write("\n")
    os.replace(f"{path}.part", path)
