"""Check of the enlargement of logits against SAZS's, which is Pillow's."""

import jax.numpy as jnp
import numpy as np

from jaxseg.protocols.resized import Resized
from tests.golden.case import Case


def resize_logits_pil(case: Case) -> None:
    """Planes of logits seen at a small size, brought to the picture's own."""
    planes = np.moveaxis(case["src"], 0, -1)[None]  # [1, h, w, C]
    shape = case.number("height"), case.number("width")
    sizes = np.array([shape])
    protocol = Resized(size=planes.shape[1:3], step=1).fit(sizes)
    ours = protocol(
        lambda image: jnp.asarray(planes),
        jnp.zeros((1, *shape, 3)),
        sizes,
        fill=(0, 0, 0),
    )
    case.close("out", np.moveaxis(ours[0], -1, 0), atol=1e-5)
