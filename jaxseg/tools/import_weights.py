"""Makes a file of published weights a checkpoint that runs start from.

    python -m jaxseg.tools.import_weights FILE --model segformer_b0 --out runs/b0

`--model` is a network of the catalogue, or that of a config, configs/x.py:variant. What
matched and what did not is printed. `config.init_from=runs/b0` then starts a run of the
same model from it, or scores it by `--mode=eval`; if `--labels` says what the classes
are, `python -m jaxseg.predict --workdir runs/b0` makes masks of pictures.
"""

import argparse
import copy
import os
import runpy
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from flax import traverse_util

from jaxseg import config as config_lib
from jaxseg import models, workfolder
from jaxseg.checkpoints import FOLDER, CheckpointError, Checkpoints
from jaxseg.config import ConfigError
from jaxseg.data import labels as label_sets
from jaxseg.data.labels import LabelSet
from jaxseg.models.segmentor import Segmentor
from jaxseg.pretrained import load, readers
from jaxseg.state import TrainState

LABELS = {
    "camvid": label_sets.CAMVID,
    "cityscapes": label_sets.CITYSCAPES,
    "voc": label_sets.VOC,
}
ENTRIES = (
    *("backbone", "head", "decoder", "classifier"),
    *("auxiliary", "auxiliary_classifier"),
)
SIZE = (64, 64)  # of the picture that shapes are traced with; none depends on it

Shapes = dict[tuple[str, ...], tuple[int, ...]]  # by ("params", "backbone", ...)


def import_weights(
    file: str,
    model: str,
    out: str,
    *,
    num_classes: int | None = None,
    labels: LabelSet | None = None,
    allow: Sequence[str] = (),
) -> list[str]:
    """Reads a file of weights and writes the work folder of a run at step 0.

    Args:
        file: of published weights; variables in it are expanded.
        model: a key of `models.NETS`, or FILE.py:VARIANT of a config.
        out: the folder, one without checkpoints.
        num_classes: of the model; None: as many as `labels`, or as the file, has.
        labels: the classes, if they are known.
        allow: what may be missing, of another shape or left over; see `load.fill`.

    Returns:
        Lines that say what came from where.

    Raises:
        ConfigError: for an unknown model, or a folder that is taken.
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged or does not fit the model.
    """
    if workfolder.holds_checkpoint(out):
        raise ConfigError(f"{out} holds a run already: give another --out")
    spec = model_spec(model)
    path = config_lib.expand(file)
    tensors = readers.read(path)
    _, renamed = load.choose(tensors, model_shapes(spec, 2), path)
    in_file = {key: np.shape(array) for key, array in renamed.arrays.items()}
    if labels is not None and num_classes is None:
        num_classes = labels.num_classes
    if num_classes is None:
        num_classes = count_classes(in_file, spec, path)
    network = models.build(spec, num_classes=num_classes)
    shapes = model_shapes(spec, num_classes)
    params, stats, report = fill(network, shapes, tensors, path, allow)
    write(out, spec, params, stats, labels, report)
    count = sum(leaf.size for leaf in jax.tree.leaves(params))
    checkpoint = os.path.join(out, FOLDER, "0")
    return [
        *summary(report, in_file, shapes),
        f"wrote {checkpoint}: {num_classes} classes, {count:,} parameters",
    ]


def model_spec(model: str) -> dict[str, Any]:
    """The `model` section that a name of the catalogue or a config stands for.

    Raises:
        ConfigError: for an unknown name.
        FileNotFoundError: if there is no such config.
    """
    path, _, variant = model.partition(":")
    if path.endswith(".py"):
        if not os.path.isfile(path):
            raise FileNotFoundError(f"there is no config {path}")
        return runpy.run_path(path)["get_config"](variant).to_dict()["model"]
    if model not in models.NETS:
        raise ConfigError(
            f"no network {model!r}{config_lib.suggest(model, models.NETS)}; the one of "
            "a config is named by the path, configs/x.py:variant"
        )
    return copy.deepcopy(dict(models.NETS[model].spec))


def model_shapes(spec: Mapping[str, Any], num_classes: int) -> Shapes:
    """The shapes of a model's parameters and statistics, without computing any.

    Raises:
        ConfigError: if it is no segmentor.
    """
    network = models.build(spec, num_classes=num_classes)
    if not isinstance(network, Segmentor):
        raise ConfigError(f"{spec['name']} is no segmentor: runs cannot start from it")
    shapes = jax.eval_shape(lambda: _initial(network))
    flat = traverse_util.flatten_dict(dict(shapes))
    return {key: leaf.shape for key, leaf in flat.items()}


def count_classes(in_file: Shapes, spec: Mapping[str, Any], path: str) -> int:
    """How many classes the classifier of a file has.

    Where that shows is found by comparing the model for two classes with that for
    three.

    Args:
        in_file: shapes of the file's arrays by our paths.
        spec: a config's `model` section.
        path: of the file, for messages.

    Raises:
        ConfigError: if the file has no classifier, or several that differ.
    """
    two, three = (model_shapes(spec, count) for count in (2, 3))
    counts = set()
    for key in in_file.keys() & two.keys():
        # From the end: linear maps have two axes in files, and four as convolutions.
        for axis in range(-len(two[key]), 0):
            if two[key][axis] != three[key][axis]:
                beside = two[key][axis] - 2  # "no object", for one
                counts.add(in_file[key][axis] - beside)
    if len(counts) == 1:
        return counts.pop()
    found = f"classifiers of {sorted(counts)} classes" if counts else "no classifier"
    raise ConfigError(f"{path} has {found}: give --num_classes")


