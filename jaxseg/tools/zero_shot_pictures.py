"""Draws what a zero-shot run has learnt: predictions, scales, reconstruction, features.

    python -m jaxseg.tools.zero_shot_pictures --workdir runs/voc/mixed --out pictures

Writes, of a few pictures of the evaluation that hold unseen classes,

- predictions.png: image, truth and prediction; the legend marks unseen classes
- scales.png: which scale of context each pixel uses, as a mixture of colours
- reconstruction.png: how far the generated feature of each pixel is from the real one
- features.png: t-SNE of real and generated features of each class

Data and checkpoint are those of the run. What its method does not have, as SPNet has no
generator, is left out and named. The last two need matplotlib, t-SNE scikit-learn
(extra `[notebook]`); without scikit-learn it is a principal component analysis, and the
picture says so.
"""

import argparse
import functools
import importlib.util
import itertools
import os
import sys
from collections.abc import Mapping, Sequence
from concurrent import futures
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging

from jaxseg import (
    compilation_cache,
    evaluate,
    inference,
    initialization,
    models,
    plots,
    predict,
    sharding,
    visualize,
    workfolder,
)
from jaxseg import config as config_lib
from jaxseg.checkpoints import CheckpointError, Checkpoints
from jaxseg.data import inputs
from jaxseg.data.labels import LabelSet
from jaxseg.data.source import Source
from jaxseg.methods import base
from jaxseg.ops.scales import labels_at
from jaxseg.protocols.base import cover
from jaxseg.state import TrainState

PROJECTIONS = ("tsne", "umap", "pca")
# What a projection needs beside NumPy: its module, and what pip calls it.
NEEDS = {"tsne": ("sklearn", "scikit-learn"), "umap": ("umap", "umap-learn")}
MOST_POINTS = 100  # of a class, real and as many generated


class Trained(NamedTuple):
    """A run, loaded to be looked at.

    Attributes:
        method: with all that its config says, word vectors too.
        state: of the newest checkpoint, without optimisers and memory.
        source: the pictures of the evaluation.
        canvases: of the evaluation, to compile for few sizes.
        predict: class ids [H, W] of a picture, uint8 [H, W, 3].
    """

    method: base.Method
    state: TrainState
    source: Source
    canvases: tuple[tuple[int, int], ...]
    predict: Any

    @property
    def labels(self) -> LabelSet:
        """The classes."""
        return self.method.labels


class Look(NamedTuple):
    """A picture, and what a network makes of it.

    Attributes:
        image: uint8 [H, W, 3].
        truth: [H, W] train ids.
        prediction: [H, W] train ids.
        label: [h, w] the truth at the size of the features.
        features: [h, w, D] what the classifier reads.
        scale_weights: [h, w, S] how much of each scale of context a pixel uses; None of
            a method without.
        error: [h, w] mean |x - G(w, z)| over the channels, NaN where nothing is
            labelled; None of a method that does not reconstruct.
    """

    image: np.ndarray
    truth: np.ndarray
    prediction: np.ndarray
    label: np.ndarray
    features: np.ndarray
    scale_weights: np.ndarray | None
    error: np.ndarray | None


def load(
    workdir: str, *, config: Mapping[str, Any] | None = None, evaluation: str = ""
) -> Trained:
    """Loads the newest checkpoint of a run, with all its sub-networks and its data.

    Args:
        workdir: of the run.
        config: in place of the one that the folder records, as for data elsewhere.
        evaluation: whose pictures, of the config's `evals`; the first if empty.

    Raises:
        ConfigError: if the folder has no config.json, or is of another model, or there
            is no such evaluation.
        CheckpointError: if it has no checkpoint.
        ValueError: if no class is unseen.
    """
    recorded, _ = predict.recorded(workdir)
    config = recorded if config is None else config
    dataset = inputs.make_dataset(config)
    if not dataset.labels.unseen:
        raise ValueError(
            f"{workdir} is no zero-shot run: none of its classes is unseen "
            "(config.data.unseen)"
        )

    def build(model: Mapping[str, Any]) -> Any:
        return models.build(model, num_classes=dataset.labels.num_classes)

    workfolder.check_same_model(config, workdir, dataset.labels, build=build)
    method = base.from_config(config, dataset.labels)
    mesh = sharding.make_mesh(1)
    target = initialization.describe(config, method, mesh)
    with Checkpoints(workdir, read_only=True) as checkpoints:
        state = checkpoints.restore_for_evaluation(target)
    spec = predict.find_evaluation(config, evaluation)
    canvases = predict.canvases(spec)
    return Trained(
        method=method,
        state=state,
        source=dataset.source(spec.get("split", "val")),
        canvases=canvases,
        predict=predict.Predictor(
            predict=inference.make_predict(method, mesh),
            state=inference.predicting(state),
            protocol=evaluate.make_protocol(spec),
            buckets=canvases,
            align_corners=method.segmentor.align_corners,
        ),
    )


