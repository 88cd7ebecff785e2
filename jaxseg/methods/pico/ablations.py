"""The rows of PiCo's ablation, as fields of the method; configs have them by word.

Each row adds to the one before what its word says; the whole method, which has no word,
adds synthetic negatives to the last.
"""

from typing import Any

_NO_MIXES: dict[str, Any] = dict(num_mixed_negatives=0, num_anchor_mixes=0)
_ALL: dict[str, Any] = dict(example_mode="all", **_NO_MIXES)

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
