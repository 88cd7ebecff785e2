"""Checks against the code of CaGNet, SPNet and ZS3Net, a file per family."""

from tests.golden.checks.cagnet_metrics import metrics  # noqa: F401
from tests.golden.checks.cagnet_protocols import multiscale_fusion  # noqa: F401
from tests.golden.checks.cagnet_zs3 import (  # noqa: F401
    zs3_generator,
    zs3_gmmn_loss,
    zs3_graph_context,
    zs3_weighted_ce,
)