def class_areas(
    source: Source, num_classes: int, *, num_threads: int = 2
) -> np.ndarray:
    """How many pixels of each class each picture has, [N, C]; reads all masks."""

    def areas(index: int) -> np.ndarray:
        alone = getattr(source, "label", None)
        label = source[index]["label"] if alone is None else alone(index)
        return np.bincount(label.ravel(), minlength=num_classes)[:num_classes]

    with futures.ThreadPoolExecutor(num_threads) as pool:
        found = list(pool.map(areas, range(len(source))))
    return np.array(found, int).reshape(-1, num_classes)


def choose(areas: np.ndarray, unseen: Sequence[int], num: int) -> list[int]:
    """Chooses pictures that show unseen classes: each class in turn, the largest first.

    Args:
        areas: [N, C] pixels of each class in each picture.
        unseen: class ids.
        num: how many to choose at most.

    Returns:
        Indices of pictures; of all that there are, if no picture has such a class.
    """
    order = np.argsort(-areas, axis=0, kind="stable")
    queues = [[int(i) for i in order[:, c] if areas[i, c] > 0] for c in unseen]
    turns = itertools.chain.from_iterable(itertools.zip_longest(*queues))
    chosen = list(dict.fromkeys(i for i in turns if i is not None))
    return (chosen or list(range(len(areas))))[:num]


def look(trained: Trained, indices: Sequence[int]) -> list[Look]:
    """Looks at some pictures of a run's evaluation."""
    examples = [trained.source[i] for i in indices]
    return [_look(trained, x["image"], x["label"]) for x in examples]


def look_at_unseen(trained: Trained, *, num: int = 8) -> list[Look]:
    """Looks at pictures with unseen classes, see `choose`."""
    areas = class_areas(trained.source, trained.labels.num_classes)
    return look(trained, choose(areas, trained.labels.unseen, num))


