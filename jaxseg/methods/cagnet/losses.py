"""The three players' losses (Gu et al. 2020, Section 3; weights as released).

critic     L_D = v L_GAN + a_r L_real + a_f L_generated      -> D and the classifier
encoder    L_B = k KL + b L_real                              -> segmentor's rest
generator  L_G = g L_GAN + c L_content + a_g L_generated      -> G
"""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from jaxseg.losses import adversarial
from jaxseg.losses.cross_entropy import cross_entropy
from jaxseg.losses.masked import masked_mean
from jaxseg.losses.mmd import CAGNET_BANDWIDTHS, mmd_per_class, mmd_runs
from jaxseg.methods.cagnet.network import Verdict

Metrics = dict[str, jax.Array]
CONTENTS = ("mmd_per_class", "mmd_runs", "mse", "l1")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Weights:
    """How much each term counts; defaults are those of training on seen classes.

    Attributes:
        critic_real: a_r, classes of real features, for the critic.
        critic_generated: a_f, classes of generated features, for the critic.
        critic_adversarial: v; 0 trains no discriminator.
        critic_penalty: within v, of the gradient penalty; for "wgan_gp" only.
        encoder_divergence: k, of the latent codes from N(0, 1).
        encoder_real: b, classes of real features, for the encoder.
        generator_adversarial: g.
        generator_content: c.
        generator_generated: a_g, classes of generated features, for the generator.
    """

    critic_real: float = 1.0
    critic_generated: float = 0.0
    critic_adversarial: float = 1.0
    critic_penalty: float = 10.0
    encoder_divergence: float = 100.0
    encoder_real: float = 0.5
    generator_adversarial: float = 1.0
    generator_content: float = 50.0
    generator_generated: float = 0.0

    def __post_init__(self):
        values = dataclasses.asdict(self)
        if min(values.values()) < 0:
            raise ValueError(f"weights are 0 or more, got {values}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Content:
    """How generated features are compared with the real ones of their pixels.

    Attributes:
        kind: "mmd_per_class" compares the classes' sets over the batch; "mmd_runs" runs
            of equal labels in raster order, as the release does; "mse" as in the paper;
            "l1".
        slots: the most pixels of a class for "mmd_per_class".
        bandwidths: of the kernels.
    """

    kind: str = "mmd_per_class"
    slots: int = 256
    bandwidths: tuple[float, ...] = CAGNET_BANDWIDTHS

    def __post_init__(self):
        if self.kind not in CONTENTS:
            raise ValueError(f"content.kind is one of {CONTENTS}, got {self.kind!r}")
        if self.slots < 1:
            raise ValueError(f"content.slots is {self.slots}: give at least 1")

    def __call__(
        self,
        key: jax.Array,
        generated: jax.Array,
        real: jax.Array,
        labels: jax.Array,
        *,
        num_classes: int,
    ) -> jax.Array:
        """The distance, [] float32.

        Args:
            key: of the pixels that are drawn.
            generated: [B, h, w, D]; gradients flow into these only.
            real: [B, h, w, D].
            labels: [B, h, w]; ids outside [0, C) do not count.
            num_classes: C.
        """
        real = jax.lax.stop_gradient(real)
        if self.kind in ("l1", "mse"):
            difference = generated - real
            # jnp.abs has the derivative 1 at 0, where equals must stay as they are.
            factor = jnp.sign(difference) if self.kind == "l1" else difference
            counts = (labels >= 0) & (labels < num_classes)
            return masked_mean(factor * difference, counts)
        dim = generated.shape[-1]
        sets = generated.reshape(-1, dim), real.reshape(-1, dim), labels.reshape(-1)
        if self.kind == "mmd_per_class":
            return mmd_per_class(
                key,
                *sets,
                num_classes=num_classes,
                slots=self.slots,
                bandwidths=self.bandwidths,
            )
        loss, _ = mmd_runs(*sets, num_classes=num_classes, bandwidths=self.bandwidths)
        return loss


def real_classification(
    logits: Sequence[jax.Array], labels: Sequence[jax.Array]
) -> jax.Array:
    """The mean of the cross entropies of maps of several sizes, [] float32.

    Args:
        logits: [B, h, w, C] of each map.
        labels: [B, h, w] of each map; ids outside [0, C) do not count.
    """
    entropies = [cross_entropy(*pair) for pair in zip(logits, labels, strict=True)]
    return sum(entropies, start=jnp.zeros(())) / len(entropies)


def critic_loss(
    real: Verdict,
    generated: Verdict,
    classification: jax.Array,
    labels: jax.Array,
    *,
    weights: Weights,
    gan: str,
    penalty: jax.Array | float = 0.0,
) -> tuple[jax.Array, Metrics]:
    """L_D, [], and its terms before weighting.

    Args:
        real: of the features at full size.
        generated: of the features made for the same labels.
        classification: [] of `real_classification`.
        labels: [B, h, w]; ids outside [0, C) do not count.
        weights: of the terms.
        gan: a kind of `adversarial.discriminator_loss`.
        penalty: [] of `adversarial.gradient_penalty`, for the kind that has one.
    """
    mask = _labelled(labels, generated.logits)
    told_real, told_generated = adversarial.discriminator_loss(
        real.real, generated.real, mask, kind=gan
    )
    entropy = cross_entropy(generated.logits, labels)
    loss = (
        weights.critic_adversarial
        * (told_real + told_generated + weights.critic_penalty * penalty)
        + weights.critic_real * classification
        + weights.critic_generated * entropy
    )
    metrics = {
        "critic_loss": loss,
        "discriminator_real": told_real,
        "discriminator_generated": told_generated,
        "cross_entropy": classification,
        "generated_cross_entropy": entropy,
    }
    if gan == "wgan_gp":
        metrics["gradient_penalty"] = jnp.asarray(penalty, jnp.float32)
    return loss, metrics


def encoder_loss(
    divergence: jax.Array, classification: jax.Array, *, weights: Weights
) -> jax.Array:
    """L_B, []: of the codes' divergence and of `real_classification`."""
    return (
        weights.encoder_divergence * divergence + weights.encoder_real * classification
    )


def generator_loss(
    generated: Verdict,
    content: jax.Array,
    labels: jax.Array,
    *,
    weights: Weights,
    gan: str,
) -> tuple[jax.Array, Metrics]:
    """L_G, [], and its terms before weighting; arguments as for `critic_loss`.

    Args:
        generated: of the generated features.
        content: [] of `Content`.
        labels: [B, h, w].
        weights: of the terms.
        gan: a kind of `adversarial.generator_loss`.
    """
    mask = _labelled(labels, generated.logits)
    passed = adversarial.generator_loss(generated.real, mask, kind=gan)
    loss = (
        weights.generator_adversarial * passed
        + weights.generator_content * content
        + weights.generator_generated * cross_entropy(generated.logits, labels)
    )
    metrics = {"generator_loss": loss, "content": content, "passed_for_real": passed}
    return loss, metrics


def _labelled(labels: jax.Array, logits: jax.Array) -> jax.Array:
    return (labels >= 0) & (labels < logits.shape[-1])
