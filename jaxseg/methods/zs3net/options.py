"""Refuses options of ZS3Net that cannot mean what they say."""

from typing import TYPE_CHECKING

from jaxseg.data import splits

if TYPE_CHECKING:
    from jaxseg.methods.zs3net.method import ZS3Net

CHOICES = {
    "stage": ("segmentation", "generator", "self_training"),
    "layout": ("sampled", "iid", "gt"),
    "noise": ("normal", "uniform"),
    "generator_updates": ("batch", "pair"),
}


def check(method: "ZS3Net") -> None:
    """Raises ValueError with the key, what it is and what it may be."""
    for key, known in CHOICES.items():
        given = getattr(method, key)
        if given not in known:
            raise ValueError(f"{key} is {given!r}; use one of {', '.join(known)}")
    splits.check_split(method.labels)
    _check_segmentor(method)
    _check_numbers(method)
    if method.graph_context and method.layout == "iid":
        raise ValueError(
            "graph_context=True needs regions, and layout='iid' gives every pixel a "
            "class by itself: use layout='sampled'"
        )


def _check_segmentor(method: "ZS3Net") -> None:
    segmentor = method.segmentor
    if segmentor.decoder is not None or segmentor.auxiliary is not None:
        raise ValueError(
            "ZS3Net retrains the 1x1 classifier alone: the model must have neither "
            "decoder nor auxiliary head"
        )
    if segmentor.size_divisor != 1:
        raise ValueError(
            f"the model pads pictures to multiples of {segmentor.size_divisor}, so "
            "that features and labels do not lie on one another: use size_divisor=1"
        )


def _check_numbers(method: "ZS3Net") -> None:
    for key in ("hidden", "samples", "max_classes", "num_nodes"):
        if getattr(method, key) < 1:
            raise ValueError(f"{key} must be 1 or more, got {getattr(method, key)}")
    for key, most in (("region_share", 1), ("pseudo_percent", 100)):
        if not 0 <= getattr(method, key) <= most:
            raise ValueError(f"{key} is from 0 to {most}, got {getattr(method, key)}")
    if not method.bandwidths or min(method.bandwidths) <= 0:
        raise ValueError(f"bandwidths must be positive, got {method.bandwidths}")
