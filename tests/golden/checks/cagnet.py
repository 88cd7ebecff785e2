"""Checks against the code of CaGNet, SPNet and ZS3Net, a file per family."""

from tests.golden.checks.cagnet_context import context_module, kl  # noqa: F401
from tests.golden.checks.cagnet_generator import (  # noqa: F401
    discriminator,
    generator,
    generator_full_rule_weights,
)
from tests.golden.checks.cagnet_losses import (  # noqa: F401
    adversarial_and_cls,
    cagnet_step1,
    cagnet_step2,
    recon_losses,
    self_training,
)
from tests.golden.checks.cagnet_metrics import metrics  # noqa: F401
from tests.golden.checks.cagnet_patches import (  # noqa: F401
    v2_fill_ignored_labels,
    v2_patchwise,
    v2_pixelcnn,
)
from tests.golden.checks.cagnet_protocols import multiscale_fusion  # noqa: F401
from tests.golden.checks.cagnet_spnet import (  # noqa: F401
    label_resize_nearest,
    lr_schedules,
    spnet_calibrated_prediction,
    spnet_multiscale_loss,
)
from tests.golden.checks.cagnet_zs3 import (  # noqa: F401
    zs3_generator,
    zs3_gmmn_loss,
    zs3_graph_context,
    zs3_weighted_ce,
)