def _look(trained: Trained, image: np.ndarray, truth: np.ndarray) -> Look:
    """What a network makes of one picture, which it is shown as in prediction."""
    canvas, size = shown_in_prediction(trained, image)
    label = np.full(canvas.shape[:2], trained.labels.ignore, np.int32)
    rows = np.arange(size[0]) * truth.shape[0] // size[0]
    columns = np.arange(size[1]) * truth.shape[1] // size[1]
    label[: size[0], : size[1]] = truth[rows][:, columns]
    found = jax.device_get(
        describe(trained.state, canvas[None], label[None], method=trained.method)
    )
    _, h, w, _ = found["features"].shape
    h, w = -(-size[0] * h // canvas.shape[0]), -(-size[1] * w // canvas.shape[1])
    maps = {name: x[0, :h, :w] for name, x in found.items()}
    return Look(
        image=image,
        truth=truth,
        prediction=trained.predict(image),
        label=maps["label"],
        features=maps["features"],
        scale_weights=maps.get("scale_weights"),
        error=maps.get("error"),
    )


def shown_in_prediction(
    trained: Trained, image: np.ndarray
) -> tuple[np.ndarray, tuple[int, int]]:
    """The canvas [h, w, 3] that a network sees of a picture, and the picture's size."""
    height, width, _ = image.shape
    canvas = inference.canvas_for(
        (height, width),
        trained.canvases,
        align_corners=trained.method.segmentor.align_corners,
    )
    padding = ((0, canvas[0] - height), (0, canvas[1] - width), (0, 0))
    padded = np.pad(image, padding, mode="edge")
    own_size = np.array([[height, width]])
    protocol = trained.predict.protocol.fit(own_size)
    shown, sizes = protocol.shown(jnp.asarray(padded[None]), jnp.asarray(own_size))
    shown = cover(shown, sizes, inference.fill_colour(trained.method))
    new_height, new_width = map(int, sizes[0])
    return np.asarray(shown[0]), (new_height, new_width)


@functools.partial(jax.jit, static_argnames="method")
def describe(
    state: TrainState, image: Any, label: Any, *, method: Any
) -> dict[str, jax.Array]:
    """The maps of pictures that `Look` has, by name.

    Args:
        state: with all sub-networks.
        image: [B, H, W, 3].
        label: [B, H, W] train ids.
        method: whose state it is.

    Returns:
        `features` [B, h, w, D] and `label` [B, h, w], and of methods that describe
        context `scale_weights` [B, h, w, S] and `error` [B, h, w].
    """
    if not hasattr(method, "describe"):
        variables = {
            "params": state.params["segmentor"],
            "batch_stats": state.batch_stats.get("segmentor", {}),
        }
        outputs: Any = method.segmentor.apply(variables, image, train=False)
        label = labels_at(label, outputs.features.shape[1:3])
        return {"features": outputs.features.astype(jnp.float32), "label": label}
    context = method.describe(state, {"image": image})
    label = labels_at(label, context.features.shape[1:3])
    key = jax.random.key(0)  # of nothing: the codes are given
    generated = method.synthesise(state, key, label, context.latent)
    distance = jnp.mean(jnp.abs(context.features - generated), axis=-1)
    known = (label >= 0) & (label < method.labels.num_classes)
    return {
        "features": context.features,
        "label": label,
        "scale_weights": context.scale_weights,
        "error": jnp.where(known, distance, jnp.nan),
    }


def predictions(trained: Trained, looks: Sequence[Look]) -> np.ndarray:
    """Draws image | truth | prediction, uint8 [H, W, 3]."""
    images, truths, found = (
        [getattr(x, name) for x in looks] for name in ("image", "truth", "prediction")
    )
    return visualize.comparison(images, truths, {"prediction": found}, trained.labels)


def scales(trained: Trained, looks: Sequence[Look]) -> np.ndarray:
    """Draws image | which scale of context each pixel uses, uint8 [H, W, 3]."""
    context = trained.method.segmentor.head.context
    weights = [x.scale_weights for x in looks if x.scale_weights is not None]
    return visualize.shares([x.image for x in looks], weights, fields(context))


def fields(context: Any) -> list[str]:
    """The receptive field of each scale of a `ContextModule`, "7 x 7"."""
    windows = [d if context.kind == "dilated" else 0 for d in context.dilations]
    sides = [1 + 2 * total for total in itertools.accumulate(windows)]
    return [f"{side} x {side}" for side in sides]


def reconstruction(looks: Sequence[Look]) -> np.ndarray:
    """Draws image | error of the generated features, uint8 [H, W, 3]."""
    errors = [x.error for x in looks if x.error is not None]
    name = "mean |x - G(w, z)|"
    return plots.heat_maps([x.image for x in looks], errors, name=name)


def features(
    trained: Trained, looks: Sequence[Look], *, projection: str = "", seed: int = 0
) -> np.ndarray:
    """Draws real and generated features of each class on a plane, uint8 [H, W, 3].

    Args:
        trained: the run.
        looks: whose labelled pixels are the real ones.
        projection: of `PROJECTIONS`; see `flatten`.
        seed: of the pixels, the codes and the projection.
    """
    real, ids = sample(looks, num_classes=trained.labels.num_classes, seed=seed)
    method: Any = trained.method
    generated = method.synthesise(trained.state, jax.random.key(seed), jnp.asarray(ids))
    places, name = flatten(
        np.concatenate([real, np.asarray(generated)]), projection, seed=seed
    )
    return plots.real_and_generated(
        places,
        np.concatenate([ids, ids]),
        np.repeat([False, True], len(ids)),
        trained.labels,
        title=f"{name} of features, real (dots) and generated (crosses)",
    )


def sample(
    looks: Sequence[Look], *, num_classes: int, seed: int, most: int = MOST_POINTS
) -> tuple[np.ndarray, np.ndarray]:
    """Draws pixels of each class, at most so many, without replacement.

    Args:
        looks: the pictures.
        num_classes: C; other ids are never drawn.
        seed: of the draw.
        most: of a class.

    Returns:
        [N, D] features and [N] int32 class ids.
    """
    rng = np.random.default_rng(seed)
    vectors = np.concatenate(
        [x.features.reshape(-1, x.features.shape[-1]) for x in looks]
    )
    labels = np.concatenate([x.label.ravel() for x in looks])
    order = rng.permutation(len(labels))
    chosen = [order[labels[order] == c][:most] for c in range(num_classes)]
    places = np.concatenate(chosen)
    return vectors[places], labels[places].astype(np.int32)


def flatten(
    vectors: np.ndarray, projection: str = "", *, seed: int = 0
) -> tuple[np.ndarray, str]:
    """Lays vectors on a plane.

    Args:
        vectors: [N, D].
        projection: "tsne" (scikit-learn), "umap" (umap-learn) or "pca" (nothing); the
            first if empty, or "pca" where scikit-learn is not installed.
        seed: of what is random in it.

    Returns:
        [N, 2] places, and what they are called.

    Raises:
        ValueError: if there is no such projection.
    """
    if not projection:
        has_tsne = importlib.util.find_spec("sklearn") is not None
        projection = "tsne" if has_tsne and len(vectors) > 3 else "pca"
    if projection == "pca":
        centred = vectors - vectors.mean(axis=0)
        _, _, directions = np.linalg.svd(centred, full_matrices=False)
        return centred @ directions[:2].T, "principal components"
    if projection == "umap":
        from umap import UMAP

        return UMAP(random_state=seed).fit_transform(vectors), "UMAP"
    if projection != "tsne":
        raise ValueError(f"projection is one of {PROJECTIONS}, got {projection!r}")
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(vectors) - 1) / 3)
    laid = TSNE(perplexity=perplexity, random_state=seed, init="pca")
    return laid.fit_transform(vectors), "t-SNE"


