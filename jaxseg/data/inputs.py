"""From the config's `data` and `evals` sections to data sets and their batches."""

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxseg import config as config_lib
from jaxseg.data import (
    episodes,
    image_labels,
    loaders,
    pipeline,
    transforms,
    zero_shot,
)
from jaxseg.data.labels import LabelSet
from jaxseg.data.source import Dataset, Source
from jaxseg.ops import augmentation

# Keys of `config.data` that are read here; all others are somebody's arguments.
RUN_KEYS = ("name", "split", "transform", "augment_on")


@dataclasses.dataclass(frozen=True, eq=False)
class WithWordVectors:
    """A data set whose labels have the word vectors that a config asks for."""

    dataset: Dataset
    labels: LabelSet

    def source(self, split: str) -> Source:
        return self.dataset.source(split)


def make_dataset(
    config: Mapping[str, Any], *, word_vectors: np.ndarray | None = None
) -> Dataset:
    """Builds the data set that `config["data"]["name"]` names.

    Args:
        config: a whole config; `data` and `word_vectors` are read.
        word_vectors: float32 [C, E], which a run has kept, in place of those that the
            config names: their file need not be there.

    Returns:
        The data set; with `word_vectors` in the config its labels have them.

    Raises:
        ConfigError: if a key is misspelt.
        ValueError: if a class has no vector or the file will not do; see
            `word_vectors.read`.
    """
    dataset = config_lib.make("data", _share(config["data"]).dataset)
    spec = config.get("word_vectors")
    if not spec:
        return dataset
    if word_vectors is None:
        word_vectors = config_lib.make("data", spec, names=dataset.labels.names)
    labels = dataclasses.replace(dataset.labels, word_vectors=word_vectors)
    return WithWordVectors(dataset, labels)


def training_batches(
    config: Mapping[str, Any],
    dataset: Dataset,
    *,
    start_step: int,
    process_index: int = 0,
    process_count: int = 1,
    reads_unseen_labels: bool = False,
) -> loaders.Batches:
    """Opens the endless training order of a run at a step.

    All training pictures come from here; those of unseen classes are hidden in it.

    Args:
        config: a whole config; `seed` and `data` are read.
        dataset: of `make_dataset`.
        start_step: number of batches to skip; costs nothing.
        process_index: of this host.
        process_count: number of hosts that share each batch.
        reads_unseen_labels: whether the method is meant to be shown the labels of
            unseen classes, if `data.train_images` hides none.
    """
    shares = _share(config["data"])
    split = config["data"].get("split", "train")
    source = config_lib.call(
        training_source,
        shares.source,
        where="config.data",
        source=dataset.source(split),
        labels=dataset.labels,
    )
    return pipeline.train_batches(
        source,
        transform=_transform(config, shares.transform),
        seed=config.get("seed", 0),
        start_step=start_step,
        process_index=process_index,
        process_count=process_count,
        unseen=() if reads_unseen_labels else dataset.labels.unseen,
        draw=_draw(dataset, split),
        **shares.loader,
    )


def _draw(dataset: Dataset, split: str) -> Any:
    """How episodes are chosen; None for pictures, each once an epoch."""
    if isinstance(dataset, WithWordVectors):
        return _draw(dataset.dataset, split)
    return dataset.draw(split) if isinstance(dataset, episodes.FewShot) else None


def device_augmentation(config: Mapping[str, Any]) -> Callable[[Any], dict[str, Any]]:
    """What a step does to each batch first; nothing if the host has augmented it.

    Args:
        config: a whole config; `data` and the colour of padding are read.

    Returns:
        a function of a batch, compiled or to be compiled.
    """
    transform = _transform(config, _share(config["data"]).transform)
    if not isinstance(transform, transforms.DeferredTransform):
        return dict

    @jax.jit
    def augment(batch: Any) -> dict[str, Any]:
        batch = dict(batch)
        batch["image"], batch["label"] = augmentation.augment(
            batch["image"],
            batch["label"],
            batch.pop("size"),
            batch.pop("choices"),
            crop=transform.crop,
            fill=transform.fill,
        )
        return batch

    return augment


def training_source(
    source: Source,
    labels: LabelSet,
    *,
    train_images: str = zero_shot.DEFAULT,
    supervision: str = "masks",
    image_label_background: bool = True,
    on_error: str = "raise",
    num_threads: int = 2,
) -> Source:
    """What of a split training may see.

    Args:
        source: the pictures with all their labels.
        labels: of the data set.
        train_images: what becomes of unseen classes; see `zero_shot.hide_unseen`.
        supervision: "masks", "image_labels" or "masks_and_image_labels"; see
            `image_labels.supervised_by`.
        image_label_background: whether image labels know the class "background".
        on_error: "raise" or "skip", for unreadable pictures.
        num_threads: that read masks, where all must be looked at before.
    """
    seen = zero_shot.hide_unseen(
        source,
        labels,
        train_images=train_images,
        on_error=on_error,
        num_threads=num_threads,
    )
    return image_labels.supervised_by(
        seen, labels, supervision=supervision, background=image_label_background
    )


