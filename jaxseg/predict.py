"""Predicts masks for pictures with the newest checkpoint of a work folder.

    python -m jaxseg.predict --workdir runs/quickstart --images photos --out masks

Writes `NAME.png`, a mask of class ids with the palette of the classes, and
`NAME_overlay.png`, the picture with the mask over it. The classes and the protocol come
with the run; no data set is needed.
"""

import argparse
import dataclasses
import os
import pathlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging

from jaxseg import (
    compilation_cache,
    evaluate,
    inference,
    initialization,
    sharding,
    visualize,
    workfolder,
)
from jaxseg import config as config_lib
from jaxseg.checkpoints import CheckpointError, Checkpoints
from jaxseg.data import folder, pictures
from jaxseg.data.labels import LabelSet
from jaxseg.data.source import PictureError
from jaxseg.methods import base
from jaxseg.protocols.base import Protocol
from jaxseg.state import TrainState


def load(
    workdir: str, *, evaluation: str = "", exact: bool = False
) -> tuple[Callable[[np.ndarray], np.ndarray], LabelSet]:
    """Loads the newest checkpoint of a run as a function of one picture.

    The run's protocol is followed. Pictures are laid on canvases of a few sizes, those
    of the evaluation where it has some that hold them, so that few programs are
    compiled. A network that sees the whole picture also sees that padding.

    Args:
        workdir: of the run.
        evaluation: whose protocol, of the config's `evals`; the first if empty.
        exact: no canvases; every size of picture is compiled.

    Returns:
        A function, uint8 [H, W, 3] RGB -> class ids [H, W]; and the classes.

    Raises:
        ConfigError: if the folder has no config.json, or there is no such evaluation.
        CheckpointError: if it has no checkpoint.
    """
    config, method = recorded(workdir)
    mesh = sharding.make_mesh(1)
    spec = find_evaluation(config, evaluation)
    predictor = Predictor(
        predict=inference.make_predict(method, mesh),
        state=evaluate.restore({**config, "init_from": ""}, workdir, method, mesh),
        protocol=evaluate.make_protocol(spec),
        buckets=None if exact else canvases(spec),
        align_corners=method.segmentor.align_corners,
    )
    return predictor, method.labels


def load_state(workdir: str) -> tuple[base.Method, TrainState]:
    """Loads the newest checkpoint of a run with all its sub-networks.

    For a look at what training has made: `load` has the part that predicts.

    Args:
        workdir: of the run.

    Returns:
        The method, and its state on one device without optimiser and memory.

    Raises:
        ConfigError: if the folder has no config.json.
        CheckpointError: if it has no checkpoint.
    """
    config, method = recorded(workdir)
    target = initialization.describe(config, method, sharding.make_mesh(1))
    with Checkpoints(workdir, read_only=True) as checkpoints:
        return method, checkpoints.restore_for_evaluation(target)


def recorded(workdir: str) -> tuple[dict[str, Any], base.Method]:
    """The config that a work folder records, and its method.

    Raises:
        ConfigError: if the folder has no config.json.
    """
    config = workfolder.read_config(workdir)
    if config is None:
        raise config_lib.ConfigError(
            f"{workdir} has no config.json: it is not the work folder of a run"
        )
    labels = dataclasses.replace(
        recorded_labels(config), word_vectors=workfolder.read_word_vectors(workdir)
    )
    return config, base.from_config(config, labels)


def find_evaluation(config: Mapping[str, Any], name: str = "") -> Mapping[str, Any]:
    """The entry of `config["evals"]` of that name, or the first; {} if there are none.

    Raises:
        ConfigError: if there is none of that name.
    """
    evals = config.get("evals", {})
    if name and name not in evals:
        raise config_lib.ConfigError(
            f"the run has no evaluation {name!r}" + config_lib.suggest(name, evals)
        )
    return evals[name] if name else next(iter(evals.values()), {})


def canvases(spec: Mapping[str, Any]) -> tuple[tuple[int, int], ...]:
    """The canvases that an evaluation lists, as its `buckets` or its one `canvas`."""
    listed = spec.get("buckets") or ()
    if not isinstance(listed, (list, tuple)):  # how many to choose for the split
        listed = ()
    if spec.get("canvas"):
        listed = (*listed, spec["canvas"])
    return tuple((int(height), int(width)) for height, width in listed)


