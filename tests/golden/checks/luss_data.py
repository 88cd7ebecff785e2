"""The masks of ImageNet-S."""

from jaxseg.data import imagenet_s
from tests.golden.case import Case


def mask_codec(case: Case) -> None:
    """Ids as R + 256 G, both ways and exactly."""
    case.equal("ids", imagenet_s.decode_mask(case["rgb"]))
    case.equal("rgb", imagenet_s.encode_mask(case["ids"]))
