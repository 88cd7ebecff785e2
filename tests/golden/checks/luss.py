"""Checks against LUSS's code and its semi-supervised networks, a file per family."""

from tests.golden.checks.luss_data import mask_codec  # noqa: F401
from tests.golden.checks.luss_matching import (  # noqa: F401
    distance_matching,
    hungarian,
    threshold_curve,
)
from tests.golden.checks.luss_metrics import boundary, metrics  # noqa: F401
from tests.golden.checks.luss_networks import (  # noqa: F401
    backbone_resnet50,
    resize_conventions,
    semi_resnet50_d16,
)
from tests.golden.checks.luss_vit import vit_pos_embed_resize  # noqa: F401
