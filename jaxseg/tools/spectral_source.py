"""Whose features the spectral tools compare, by their command line: `add_arguments`.

A file of DINO, a run, or a config with a file of weights; `load` makes of each a
network with its variables.
"""

import argparse
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxseg import config as config_lib
from jaxseg import models, predict
from jaxseg.models.backbones.tiny import Tiny
from jaxseg.models.heads.identity import Identity
from jaxseg.models.segmentor import Segmentor
from jaxseg.pretrained import dino, readers
from jaxseg.pretrained.load import fill

# What a file of weights may hold beside a backbone: none of it is needed here.
REST = ("head", "decoder", "classifier", "auxiliary", "auxiliary_classifier")


class Source(NamedTuple):
    """A network to take features of.

    Attributes:
        network: whose backbone sees the pictures.
        variables: of the backbone at least.
        stage: of the backbone; None for the keys of the last attention.
        title: what it is, for the output.
    """

    network: Segmentor
    variables: Mapping[str, Any]
    stage: int | None
    title: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options that `load` reads."""
    group = parser.add_argument_group("features")
    group.add_argument(
        "--weights",
        default="",
        help="a file of a DINO ViT S/16, S/8, B/16 or B/8: keys of the last attention",
    )
    group.add_argument("--workdir", default="", help="a run, whose backbone is taken")
    group.add_argument(
        "--config", default="", help="FILE:words, whose backbone is taken"
    )
    group.add_argument(
        "--init_from", default="", help="weights for --config; default: the config's"
    )
    group.add_argument(
        "--stage",
        type=int,
        help="of the backbone of a run or config; default: -1, the last",
    )
    group.add_argument(
        "--output_stride",
        type=int,
        help="of the backbone of a run or config, in place of its own",
    )


def load(options: argparse.Namespace) -> Source:
    """Loads what the options name.

    Raises:
        ConfigError: if they name nothing, or several things.
        FileNotFoundError: a file or run is not there.
        ValueError: weights do not fit.
    """
    named = [x for x in ("weights", "workdir", "config") if getattr(options, x)]
    if len(named) != 1:
        raise config_lib.ConfigError(
            f"features of {' and '.join(f'--{x}' for x in named) or 'nothing'}: give "
            "one of --weights FILE (a DINO vision transformer), --workdir RUN, or "
            "--config CONFIG with weights by --init_from or in the config"
        )
    if options.init_from and not options.config:
        raise config_lib.ConfigError("--init_from is for --config")
    if options.weights:
        if options.stage is not None or options.output_stride is not None:
            raise config_lib.ConfigError(
                "--stage and --output_stride are for --workdir and --config; of "
                "--weights the keys of the last block are taken"
            )
        network, variables, _ = dino.load(options.weights)
        return Source(network, variables, None, os.path.basename(options.weights))
    if options.workdir:
        method, state = predict.load_state(options.workdir)
        stats = state.batch_stats.get("segmentor", {})
        variables = {"params": state.params["segmentor"], "batch_stats": stats}
        network = with_stride(method.segmentor, options.output_stride)
        title = options.workdir
    else:
        network, variables, title = from_config(
            options.config, options.init_from, options.output_stride
        )
    return Source(network, variables, _stage(options), title)


def from_config(
    path: str, init_from: str = "", output_stride: int | None = None
) -> tuple[Segmentor, Mapping[str, Any], str]:
    """A config's network with published weights in its backbone.

    Args:
        path: FILE:words.
        init_from: the weights; the config's own if empty.
        output_stride: of the backbone, in place of the config's.

    Returns:
        The network, variables of its backbone, and the name of the file.

    Raises:
        ConfigError: if neither names weights: features by chance would look like some.
        FileNotFoundError: there is no such file.
        ValueError: it does not fit the backbone.
    """
    file, _, words = path.partition(":")
    if not os.path.isfile(file):
        raise FileNotFoundError(f"there is no config {file}")
    config = config_lib.load(file, words)
    weights = config_lib.expand(init_from or config.get("init_from", ""))
    if not weights:
        raise config_lib.ConfigError(
            f"{path} names no weights (init_from): give --init_from FILE"
        )
    if os.path.isdir(weights):
        raise config_lib.ConfigError(
            f"{weights} is a folder: of a run, give --workdir and no --config"
        )
    network = models.build(config["model"], num_classes=2)
    if not isinstance(network, Segmentor):
        raise config_lib.ConfigError(f"{path} is of no segmentor: it has no backbone")
    network = with_stride(network, output_stride)
    variables = _fill_backbone(network, weights)
    return network, variables, os.path.basename(weights)


def at_hand(*, weights: str = "", config: str = "") -> Source:
    """The best features that there are, for a first look as in the notebook.

    Args:
        weights: a file of a DINO vision transformer, or "".
        config: FILE:words whose `init_from` is at hand, or ""; its last stage.

    Returns:
        Of the first that is given. Of neither an untrained network, whose title says
        so: it tells colours and textures apart and knows no things.
    """
    if weights:
        network, variables, _ = dino.load(weights)
        return Source(network, variables, None, os.path.basename(weights))
    if config:
        network, variables, title = from_config(config)
        return Source(network, variables, -1, title)
    backbone = Tiny(widths=(16, 32, 64), depths=(1, 1, 1))
    image = jnp.zeros((1, 64, 64, 3))
    variables = backbone.init(jax.random.key(0), image, train=False)
    network = Segmentor(backbone=backbone, head=Identity(), num_classes=1)
    in_backbone = {name: {"backbone": tree} for name, tree in variables.items()}
    return Source(network, in_backbone, -1, "an untrained network")


def with_stride(network: Any, output_stride: int | None) -> Segmentor:
    """The same network with another `output_stride` of the backbone; None keeps it.

    Raises:
        ConfigError: if the backbone has none.
    """
    if output_stride is None:
        return network
    backbone = network.backbone
    if not hasattr(backbone, "output_stride"):
        raise config_lib.ConfigError(
            f"a {type(backbone).__name__} has no output_stride: leave the option out"
        )
    return network.clone(backbone=backbone.clone(output_stride=output_stride))


def _fill_backbone(network: Segmentor, path: str) -> Mapping[str, Any]:
    image = jnp.zeros((1, 64, 64, 3))
    backbone: Any = network.backbone
    shapes = jax.eval_shape(
        lambda: backbone.init(jax.random.key(0), image, train=False)
    )
    blank = jax.tree.map(
        lambda leaf: np.broadcast_to(np.float32(0), leaf.shape), shapes
    )
    params, stats, _ = fill(
        readers.read(path),
        network,
        {"backbone": blank["params"]},
        {"backbone": blank.get("batch_stats", {})},
        source=path,
        allow=REST,
    )
    return {"params": params, "batch_stats": stats}


def _stage(options: argparse.Namespace) -> int:
    return -1 if options.stage is None else options.stage
