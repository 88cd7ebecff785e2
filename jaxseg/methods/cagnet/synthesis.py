"""Fine-tuning on features that no picture gave: which labels, how many, how often."""

import dataclasses

PATCH_PRIORS = ("empirical", "pixelcnn", "pure")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Synthesis:
    """The synthesis steps between the steps on pictures.

    Attributes:
        interval: (a, b): after every a steps on pictures, b synthesis steps in one
            scan. Of the published numbers, which count both, `total_steps` is the share
            a / (a + b).
        features_per_step: how many are drawn a step; as many as pixels of a batch's
            maps in the release, 8 x 47 x 47.
        unseen_rate: r; an unseen class is drawn 1 + r times as often as a seen one.
        critic_weight: a_t, of the class loss for the classifier.
        generator_weight: of the same for the generator; 0 leaves it as it is.
        patch: 1 draws pixels, k > 1 patches of k x k pixels that share a latent code,
            as CaGNet v2 with 3, of which the loss reads the middle.
        patch_prior: where patches of labels come from: "empirical" (layouts of the
            seen labels, the largest part relabelled unseen), "pixelcnn" (a network over
            labels, `CaGNet.patch_network`) or "pure" (one class).
        pure_share: share of the other patches that are replaced by pure ones, which
            keeps seen classes in the draw; a tenth in the release for VOC.
        num_layouts: how many layouts "empirical" remembers.
    """

    interval: tuple[int, int] = (100, 100)
    features_per_step: int = 17_672
    unseen_rate: float = 9.0
    critic_weight: float = 0.125
    generator_weight: float = 0.0
    patch: int = 1
    patch_prior: str = "empirical"
    pure_share: float = 0.1
    num_layouts: int = 4096

    def __post_init__(self):
        first, second = self.interval
        if first < 1 or second < 1:
            raise ValueError(
                f"synthesis.interval is {self.interval}: give at least one step on "
                "pictures and one synthesis step, or leave `synthesis` out"
            )
        if self.patch < 1 or self.patch % 2 == 0:
            raise ValueError(
                f"synthesis.patch is {self.patch}: give an odd number of pixels, 1 for "
                "single ones"
            )
        if self.patch_prior not in PATCH_PRIORS:
            raise ValueError(
                f"synthesis.patch_prior is one of {PATCH_PRIORS}, got "
                f"{self.patch_prior!r}"
            )
        if self.unseen_rate < -1 or not 0 <= self.pure_share <= 1:
            raise ValueError(
                f"synthesis.unseen_rate={self.unseen_rate} is at least -1 and "
                f"pure_share={self.pure_share} a probability"
            )
        if min(self.critic_weight, self.generator_weight) < 0 or self.num_layouts < 1:
            raise ValueError(
                "synthesis has weights of 0 or more and room for layouts, got "
                f"critic_weight={self.critic_weight}, generator_weight="
                f"{self.generator_weight}, num_layouts={self.num_layouts}"
            )
        if self.features_per_step < self.patch**2:
            raise ValueError(
                f"synthesis.features_per_step={self.features_per_step} is less than a "
                f"patch of {self.patch} x {self.patch}"
            )
