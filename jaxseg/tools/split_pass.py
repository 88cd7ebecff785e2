"""One pass over a split, for tools that compare answers: `count_split`."""

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
from jax.sharding import Mesh

from jaxseg import evaluate, inference, tally
from jaxseg.config import ConfigError
from jaxseg.data import inputs
from jaxseg.state import TrainState


def count_split(
    config: Mapping[str, Any],
    spec: Mapping[str, Any],
    mesh: Mesh,
    state: TrainState,
    step: Callable[..., inference.Counts],
) -> Any:
    """One pass over a split with a step of one's own.

    Args:
        config: of the run whose checkpoint `state` is; it has the vectors of class
            names, so that no file of them is read.
        spec: an entry of `config["evals"]`, whose split and protocol are meant.
        mesh: the devices.
        state: restored.
        step: as `inference.make_count` compiles them; its counts may have more axes.

    Raises:
        ConfigError: if the evaluation compares elsewhere than at the pictures' pixels.

    Returns:
        confusion and the further measures, summed, as int64 arrays.
    """
    protocol = evaluate.make_protocol(spec)
    if not protocol.compares_pixels:
        raise ConfigError(
            "this tool compares at the pictures' own pixels, and the evaluation's "
            f"protocol at another place, {spec['protocol']}: set its compare_at="
            "'picture', or name another evaluation"
        )
    config = {**config, "word_vectors": {}, "evals": {"split": spec}}
    batches = inputs.evaluation_batches(
        config,
        "split",
        inputs.make_dataset(config),
        multiple_of=mesh.size,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
    )
    with contextlib.closing(batches):
        counted = tally.accumulate(
            step,
            inference.predicting(state),
            batches,
            mesh=mesh,
            protocol=protocol,
        )
    assert counted is not None and counted.totals is not None  # nothing stopped it
    return counted.totals
