"""Variants that all of PiCo's configs have: the rows of the ablation, and `tiny`."""

from collections.abc import Iterable, Sequence
from typing import Any

from jaxseg.config import ConfigError, suggest
from jaxseg.models.miniatures import miniature

_NO_MIXES: dict[str, Any] = dict(num_mixed_negatives=0, num_anchor_mixes=0)
_ALL: dict[str, Any] = dict(example_mode="all", **_NO_MIXES)

# Fields of the method by row. Without a word it is the whole method: semi-hard examples
# of pixels and regions, and synthetic negatives.
ABLATIONS: dict[str, dict[str, Any]] = {
    # The network without projection: nothing of PiCo is in the program.
    "cross_entropy": dict(contrast_weight=0.0),
    # Anchors are compared with those of their group of images; no memory.
    "batch": dict(contrast_set="batch", **_ALL),
    # Also with all remembered pixels.
    "pixel": dict(contrast_set="both", region_size=0, **_ALL),
    # Also with all remembered regions, and no pixels.
    "region": dict(contrast_set="both", pixel_size=0, **_ALL),
    # Also with all of both.
    "both": dict(contrast_set="both", **_ALL),
    # With semi-hard examples of both in place of all.
    "semi_hard": dict(contrast_set="both", example_mode="semi_hard", **_NO_MIXES),
}


def split(variant: str, networks: Sequence[str]) -> tuple[str, list[str]]:
    """Finds the network in a variant such as "batch,segformer_b2,tiny".

    Args:
        variant: words joined by commas, "" for none.
        networks: that the config has; the first is the one without a word. None if
            there is but one.

    Returns:
        The network, "" if there is no choice, and the other words: at most one of
        `ABLATIONS`, and "tiny".

    Raises:
        ConfigError: for an unknown word, two networks or two rows.
    """
    words = variant.split(",") if variant else []
    known = (*networks, *ABLATIONS, "tiny")
    for word in words:
        if word not in known:
            raise ConfigError(f"unknown variant {word!r}{suggest(word, known)}")
    for group in (networks, ABLATIONS):
        several = [word for word in words if word in group]
        if len(several) > 1:
            raise ConfigError(f"of the variants {', '.join(several)} give only one")
    named = [word for word in words if word in networks]
    others = [word for word in words if word not in networks]
    return (*named, *networks, "")[0], others


def apply(config: Any, words: Iterable[str], *, model: str = "") -> None:
    """Changes a config as the words of its variant say.

    Args:
        config: a `ConfigDict` of PiCo.
        words: of `ABLATIONS`, and "tiny".
        model: what the catalogue calls the config's network; its miniature stands in
            for it when tiny. "" keeps the network.
    """
    for word in sorted(words, key="tiny".__eq__):  # tiny last, wherever it stands
        if word == "tiny":
            shrink(config, model)
        else:
            config.method.update(ABLATIONS[word])


def shrink(config: Any, model: str = "") -> None:
    """Makes of a config two steps on embedded scenes, offline and in seconds."""
    config.total_steps = 2
    config.data = dict(
        name="scenes.Scenes",
        height=32,
        width=64,
        num_train=8,
        num_val=3,
        batch_size=8,
        crop=(32, 64),
        on_error="raise",
        loader="threads",
        num_threads=2,
    )
    if model:
        config.model = dict(miniature(model), dtype="float32")
    method = config.method
    method.update(
        warmup_steps=1,
        max_views=1,  # a map at stride 16 has eight positions
        num_positives=16,
        num_negatives=32,
        num_mixed_negatives=min(method.num_mixed_negatives, 8),
        num_anchor_mixes=min(method.num_anchor_mixes, 4),
        region_size=min(method.region_size, 8),
        pixel_size=min(method.pixel_size, 80),
        class_weights=(),
    )
    config.init_from = ""
    config.every = dict(log=1, checkpoint=1, evaluate=2, pictures=2)
    config.evals = dict(
        val=dict(split="val", batch_size=4, metrics=("mean_iou", "pixel_accuracy"))
    )
