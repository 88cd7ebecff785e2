"""What an inspection says: one finding for each kind of fault."""

import dataclasses
import pathlib
from collections.abc import Sequence

# Training stops or learns what is wrong; it may, so look; it is dealt with as said.
LEVELS = ("error", "warning", "note")

MAX_FILES = 20  # that a finding names


@dataclasses.dataclass(frozen=True)
class Finding:
    """One kind of fault in a folder.

    Attributes:
        kind: its name, such as "unknown_ids".
        level: one of `LEVELS`.
        count: how many files or ids it is about.
        text: what was found, a sentence.
        fix: what to do; where a config line does it, that line.
        files: the first of the files, for the text and the report.
    """

    kind: str
    level: str
    count: int
    text: str
    fix: str
    files: tuple[pathlib.Path, ...] = ()

    def __post_init__(self):
        if self.level not in LEVELS:
            raise ValueError(f"a finding's level is one of {LEVELS}: {self.level!r}")


def about(
    kind: str, level: str, files: Sequence[pathlib.Path], text: str, fix: str
) -> list[Finding]:
    """A finding about files, if there are any.

    Args:
        kind: as for `Finding`.
        level: as for `Finding`.
        files: all of them.
        text: what is the matter with them; their number is set before it.
        fix: as for `Finding`.

    Returns:
        one finding, or none without files.
    """
    if not files:
        return []
    text = f"{len(files)} file{'s' * (len(files) > 1)}: {text}"
    return [Finding(kind, level, len(files), text, fix, tuple(files[:MAX_FILES]))]
