"""The state that a run starts from: its own checkpoint, given weights, or chance.

`initial_state` decides which; it is the one that training calls.
"""

import contextlib
import functools
import itertools
import os
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from absl import logging
from jax.sharding import Mesh

from jaxseg import config as config_lib
from jaxseg import sharding, workfolder
from jaxseg.checkpoints import Checkpoints
from jaxseg.data import inputs
from jaxseg.data.source import Dataset
from jaxseg.methods.base import Method
from jaxseg.models import segmentor
from jaxseg.pretrained.calibration import calibrate_batch_norm
from jaxseg.pretrained.load import Report, load_weights
from jaxseg.state import TrainState

# Batches of training pictures over which folded normalisation layers are measured.
CALIBRATION_BATCHES = 24


def initial_state(
    config: Mapping[str, Any],
    method: Method,
    mesh: Mesh,
    dataset: Dataset,
    checkpoints: Checkpoints,
) -> TrainState:
    """Resumes from the newest checkpoint, else starts from `init_from`, else anew.

    Args:
        config: a whole config; `seed`, `init_from`, `sharding`, `data` are read.
        method: whose state it is.
        mesh: the devices that it is placed on.
        dataset: gives the pictures to measure folded normalisation layers on.
        checkpoints: of the work folder.
    """
    target = describe(config, method, mesh)
    if checkpoints.latest_step_of_all() is not None:
        state = checkpoints.restore(target)
        logging.info("resuming from %s, step %d", checkpoints.folder, int(state.step))
        return state
    state = with_guide(config, method, fresh(config, method, target), target)
    source = config_lib.expand(config.get("init_from", ""))
    if not source:
        return state
    if os.path.isdir(source):
        state = from_run(source, state, target)
        if workfolder.is_folded(workfolder.run_folder(source)):
            return calibrate(config, method, state, dataset, target)
        return state
    state, report = from_weights(config, source, method, state, target)
    if not report.folded:
        return state
    return calibrate(config, method, state, dataset, target)


def describe(config: Mapping[str, Any], method: Method, mesh: Mesh) -> TrainState:
    """Returns the state's shapes, dtypes and shardings without computing any of it."""
    shapes = jax.eval_shape(_initializer(config, method), jax.random.key(0))
    shardings = sharding.place_state(shapes, mesh, config.get("sharding", ()))
    return jax.tree.map(
        lambda leaf, place: jax.ShapeDtypeStruct(
            leaf.shape, leaf.dtype, sharding=place
        ),
        shapes,
        shardings,
    )


def fresh(config: Mapping[str, Any], method: Method, target: TrainState) -> TrainState:
    """Draws a new state by the config's seed, each array where `target` says."""
    shardings = jax.tree.map(lambda leaf: leaf.sharding, target)
    initialize = jax.jit(_initializer(config, method), out_shardings=shardings)
    return initialize(jax.random.key(config.get("seed", 0)))


def from_run(path: str, state: TrainState, target: TrainState) -> TrainState:
    """Takes parameters and statistics from another run's work folder, not its step.

    Sub-networks that only one of the two has are left as they are, and named.

    Raises:
        CheckpointError: if a sub-network that both have differs.
    """
    with Checkpoints(workfolder.run_folder(path), read_only=True) as checkpoints:
        names = set(target.params) & checkpoints.sub_networks()
        found = checkpoints.restore_for_evaluation(
            target.replace(
                params={k: v for k, v in target.params.items() if k in names},
                batch_stats={k: v for k, v in target.batch_stats.items() if k in names},
            )
        )
    logging.info(
        "starting from %s, step %d: took %s, left as new %s",
        path,
        int(found.step),
        sorted(names),
        sorted(set(target.params) - names) or "nothing",
    )
    return state.replace(
        params={**state.params, **found.params},
        batch_stats={**state.batch_stats, **found.batch_stats},
    )


def from_weights(
    config: Mapping[str, Any],
    path: str,
    method: Method,
    state: TrainState,
    target: TrainState,
) -> tuple[TrainState, Report]:
    """Fills the segmentor from a file of published weights.

    Its function in evaluation is the published one; where normalisations were folded
    away (`Report.folded`), `calibrate` before training.

    Args:
        config: `init_allow` names what may be missing, left over or misshapen.
        path: of the file.
        method: gives the segmentor.
        state: to fill.
        target: says where arrays are placed.
    """
    params, stats, report = load_weights(
        path,
        method.segmentor,
        state.params["segmentor"],
        state.batch_stats.get("segmentor", {}),
        allow=tuple(config.get("init_allow", ())),
    )
    logging.info("starting from %s", report)
    return replace_segmentor(state, target, params, stats), report


