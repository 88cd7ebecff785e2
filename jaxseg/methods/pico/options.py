"""Which values PiCo's options may have, alone and together: `check`.

What can be, but is of no use or does harm, is for the log: `not_followed`, `collapsed`.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

CHOICES = dict(
    contrast_set=("batch", "memory", "both"),
    contrast_scope=("inter", "intra"),
    anchor_mode=("hard", "random", "per_class"),
    memory_dtype=("float32", "bfloat16"),
)
# What the numbers may be at least.
LOWEST = dict(
    contrast_weight=0,
    warmup_steps=0,
    temperature=1e-3,
    base_temperature=1e-3,
    group_size=0,
    max_samples=1,
    max_views=1,
    anchors_per_class=1,
    embedding_dim=1,
    region_size=0,
    pixel_size=0,
    pixel_picks=1,
)


def check(options: Any) -> None:
    """Finds what cannot be, or would silently not be followed.

    The rule of the examples checks its own values (`rule.ExampleRule`).

    Args:
        options: has the fields of `PiCo` as attributes.

    Raises:
        ValueError: names the key, what it was given and what to use.
    """
    for name, allowed in CHOICES.items():
        if (value := getattr(options, name)) not in allowed:
            raise ValueError(f"{name} is {value!r}; use one of {allowed}")
    for name, lowest in LOWEST.items():
        if not (value := getattr(options, name)) >= lowest:
            raise ValueError(f"{name} is {value!r}; it must be {lowest} or more")
    if options.contrast_scope == "intra" and options.contrast_set != "batch":
        raise ValueError(
            "contrast_scope='intra' compares the pixels of one image, of which the "
            f"memory knows nothing; contrast_set is {options.contrast_set!r}: use "
            "'batch', or contrast_scope='inter'"
        )
    sizes = (options.region_size, options.pixel_size)
    if options.contrast_set != "batch" and not any(sizes):
        raise ValueError(
            "region_size and pixel_size are 0: for a contrast without a memory use "
            "contrast_set='batch'"
        )
    if options.official_memory_compat:
        _check_official(options)


def not_followed(options: Any) -> tuple[str, ...]:
    """Says which options were chosen that only a memory makes use of.

    Args:
        options: a `PiCo`; what has the default's value was not chosen.

    Returns:
        A line for the log, or none.
    """
    if options.contrast_set != "batch":
        return ()
    defaults = {field.name: field.default for field in dataclasses.fields(options)}
    off = dict(example_mode="all", num_mixed_negatives=0, num_anchor_mixes=0)
    given = {name: getattr(options, name) for name in off}
    chosen = [
        f"{name} = {value!r}"
        for name, value in given.items()
        if value not in (defaults[name], off[name])
    ]
    if not chosen:
        return ()
    return (
        f"config.method has {', '.join(chosen)}, which are about the memory, and with "
        "contrast_set = 'batch' there is none: all anchors of the group are examples; "
        "use contrast_set = 'both' or 'memory', or leave them out",
    )


def collapsed(means: Mapping[str, float]) -> tuple[str, ...]:
    """Says so if all embeddings are alike, as semi-hard examples may make them.

    Args:
        means: metrics of steps with contrast.

    Returns:
        A line for the log, or none.
    """
    positive = means.get("positive_similarity", 0.0)
    negative = means.get("hardest_negative_similarity", 0.0)
    alike = min(positive, negative) > 0.9 and abs(positive - negative) <= 0.06
    if not alike:
        return ()
    return (
        "the embeddings have collapsed: positive_similarity and "
        "hardest_negative_similarity are both above 0.9 and within 0.06 of each other, "
        "so classes lie in one place; begin with config.method.example_mode = 'all' or "
        "'random', or with semi_hard_band = (0.1, 0.5)",
    )


def _check_official(options: Any) -> None:
    if options.contrast_set != "memory":
        raise ValueError(
            "official_memory_compat reproduces a contrast with the memory alone; "
            f"contrast_set is {options.contrast_set!r}: use 'memory'"
        )
    sizes = (options.region_size, options.pixel_size)
    if 0 in sizes:
        raise ValueError(
            f"official_memory_compat has regions and pixels, not {sizes} of them"
        )
    needed = dict(
        anchor_mode="hard",
        example_mode="all",
        num_mixed_negatives=0,
        num_anchor_mixes=0,
    )
    wrong = {k: getattr(options, k) for k in needed if getattr(options, k) != needed[k]}
    if wrong:
        use = ", ".join(f"{name}={needed[name]!r}" for name in wrong)
        given = ", ".join(f"{name}={value!r}" for name, value in wrong.items())
        raise ValueError(
            "official_memory_compat compares hard anchors with the whole memory, "
            f"without mixes; it was given {given}: set {use}"
        )