def fill(
    network: Segmentor,
    shapes: Shapes,
    tensors: Mapping[str, np.ndarray],
    path: str,
    allow: Sequence[str],
) -> tuple[Any, Any, load.Report]:
    """Parameters and statistics from a file, by chance where it has none.

    Raises:
        ValueError: if the file does not fit the network.
    """

    def fill_in(start: Mapping[str, Any]) -> tuple[Any, Any, load.Report]:
        stats = start.get("batch_stats", {})
        return load.fill(
            tensors, network, start["params"], stats, source=path, allow=tuple(allow)
        )

    zeros = {key: np.broadcast_to(np.float32(0), n) for key, n in shapes.items()}
    filled = fill_in(traverse_util.unflatten_dict(zeros))
    if not filled[-1].kept:
        return filled  # the usual case spares the compilation of the initialiser
    return fill_in(jax.jit(lambda: _initial(network))())


def _initial(network: Segmentor) -> Any:
    image = jnp.zeros((1, *SIZE, 3))
    return network.init(jax.random.key(0), image, train=False)


def write(
    out: str,
    spec: Mapping[str, Any],
    params: Any,
    stats: Any,
    labels: LabelSet | None,
    report: load.Report,
) -> None:
    """Writes the checkpoint of step 0, and of what it is, as training does.

    Raises:
        CheckpointError: if it cannot be written.
    """
    state = TrainState(
        step=jnp.zeros((), jnp.int32),
        rng=jax.random.key(0),
        params={"segmentor": jax.tree.map(jnp.asarray, params)},
        batch_stats={"segmentor": jax.tree.map(jnp.asarray, stats)} if stats else {},
    )
    with Checkpoints(out) as checkpoints:
        checkpoints.save(state)
    record = {
        "total_steps": 1,
        "data": {"crop": SIZE},
        "model": dict(spec),
        "method": {"name": "supervised.Supervised"},
        workfolder.IMPORTED: {
            "untrained": sorted({name.split("/")[1] for name in report.kept}),
            "folded": report.folded,
        },
    }
    if labels is not None:
        record |= {"id2label": labels.id2label, "palette": labels.palette}
    workfolder.write_json(os.path.join(out, "config.json"), record)


def summary(report: load.Report, in_file: Shapes, in_model: Shapes) -> list[str]:
    """What came from the file, what did not, and what was left in it, as lines."""
    entries = [key[1] for key in in_model]
    filled = [name.split("/")[1] for name in report.filled]
    lines = [f"{report.path}: {report.title}"]
    lines.append(f"  {'entry':<24}{'arrays':>8}{'from the file':>16}")
    for entry in sorted(set(entries), key=ENTRIES.index):
        counts = entries.count(entry), filled.count(entry)
        lines.append(f"  {entry:<24}{counts[0]:>8}{counts[1]:>16}")

    reshaped = []
    for name in report.reshaped:
        key = tuple(name.split("/"))
        reshaped.append(f"{name}: {in_file[key]} there, {in_model[key]} in the model")
    # An entry that the file knows nothing of is a line of the table.
    missing = set(report.kept) - set(report.reshaped)
    missing = {name for name in missing if name.split("/")[1] in filled}
    lines += _listed("of another shape in the file, left as initialised", reshaped)
    lines += _listed("not in the file, left as initialised", sorted(missing))
    lines += _listed("in the file, without a place in the model", report.surplus)
    lines += _listed("in the file, and not needed", report.ignored)
    chance = {name.split("/")[1] for name in report.kept}
    if chance:
        names = ", ".join(sorted(chance, key=ENTRIES.index))
        lines.append(f"to be trained before it is scored: {names}")
    if report.folded:
        lines.append(
            "normalisations are folded into the convolutions: training from here "
            "measures them first, on its pictures"
        )
    lines += report.notes
    return lines


def _listed(what: str, names: Sequence[str], shown: int = 4) -> list[str]:
    if not names:
        return []
    lines = [f"{what}: {len(names)}", *(f"  {name}" for name in names[:shown])]
    return lines + [f"  ... and {len(names) - shown} more"] * (len(names) > shown)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the job; 1 and a message if the file will not do.

    Args:
        arguments: in place of the command line's.
    """
    parser = argparse.ArgumentParser(
        prog="python -m jaxseg.tools.import_weights",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", help="of published weights")
    parser.add_argument("--model", required=True, help="NAME, or FILE.py:VARIANT")
    parser.add_argument("--out", required=True, help="folder for the checkpoint")
    parser.add_argument("--num_classes", type=int, help="default: as in the file")
    parser.add_argument(
        "--labels", choices=sorted(LABELS), help="what classes they are"
    )
    allowed = "what may be missing, misshapen or left over, as classifier"
    parser.add_argument("--allow", nargs="*", default=(), metavar="NAME", help=allowed)
    given = parser.parse_args(arguments)
    logging.set_verbosity(logging.ERROR)  # Orbax warns of checkpoints without scores
    try:
        lines = import_weights(
            given.file,
            given.model,
            given.out,
            num_classes=given.num_classes,
            labels=LABELS.get(given.labels),
            allow=given.allow,
        )
    except (CheckpointError, OSError, ValueError) as error:
        print(f"import_weights: {error}", file=sys.stderr)
        return 1
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
