"""Published networks with the same parts, but few channels and layers, for tests.

spec = miniature("segformer_b2")  # a config's `model` section
"""

import copy
from typing import Any

from jaxseg import config
from jaxseg.models.catalogue import NETS

Parts = dict[str, dict[str, Any]]

_HRNET: Parts = dict(backbone=dict(width=4, modules=(1, 1, 1), blocks=1, stem_width=8))

# By name in the catalogue: what is smaller, part by part.
SMALLER: dict[str, Parts] = {
    "pico_deeplabv3_r101": dict(
        backbone=dict(depth=50, width=8),
        head=dict(features=16),
        auxiliary=dict(features=16),
    ),
    "hrnet_w48": _HRNET | dict(head=dict(features=60)),
    "ocr_hrnet_w48": _HRNET
    | dict(head=dict(features=16, key_features=8), auxiliary=dict(features=60)),
    "segformer_b2": dict(
        backbone=dict(widths=(8, 8, 10, 16), depths=(1, 1, 1, 1)),
        head=dict(features=16),
    ),
    "segmenter_s16": dict(
        backbone=dict(width=16, depth=2, num_heads=2, image_grid=(2, 4)),
        decoder=dict(width=16, depth=1, num_heads=2),
    ),
    "maskformer_r50": dict(
        backbone=dict(width=8),
        head=dict(features=16, mask_features=16, num_groups=4),
        decoder=dict(num_queries=12, width=16, depth=2, num_heads=2, hidden=32),
    ),
    "pico_mobilenet_v2": dict(
        backbone=dict(width=0.25, last_features=32), head=dict(features=16)
    ),
}


def miniature(name: str) -> dict[str, Any]:
    """The `model` section of a network of the catalogue made small.

    Raises:
        ConfigError: if there is no small one of that name.
    """
    if name not in SMALLER:
        raise config.ConfigError(
            f"no miniature of {name!r}{config.suggest(name, SMALLER)}"
        )
    spec: dict[str, Any] = copy.deepcopy(dict(NETS[name].spec))
    for part, fields in SMALLER[name].items():
        spec[part] = {**spec[part], **fields}
    return spec