def with_guide(
    config: Mapping[str, Any], method: Method, state: TrainState, target: TrainState
) -> TrainState:
    """Fills the guide of a `GuidedSegmentor`, which no training fills.

    Args:
        config: `guide_from` is a file of weights; a run of `init_from` has its own.
        method: gives the segmentor.
        state: to fill.
        target: says where arrays are placed.

    Raises:
        ConfigError: if there are weights and no guide, or a guide and no weights.
    """
    guide = getattr(method.segmentor, "guide", None)
    path = config.get("guide_from", "")
    if guide is None and path:
        raise config_lib.ConfigError(
            f"config.guide_from={path!r} has nothing to fill: name a backbone in "
            "config.model.guide"
        )
    if guide is None:
        return state
    source = config_lib.expand(config.get("init_from", ""))
    if not path:
        if os.path.isdir(source):
            return state
        raise config_lib.ConfigError(
            "config.model.guide would group patches by chance: give its weights in "
            "config.guide_from, or leave it out, and the backbone takes its place"
        )
    whole = state.params["segmentor"], state.batch_stats.get("segmentor", {})
    # Key maps are for segmentors, whose backbone the guide is in its file.
    shown = segmentor.Segmentor(guide, method.segmentor.head, num_classes=1)
    params, stats, report = load_weights(
        path,
        shown,
        *({"backbone": tree["guide"]} if "guide" in tree else {} for tree in whole),
        allow=tuple(config.get("init_allow", ())),
    )
    logging.info("the guide is %s", report)
    filled = (
        {**tree, "guide": new["backbone"]} if "guide" in tree else tree
        for tree, new in zip(whole, (params, stats), strict=True)
    )
    return replace_segmentor(state, target, *filled)


def replace_segmentor(
    state: TrainState, target: TrainState, params: Any, batch_stats: Any
) -> TrainState:
    """Puts a segmentor's arrays into a state, placed as the target says."""
    placed = jax.tree.map(
        sharding.put,
        {"params": params, "batch_stats": batch_stats},
        {
            "params": target.params["segmentor"],
            "batch_stats": target.batch_stats.get("segmentor", {}),
        },
    )
    stats = {**state.batch_stats}
    if placed["batch_stats"]:
        stats["segmentor"] = placed["batch_stats"]
    return state.replace(
        params={**state.params, "segmentor": placed["params"]}, batch_stats=stats
    )


def calibrate(
    config: Mapping[str, Any],
    method: Method,
    state: TrainState,
    dataset: Dataset,
    target: TrainState,
) -> TrainState:
    """Measures the normalisation that the file had folded away, on training pictures.

    Without it the first step in training mode would normalise what needs none, and
    forget what the weights know.
    """
    logging.info("measuring normalisation statistics on training pictures")
    batches = inputs.training_batches(
        config,
        dataset,
        start_step=0,
        reads_unseen_labels=method.reads_unseen_labels,
    )
    prepare = inputs.device_augmentation(config)
    with contextlib.closing(batches):
        params, stats = calibrate_batch_norm(
            method.segmentor,
            state.params["segmentor"],
            state.batch_stats["segmentor"],
            map(prepare, itertools.islice(batches, CALIBRATION_BATCHES)),
        )
    return replace_segmentor(state, target, params, stats)


@functools.lru_cache(maxsize=1)
def _initializer_of(method: Method, height: int, width: int) -> Any:
    batch = {
        "image": jnp.zeros((1, height, width, 3), jnp.uint8),
        "label": jnp.zeros((1, height, width), jnp.int32),
        "valid": jnp.ones((1,), bool),
    }
    return lambda rng: method.init(rng, batch)


def _initializer(config: Mapping[str, Any], method: Method) -> Any:
    """One function for one method, which JAX traces once for shapes and for values."""
    height, width = inputs.training_size(config)
    return _initializer_of(method, height, width)
