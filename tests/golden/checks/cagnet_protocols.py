"""Check of evaluation at several scales against SPNet's wrapper."""

import jax.numpy as jnp
import numpy as np

from jaxseg.ops.resize import resize_within
from jaxseg.protocols.multiscale import MultiScale, combine
from tests.golden.case import Case


def multiscale_fusion(case: Case) -> None:
    """What the network is shown at each scale, and the maximum of its answers."""
    image = case["image"]
    sizes = np.broadcast_to(image.shape[1:3], (len(image), 2))
    seen = []
    protocol = MultiScale(
        scales=(1.0, 0.5, 0.75), flip=False, rule="maximum", align_corners=False
    )
    fill = (0,) * image.shape[-1]
    protocol(lambda x: seen.append(x) or x, image, sizes, fill=fill)
    case.close("image_50", seen[1], **case.resolved("image_50", 1e-5))
    case.close("image_75", seen[2], **case.resolved("image_75", 1e-5))

    largest = None
    shape = case["feat_100"].shape[1:3]
    for name in ("feat_100", "feat_50", "feat_75"):
        features = jnp.asarray(case[name])
        size = np.broadcast_to(features.shape[1:3], (len(features), 2))
        new_size = np.broadcast_to(shape, size.shape)
        same = resize_within(features, size, new_size, shape, align_corners=False)
        largest = combine(largest, same, "maximum")
    case.close("feat_max", largest, **case.resolved("feat_max", 1e-5))
