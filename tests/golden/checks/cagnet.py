"""Checks against the code of CaGNet, SPNet and ZS3Net, a file per family."""

from tests.golden.checks.cagnet_metrics import metrics  # noqa: F401
from tests.golden.checks.cagnet_protocols import multiscale_fusion  # noqa: F401
from tests.golden.checks.cagnet_spnet import (  # noqa: F401
    label_resize_nearest,
    lr_schedules,
    spnet_calibrated_prediction,
    spnet_multiscale_loss,
)
