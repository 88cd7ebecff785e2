"""From a folder to findings and frequencies: `inspect`."""

import dataclasses
import pathlib
from collections import Counter
from collections.abc import Callable
from typing import Any

from jaxseg.data.folder import PairFolder
from jaxseg.data.inspection import (
    check_duplicates,
    check_files,
    check_ids,
    check_pictures,
)
from jaxseg.data.inspection.evidence import Evidence, SplitFiles, gather
from jaxseg.data.inspection.finding import LEVELS, Finding
from jaxseg.data.labels import LabelSet


@dataclasses.dataclass(frozen=True)
class SplitSummary:
    """Numbers of a split.

    Attributes:
        name: of the split.
        num_pictures: with masks.
        smallest: height and width of the picture of fewest pixels.
        largest: and of most.
        pixels: by train id; 255 is unlabelled, -1 unknown.
        pictures: in which a train id occurs.
    """

    name: str
    num_pictures: int
    smallest: tuple[int, int]
    largest: tuple[int, int]
    pixels: dict[int, int]
    pictures: dict[int, int]


@dataclasses.dataclass(frozen=True, eq=False)
class Inspection:
    """What an inspection found.

    Attributes:
        evidence: all that was read.
        splits: numbers of each split.
        findings: what is wrong, errors first; empty if nothing is.
    """

    evidence: Evidence
    splits: tuple[SplitSummary, ...]
    findings: tuple[Finding, ...]

    @property
    def labels(self) -> LabelSet | None:
        """The classes; None if they cannot be told."""
        return self.evidence.labels

    @property
    def passed(self) -> bool:
        """Whether there is nothing to mend or to look at: no errors, no warnings."""
        return all(finding.level == "note" for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        """Everything but the evidence in plain values."""
        labels = self.labels
        return {
            "root": str(self.evidence.dataset.path),
            "passed": self.passed,
            "classes": [
                {"train_id": i, "id": raw, "name": name}
                for i, (raw, name) in enumerate(
                    zip(labels.class_raw_ids, labels.names, strict=True)
                )
            ]
            if labels
            else [],
            "splits": [dataclasses.asdict(split) for split in self.splits],
            "findings": [
                dataclasses.asdict(finding) | {"files": list(map(str, finding.files))}
                for finding in self.findings
            ],
        }


def inspect(
    dataset: PairFolder,
    *,
    crop: tuple[int, int] | None = None,
    num_threads: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Inspection:
    """Reads a folder and checks it.

    Args:
        dataset: the folder, with the options that training is to have.
        crop: height and width of training crops; None checks no sizes against it.
        num_threads: that decode; as many as there are processors by default.
        progress: called with the files done and to do.

    Raises:
        FileNotFoundError: if there is no folder.
        ValueError: if it is not clear what its splits are.
    """
    evidence = gather(dataset, num_threads=num_threads, progress=progress)
    findings = [
        *check_files.check(evidence),
        *check_ids.check(evidence),
        *check_pictures.check(evidence, crop),
        *check_duplicates.check(evidence),
    ]
    findings.sort(key=lambda finding: LEVELS.index(finding.level))
    splits = tuple(_summary(evidence, split) for split in evidence.splits)
    return Inspection(evidence, splits, tuple(findings))


def _summary(evidence: Evidence, split: SplitFiles) -> SplitSummary:
    pixels: Counter[int] = Counter()
    pictures: Counter[int] = Counter()
    for pair in split.pairs:
        counts = evidence.train_ids(evidence.masks[pair.label])
        pixels.update(counts)
        pictures.update(counts.keys())
    sizes = sorted(
        (size for size in (_size(evidence, p.image) for p in split.pairs) if size),
        key=lambda size: size[0] * size[1],
    ) or [(0, 0)]
    return SplitSummary(
        split.name, len(split.pairs), sizes[0], sizes[-1], dict(pixels), dict(pictures)
    )


def _size(evidence: Evidence, file: pathlib.Path) -> tuple[int, int] | None:
    image = evidence.images[file]
    return None if image.problem else image.size