def evaluation_batches(
    config: Mapping[str, Any],
    evaluation: str,
    dataset: Dataset,
    *,
    multiple_of: int = 1,
    process_index: int = 0,
    process_count: int = 1,
) -> loaders.Batches:
    """Opens one pass over a split, each picture once; see `pipeline.eval_batches`.

    Args:
        config: a whole config; `evals` and `data` are read.
        evaluation: a key of `config["evals"]`.
        dataset: of `make_dataset`.
        multiple_of: the batch size is rounded up to this, the number of devices.
        process_index: of this host.
        process_count: number of hosts that share each batch.
    """
    spec = config["evals"][evaluation]
    batch_size = -(-spec.get("batch_size", 8) // multiple_of) * multiple_of
    return pipeline.eval_batches(
        dataset.source(spec["split"]),
        batch_size=batch_size,
        canvas=config_lib.as_tuples(spec.get("canvas")) or None,
        buckets=config_lib.as_tuples(spec.get("buckets")) or None,
        align_corners=config["model"].get("align_corners", False),
        on_error=config["data"].get("on_error", "raise"),
        fill=_mean_colour(config),
        num_threads=config["data"].get("num_threads", 2),
        process_index=process_index,
        process_count=process_count,
    )


def training_size(config: Mapping[str, Any]) -> tuple[int, int]:
    """Height and width of the crops of training, or of the first group of views.

    Raises:
        ConfigError: if the transform needs a crop, and the config has none.
    """
    options = config["data"]
    if "crop" in options:
        height, width = options["crop"]
        return height, width
    transform = _transform(config, _share(options).transform)
    if not hasattr(transform, "sizes"):
        raise config_lib.ConfigError(
            f"config.data.transform={options['transform']!r} says no size of pictures: "
            "give it `crop`, or `sizes` of views"
        )
    return transform.sizes[0], transform.sizes[0]


def _transform(config: Mapping[str, Any], options: Mapping[str, Any]) -> Any:
    """The augmentation that `data.transform` names, with its keys of the config."""
    kind = _transform_class(config["data"])
    values = {key: config_lib.as_tuples(value) for key, value in options.items()}
    if "fill" in inspect.signature(kind).parameters:
        values = {"fill": _mean_colour(config)} | values
    return config_lib.call(kind, values, where="config.data")


def _transform_class(options: Mapping[str, Any]) -> Callable[..., Any]:
    """What `data.transform` names, or the half of the usual one for `augment_on`."""
    where = options.get("augment_on", "host")
    if where not in ("host", "device"):
        raise config_lib.ConfigError(
            f"config.data.augment_on is 'host' or 'device', got {where!r}"
        )
    if "transform" not in options:
        on_device = where == "device"
        return transforms.DeferredTransform if on_device else transforms.TrainTransform
    if where == "device":
        raise config_lib.ConfigError(
            f"config.data.transform={options['transform']!r} works on the host only: "
            "set augment_on='host'"
        )
    return config_lib.find("data", options["transform"])


class _Shares(NamedTuple):
    """The keys of `config.data` by who takes them."""

    dataset: dict[str, Any]
    transform: dict[str, Any]
    loader: dict[str, Any]
    source: dict[str, Any]


def _share(options: Mapping[str, Any]) -> _Shares:
    """Hands each key of `config.data` to all that take it.

    Raises:
        ConfigError: if nobody does.
    """
    takers: list[Callable[..., Any]] = [
        config_lib.find("data", options["name"]),
        _transform_class(options),
        pipeline.train_batches,
        training_source,
    ]
    # Given by the run, not by `config.data`.
    given = {"source", "transform", "start_step", "process_index", "process_count"}
    given |= {"seed", "unseen", "draw", "labels"}
    known = [set(inspect.signature(taker).parameters) for taker in takers]
    known = [known[0], *(keys - given for keys in known[1:])]
    shares = _Shares({"name": options["name"]}, {}, {}, {})
    for key, value in options.items():
        if key in RUN_KEYS:
            continue
        owners = [
            share for share, keys in zip(shares, known, strict=True) if key in keys
        ]
        if not owners:
            hint = config_lib.suggest(key, set(RUN_KEYS).union(*known))
            raise config_lib.ConfigError(f"config.data has no key {key!r}{hint}")
        for owner in owners:
            owner[key] = value
    return shares


def _mean_colour(config: Mapping[str, Any]) -> tuple[int, int, int]:
    """What the segmentor subtracts, so that padding is (all but) 0 to the network."""
    colour = config["model"].get("mean", transforms.MEAN_COLOUR)
    in_reverse = config["model"].get("channel_order", "rgb") == "bgr"
    red, green, blue = colour[::-1] if in_reverse else colour
    return round(red), round(green), round(blue)
