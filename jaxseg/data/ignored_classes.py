"""Classes that a run leaves out: their pixels are unlabelled, in all splits.

Published zero-shot protocols leave out the background this way (SPNet, CaGNet).
"""

from collections.abc import Sequence

import numpy as np

from jaxseg.data import labels as labels_lib
from jaxseg.data.source import Dataset, Derived, Example, Source


class IgnoringDataset:
    """A data set without some of its classes; those left are counted from 0 again.

    Args:
        dataset: with all its classes.
        names: of the classes to leave out.
    """

    def __init__(self, dataset: Dataset, names: Sequence[str]):
        self._dataset = dataset
        self.labels = without(dataset.labels, names)
        self._kept = _kept(dataset.labels, names)

    def source(self, split: str) -> Source:
        """The pictures of one split."""
        return IgnoringSource(self._dataset.source(split), self._kept)


class IgnoringSource(Derived):
    """Turns the pixels of classes that are left out to unlabelled.

    Args:
        source: with all classes.
        kept: the train ids that stay, in the order of their new ids.
    """

    def __init__(self, source: Source, kept: Sequence[int]):
        super().__init__(source)
        self._kept = list(kept)
        kind = np.dtype(np.uint8 if len(self._kept) < labels_lib.IGNORE else np.uint16)
        # Ids past the end are as the last one, unlabelled.
        size = max(labels_lib.IGNORE + 1, max(self._kept) + 2)
        self._table = np.full(size, labels_lib.ignored_id(kind), kind)
        self._table[self._kept] = np.arange(len(self._kept))

    def change(self, example: Example) -> Example:
        label = np.take(self._table, example["label"], mode="clip")
        changed = {**example, "label": label}
        if "image_labels" in example:
            changed["image_labels"] = example["image_labels"][self._kept]
        return changed


def without(labels: labels_lib.LabelSet, names: Sequence[str]) -> labels_lib.LabelSet:
    """The label set without some classes, whose raw ids become ignored ones.

    Raises:
        ValueError: if there is no class of a name.
    """
    _kept(labels, names)
    return labels.without(names)


def _kept(labels: labels_lib.LabelSet, names: Sequence[str]) -> list[int]:
    unknown = [name for name in names if name not in labels.names]
    if unknown:
        raise ValueError(
            f"data.ignored_classes has {unknown[0]!r}; the classes are "
            f"{', '.join(labels.names)}"
        )
    return [i for i, name in enumerate(labels.names) if name not in names]
