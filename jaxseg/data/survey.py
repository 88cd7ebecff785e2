"""What a split holds: pictures, class frequencies, and the files that will not do."""

import dataclasses
from typing import Any

import numpy as np

from jaxseg.data.labels import LabelSet


@dataclasses.dataclass
class Survey:
    """Counts over pictures; `+` joins those of two parts of a split.

    Attributes:
        num_pictures: how many were looked at.
        pixels: [C + 1] int64, pixels of each class, those unlabelled last.
        pictures: [C + 1] int64, pictures in which there are any.
        problems: a sentence for each picture that cannot be used.
    """

    num_pictures: int
    pixels: np.ndarray
    pictures: np.ndarray
    problems: list[str]

    @classmethod
    def empty(cls, num_classes: int) -> "Survey":
        """Of no picture."""
        nothing = np.zeros(num_classes + 1, np.int64)
        return cls(0, nothing, nothing.copy(), [])

    def add(self, label: np.ndarray) -> None:
        """Counts a mask [H, W] of train ids, of which any outside are unlabelled."""
        num_classes = len(self.pixels) - 1
        counts = np.bincount(label.ravel(), minlength=num_classes)
        counts = np.append(counts[:num_classes], counts[num_classes:].sum())
        self.num_pictures += 1
        self.pixels += counts
        self.pictures += counts > 0

    def add_problem(self, problem: str) -> None:
        """Notes a picture that cannot be used."""
        self.num_pictures += 1
        self.problems.append(problem)

    def __add__(self, other: "Survey") -> "Survey":
        return Survey(
            self.num_pictures + other.num_pictures,
            self.pixels + other.pixels,
            self.pictures + other.pictures,
            [*self.problems, *other.problems],
        )

    def as_json(self) -> dict[str, Any]:
        """Plain lists and numbers, which `from_json` reads."""
        return {
            "num_pictures": self.num_pictures,
            "pixels": self.pixels.tolist(),
            "pictures": self.pictures.tolist(),
            "problems": self.problems,
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Survey":
        """The survey that `as_json` wrote."""
        return cls(
            values["num_pictures"],
            np.array(values["pixels"], np.int64),
            np.array(values["pictures"], np.int64),
            list(values["problems"]),
        )

    def report(self, labels: LabelSet) -> dict[str, Any]:
        """Frequencies by class for a JSON file; shares are of all pixels."""
        names = [*labels.names, "unlabelled"]
        shares = self.pixels / max(self.pixels.sum(), 1)
        rows = zip(names, self.pixels, shares, self.pictures, strict=True)
        return {
            "pictures": self.num_pictures,
            "classes": [
                {
                    "name": name,
                    "pixels": int(pixels),
                    "share": round(float(share), 7),
                    "pictures": int(pictures),
                }
                for name, pixels, share, pictures in rows
            ],
            "problems": self.problems,
        }