def draw(trained: Trained, looks: Sequence[Look], *, projection: str = "") -> Any:
    """Draws all that a method has, uint8 [H, W, 3] by name; logs what it has not."""
    yield "predictions", predictions(trained, looks)
    if looks[0].scale_weights is None:
        name = type(trained.method).__name__
        logging.info("%s describes no context: no scales, no reconstruction", name)
    else:
        yield "scales", scales(trained, looks)
        yield "reconstruction", reconstruction(looks)
    can_generate = hasattr(trained.method, "synthesise")
    if can_generate and "generator" in trained.state.params:
        yield "features", features(trained, looks, projection=projection)
    else:
        logging.info("the run has no generator: no generated features")


def check_installed(projection: str) -> None:
    """Refuses a projection whose package is not there, before anything is drawn.

    Raises:
        ValueError: saying what to install.
    """
    if projection not in NEEDS:
        return
    module, package = NEEDS[projection]
    if importlib.util.find_spec(module) is None:
        raise ValueError(
            f"--projection={projection} needs {package}: pip install {package}, or "
            "choose another"
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Parses the command line and draws.

    Args:
        arguments: in place of the command line's.
    """
    parser = argparse.ArgumentParser(prog="python -m jaxseg.tools.zero_shot_pictures")
    parser.add_argument("--workdir", required=True, help="folder of the run")
    parser.add_argument("--out", required=True, help="folder for the pictures")
    parser.add_argument(
        "--config", help="FILE:words in place of the recorded one, for data elsewhere"
    )
    parser.add_argument("--num", type=int, default=8, help="pictures to look at")
    parser.add_argument(
        "--evaluation", default="", help="whose pictures; default: the config's first"
    )
    parser.add_argument(
        "--projection", choices=PROJECTIONS, default="", help="default: t-SNE"
    )
    options = parser.parse_args(arguments)
    compilation_cache.enable(None)
    logging.set_verbosity(logging.ERROR)  # Orbax warns that it only reads
    try:
        check_installed(options.projection)
        config = None
        if options.config:
            path, _, words = options.config.partition(":")
            config = config_lib.load(path, words)
        trained = load(options.workdir, config=config, evaluation=options.evaluation)
    except (ValueError, CheckpointError, FileNotFoundError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
    logging.set_verbosity(logging.INFO)
    looks = look_at_unseen(trained, num=options.num)
    os.makedirs(options.out, exist_ok=True)
    for name, picture in draw(trained, looks, projection=options.projection):
        path = os.path.join(options.out, f"{name}.png")
        visualize.save_picture(path, picture)
        print(f"wrote {path}")


if __name__ == "__main__":
    main()