@dataclasses.dataclass(frozen=True, eq=False)
class Predictor:
    """Class ids [H, W] of a picture, uint8 [H, W, 3] RGB.

    Attributes:
        predict: of `inference.make_predict`.
        state: the trained state.
        protocol: how the network is shown the picture.
        buckets: canvases to prefer; None to have none at all.
        align_corners: of the network; see `inference.canvas_for`.
    """

    predict: Callable[..., jax.Array]
    state: TrainState
    protocol: Protocol
    buckets: tuple[tuple[int, int], ...] | None
    align_corners: bool

    def __call__(self, image: np.ndarray) -> np.ndarray:
        height, width, _ = image.shape
        canvas = height, width
        if self.buckets is not None:
            canvas = inference.canvas_for(
                canvas, self.buckets, align_corners=self.align_corners
            )
        padded = np.zeros((1, *canvas, 3), np.uint8)  # protocols choose its colour
        padded[0, :height, :width] = image
        size = np.array([[height, width]], np.int32)
        batch: dict[str, np.ndarray] = {"image": padded, "size": size}
        protocol = inference.fitted(self.protocol, batch)
        placed = jax.tree.map(jnp.asarray, batch)
        ids = self.predict(self.state, placed, protocol)
        return np.asarray(ids)[0, :height, :width]


def recorded_labels(config: Mapping[str, Any]) -> LabelSet:
    """Reads the classes that a run's config.json records, seen and unseen too.

    Word vectors lie in a file of their own; see `recorded`.

    Raises:
        ConfigError: if it records none, as that of weights imported without names.
    """
    if "id2label" not in config:
        raise config_lib.ConfigError(
            "the work folder does not say what its classes are called: import the "
            "weights again with --labels (jaxseg.tools.import_weights)"
        )
    names = config["id2label"]
    labels = LabelSet(
        names=tuple(names[str(i)] for i in range(len(names))),
        palette=tuple((r, g, b) for r, g, b in config["palette"]),
    )
    protocol = config.get(workfolder.PROTOCOL)
    if not protocol:
        return labels
    seen, unseen = (labels.train_ids(protocol[side]) for side in ("seen", "unseen"))
    return dataclasses.replace(labels, seen=seen, unseen=unseen)


def list_pictures(path: str) -> list[pathlib.Path]:
    """Returns the picture itself, or the pictures of a folder, sorted.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if two have the same name, and so would their masks.
    """
    root = pathlib.Path(path)
    if root.is_file():
        return [root]
    found = list(folder.files_by_name(root).values())
    if not found:
        raise FileNotFoundError(
            f"{path} is no picture and no folder with pictures "
            f"({', '.join(folder.SUFFIXES)})"
        )
    return found


def write_masks(
    predict: Callable[[np.ndarray], np.ndarray],
    labels: LabelSet,
    files: Sequence[pathlib.Path],
    out: str,
) -> int:
    """Predicts pictures and writes their masks and overlays.

    Args:
        predict: of `load`.
        labels: of `load`.
        files: the pictures; an unreadable one is named, and the others go on.
        out: folder for the masks; made if it is not there.

    Returns:
        The number of pictures that could not be read.
    """
    os.makedirs(out, exist_ok=True)
    failed = 0
    for path in files:
        try:
            image = pictures.read_image(path)
        except PictureError as error:
            logging.error("%s", error)
            failed += 1
            continue
        ids = predict(image)
        target = os.path.join(out, path.stem)
        visualize.save_mask(f"{target}.png", ids, labels)
        overlay = visualize.overlay(image, ids, labels)
        visualize.save_picture(f"{target}_overlay.png", overlay)
    return failed


def main(arguments: Sequence[str] | None = None) -> None:
    """Parses the command line and predicts.

    Args:
        arguments: in place of the command line's.
    """
    parser = argparse.ArgumentParser(prog="python -m jaxseg.predict")
    parser.add_argument("--workdir", required=True, help="folder of the run")
    parser.add_argument("--images", required=True, help="a picture, or a folder")
    parser.add_argument("--out", required=True, help="folder for the masks")
    parser.add_argument(
        "--evaluation", default="", help="whose protocol; default: the config's first"
    )
    parser.add_argument(
        "--exact",
        action="store_true",
        help="pad nothing: compile for every size of picture",
    )
    parser.add_argument(
        "--compilation_cache",
        help="folder that keeps compiled programs, '' for none; default: "
        "$JAX_COMPILATION_CACHE_DIR, else ~/.cache/jaxseg/compiled",
    )
    options = parser.parse_args(arguments)
    compilation_cache.enable(options.compilation_cache)
    logging.set_verbosity(logging.ERROR)  # Orbax warns that it only reads
    try:
        if os.path.realpath(options.out) == os.path.realpath(options.images):
            raise config_lib.ConfigError("--out must be another folder than --images")
        files = list_pictures(options.images)
        predict, labels = load(
            options.workdir, evaluation=options.evaluation, exact=options.exact
        )
    except (ValueError, CheckpointError, FileNotFoundError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
    failed = write_masks(predict, labels, files, options.out)
    print(f"wrote {len(files) - failed} masks to {options.out}")
    if failed:
        sys.exit(f"{failed} of {len(files)} pictures could not be read")


if __name__ == "__main__":
    main()
