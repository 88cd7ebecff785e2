"""From the config's `data` and `evals` sections to data sets and their batches."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from jaxseg import config as config_lib
from jaxseg.data import loaders, pipeline, transforms
from jaxseg.data.source import Dataset


def make_dataset(config: Mapping[str, Any]) -> Dataset:
    """Builds the data set that `config["data"]["name"]` names."""
    options = _share(config["data"])[0]
    return config_lib.make("data", options)


def training_batches(
    config: Mapping[str, Any],
    dataset: Dataset,
    *,
    start_step: int,
    process_index: int = 0,
    process_count: int = 1,
) -> loaders.Batches:
    """Opens the endless training order of a run at a step.

    Args:
        config: a whole config; `seed` and `data` are read.
        dataset: of `make_dataset`.
        start_step: number of batches to skip; costs nothing.
        process_index: of this host.
        process_count: number of hosts that share each batch.
    """
    _, transform, loader = _share(config["data"])
    transform = {"fill": _mean_colour(config)} | transform
    return pipeline.train_batches(
        dataset.source(config["data"].get("split", "train")),
        transform=config_lib.call(
            transforms.TrainTransform,
            {key: config_lib.as_tuples(value) for key, value in transform.items()},
            where="config.data",
        ),
        seed=config.get("seed", 0),
        start_step=start_step,
        process_index=process_index,
        process_count=process_count,
        **loader,
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
        on_error=config["data"].get("on_error", "raise"),
        fill=_mean_colour(config),
        num_threads=config["data"].get("num_threads", 2),
        process_index=process_index,
        process_count=process_count,
    )


def _share(
    options: Mapping[str, Any],
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Hands each key of `config.data` to the data set, the transform or the loader."""
    dataset = config_lib.find("data", options["name"])
    takers: list[Callable[..., Any]] = [
        dataset,
        transforms.TrainTransform,
        pipeline.train_batches,
    ]
    given = {"source", "transform", "start_step", "process_index", "process_count"}
    known = [set(inspect.signature(taker).parameters) - given for taker in takers]
    known[2] -= {"seed"}  # of the run, not of the loader
    shares: list[dict[str, Any]] = [{"name": options["name"]}, {}, {}]
    for key, value in options.items():
        if key in ("name", "split"):
            continue
        owners = [
            share for share, keys in zip(shares, known, strict=True) if key in keys
        ]
        if not owners:
            hint = config_lib.suggest(key, set().union(*known))
            raise config_lib.ConfigError(f"config.data has no key {key!r}{hint}")
        for owner in owners:
            owner[key] = value
    return shares[0], shares[1], shares[2]


def _mean_colour(config: Mapping[str, Any]) -> tuple[int, int, int]:
    """What the segmentor subtracts, so that padding is (all but) 0 to the network."""
    red, green, blue = config["model"].get("mean", transforms.MEAN_COLOUR)
    return round(red), round(green), round(blue)
