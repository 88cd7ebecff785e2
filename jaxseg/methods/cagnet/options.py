"""What CaGNet's options must be, said before anything is compiled."""

from typing import Any

from jaxseg.data import splits
from jaxseg.losses import adversarial
from jaxseg.models.heads.context import ContextHead
from jaxseg.models.heads.feature_classifier import FeatureClassifier

UPDATES = ("simultaneous", "sequential")


def check(method: Any) -> None:
    """Refuses a `CaGNet` whose options contradict each other.

    Raises:
        ValueError: naming the key, and what to set.
    """
    if method.update not in UPDATES:
        raise ValueError(f"update is one of {UPDATES}, got {method.update!r}")
    if method.gan not in adversarial.KINDS:
        raise ValueError(f"gan is one of {adversarial.KINDS}, got {method.gan!r}")
    if not method.scales or method.scales[0] != 1.0 or min(method.scales) <= 0:
        raise ValueError(f"scales begin with 1.0 and are above 0, got {method.scales}")
    splits.check_split(method.labels)
    _check_segmentor(method.segmentor)
    if method.synthesis is not None:
        _check_patches(method)


def _check_segmentor(segmentor: Any) -> None:
    """Refuses a network that has not the parts that the players are made of."""
    if not isinstance(segmentor.head, ContextHead):
        raise ValueError(
            "the generator needs the code of a contextual module: set config.model.head"
            "=dict(name='heads.context.ContextHead', ...)"
        )
    if not isinstance(segmentor.decoder, FeatureClassifier):
        raise ValueError(
            "the discriminator shares the classifier's hidden layer: set config.model."
            "decoder=dict(name='heads.feature_classifier.FeatureClassifier', ...)"
        )
    if segmentor.size_divisor != 1 or segmentor.auxiliary is not None:
        raise ValueError(
            "CaGNet pads no picture and trains no auxiliary head: leave out "
            "size_divisor and auxiliary of config.model"
        )
    if segmentor.dropout:
        raise ValueError(
            f"config.model.dropout={segmentor.dropout} would do nothing: set that of "
            "config.model.decoder"
        )


def _check_patches(method: Any) -> None:
    """Refuses synthesised patches that do not fit classifier and prior."""
    synthesis, network = method.synthesis, method.patch_network
    side = synthesis.patch
    window = method.segmentor.decoder.window
    if window > side:
        raise ValueError(
            f"a classifier of window {window} looks beyond synthesised patches of "
            f"{side}: set config.method.synthesis.patch to {window} or more"
        )
    reads_network = synthesis.patch_prior == "pixelcnn" and side > 1
    if network is not None and not reads_network:
        raise ValueError(
            "config.method.patch_network would be trained and not read: set config."
            "method.synthesis.patch_prior='pixelcnn' and its patch to the network's "
            "side, or leave it out"
        )
    if (
        synthesis.patch_prior == "empirical"
        and side > 1
        and synthesis.unseen_rate == -1
    ):
        raise ValueError(
            "the prior 'empirical' makes the largest part of a layout an unseen class, "
            "and synthesis.unseen_rate=-1 draws none: give more than -1"
        )
    if reads_network and (network is None or network.side != side):
        raise ValueError(
            f"the prior 'pixelcnn' of patches of {side} needs config.method."
            f"patch_network of side={side}"
        )
