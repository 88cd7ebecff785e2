"""Checks against the code of CaGNet, SPNet and ZS3Net, a file per family."""

from tests.golden.checks.cagnet_metrics import metrics  # noqa: F401
from tests.golden.checks.cagnet_patches import (  # noqa: F401
    v2_fill_ignored_labels,
    v2_patchwise,
    v2_pixelcnn,
)
from tests.golden.checks.cagnet_protocols import multiscale_fusion  # noqa: F401
