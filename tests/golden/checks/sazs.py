"""Checks against SAZS's code and what it builds on; each family has its own file."""

from tests.golden.checks.sazs_alignment import (  # noqa: F401
    align_binary,
    align_multi,
)
from tests.golden.checks.sazs_clip import clip_text  # noqa: F401
from tests.golden.checks.sazs_drn import drn_d  # noqa: F401
from tests.golden.checks.sazs_metrics import metric_fold  # noqa: F401
from tests.golden.checks.sazs_protocols import resize_logits_pil  # noqa: F401
from tests.golden.checks.sazs_segments import fusion, localisation_boxes  # noqa: F401
from tests.golden.checks.sazs_shape import (  # noqa: F401
    affine_warp,
    boundary,
    edges,
    inverseform_mlp,
    inverseform_mlp_full,
    inverseform_small,
    sobel_kernel,
    theta_distance,
)
from tests.golden.checks.sazs_spectral import affinity  # noqa: F401
from tests.golden.checks.sazs_text import clip_bpe  # noqa: F401
from tests.golden.checks.sazs_vit import (  # noqa: F401
    dino_keys,
    dpt_decoder,
    dpt_encoder,
)
