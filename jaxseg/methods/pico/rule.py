"""Which examples of the memory PiCo compares with: the options, `ExampleRule`."""

import dataclasses

EXAMPLE_MODES = ("all", "random", "hardest", "semi_hard")
MIX_PAIRS = ("per_anchor", "per_class")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExampleRule:
    """Which examples of the memory an anchor is compared with.

    Attributes:
        mode: "all"; "random" ones; the "hardest"; or "semi_hard", random ones of the
            hard ones.
        semi_hard_fraction: the share of the examples, hardest first, that semi_hard
            draws from.
        semi_hard_band: or two shares, counted from the hardest on, to draw between:
            (0.1, 0.5) leaves the hardest tenth out. () for the fraction.
        num_positives: K, of an anchor; not used by "all".
        num_negatives: K', likewise.
        bank_columns: most entries of the bank, of all classes together, that a step
            looks at: the same random ones for all anchors, equally many of each
            class. 0 for the whole bank.
        num_mixed_negatives: mixes of two of the negatives, for every anchor.
        num_anchor_mixes: mixes of the anchor with one of them.
        mix_pairs: whether each anchor has pairs of its own or shares those of its
            class, whose negatives are then chosen by the mean of the class's anchors.
    """

    mode: str = "semi_hard"
    semi_hard_fraction: float = 0.1
    semi_hard_band: tuple[float, ...] = ()
    num_positives: int = 1_024
    num_negatives: int = 2_048
    bank_columns: int = 40_000
    num_mixed_negatives: int = 512
    num_anchor_mixes: int = 256
    mix_pairs: str = "per_anchor"

    def __post_init__(self):
        if self.mode not in EXAMPLE_MODES:
            raise ValueError(
                f"example_mode is {self.mode!r}; use one of {EXAMPLE_MODES}"
            )
        if self.mix_pairs not in MIX_PAIRS:
            raise ValueError(f"mix_pairs is {self.mix_pairs!r}; use one of {MIX_PAIRS}")
        if not 0 < self.semi_hard_fraction <= 1:
            raise ValueError(
                f"semi_hard_fraction is {self.semi_hard_fraction!r}; it is a share of "
                "the examples, above 0 and at most 1"
            )
        if self.semi_hard_band and not (
            len(self.semi_hard_band) == 2
            and 0 <= self.semi_hard_band[0] < self.semi_hard_band[1] <= 1
        ):
            raise ValueError(
                f"semi_hard_band is {self.semi_hard_band!r}; give () or two shares "
                "(lo, hi), 0 <= lo < hi <= 1, counted from the hardest example on"
            )
        if self.semi_hard_band and self.mode != "semi_hard":
            raise ValueError(
                f"semi_hard_band is {self.semi_hard_band!r}, which example_mode = "
                f"{self.mode!r} does not read: use 'semi_hard', or leave the band ()"
            )
        for name, lowest in (
            ("num_positives", 1),
            ("num_negatives", 1),
            ("bank_columns", 0),
            ("num_mixed_negatives", 0),
            ("num_anchor_mixes", 0),
        ):
            if not getattr(self, name) >= lowest:
                raise ValueError(
                    f"{name} is {getattr(self, name)!r}; it must be {lowest} or more"
                )

    def check_columns(self, num_classes: int) -> None:
        """Requires a column of every class.

        Raises:
            ValueError: if `bank_columns` is less than one a class.
        """
        if 0 < self.bank_columns < num_classes:
            raise ValueError(
                f"bank_columns is {self.bank_columns} for {num_classes} classes: give "
                "at least one column a class, or 0 for the whole bank"
            )

    @property
    def chooses(self) -> bool:
        """Whether it asks for anything but the whole memory as it is."""
        mixes = self.num_mixed_negatives or self.num_anchor_mixes
        return self.mode != "all" or bool(mixes)

    @property
    def band(self) -> tuple[float, float]:
        """The shares, from the hardest on, between which semi_hard draws."""
        low, high = self.semi_hard_band or (0.0, self.semi_hard_fraction)
        return low, high
