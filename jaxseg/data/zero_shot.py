"""Training that sees no pixel of an unseen class. Read `hide_unseen` first.

Every training source of a run passes through it, and the pipeline looks at each example
once more after augmentation (`Guard`). Evaluation keeps all labels.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from absl import logging

from jaxseg.data import image_labels
from jaxseg.data.labels import LabelSet, ignored_id
from jaxseg.data.source import Derived, Example, Source

TRAIN_IMAGES = ("ignore_unseen", "purge_unseen", "keep_unseen")
SETTINGS = ("inductive", "transductive", "labelled")  # what each knows, the next does
DEFAULT = TRAIN_IMAGES[0]


class UnseenLabelError(ValueError):
    """A training example holds a class that the run may not see."""


def hide_unseen(
    source: Source,
    labels: LabelSet,
    *,
    train_images: str = DEFAULT,
    on_error: str = "raise",
    num_threads: int = 2,
) -> Source:
    """Hides the unseen classes from training.

    Args:
        source: the pictures with all their labels.
        labels: say which classes are unseen; without any the source stays as it is.
        train_images: "ignore_unseen" keeps all pictures and makes pixels of unseen
            classes unlabelled (SPNet, CaGNet); "purge_unseen" leaves out pictures that
            hold any, found by reading all masks once (ZS3Net); "keep_unseen" hides
            nothing, which only episodes, and methods that read unseen labels, can be
            trained with: `Guard` stops others.
        on_error: "raise" or "skip", for masks that cannot be read meanwhile.
        num_threads: that read them.

    Raises:
        ValueError: if no picture is left, or there is nothing to purge.
    """
    if train_images not in TRAIN_IMAGES:
        raise ValueError(
            f"data.train_images is {' or '.join(TRAIN_IMAGES)}, got {train_images!r}"
        )
    if train_images == "keep_unseen":
        return source
    if train_images == "ignore_unseen":
        return HideUnseen(source, labels.unseen) if labels.unseen else source
    if not labels.unseen:
        raise ValueError(
            "data.train_images='purge_unseen' needs unseen classes, but the labels "
            "have none: choose a zero-shot split of the data set"
        )
    present = image_labels.of_all(
        source, labels.num_classes, on_error=on_error, num_threads=num_threads
    )
    kept = np.flatnonzero(~present[:, labels.unseen].any(axis=1))
    logging.info(
        "zero-shot: %d of %d training pictures hold an unseen class and are left out",
        len(source) - len(kept),
        len(source),
    )
    if not len(kept):
        raise ValueError(
            f"all {len(source)} training pictures hold an unseen class: use "
            "data.train_images='ignore_unseen'"
        )
    return HideUnseen(Subset(source, kept), labels.unseen)


def protocol(
    config: Mapping[str, Any],
    labels: LabelSet,
    *,
    self_training: bool,
    zero_label: bool,
    reads_unseen_labels: bool = False,
) -> dict[str, Any]:
    """What a run was told of unseen classes, and what it is asked, for its records.

    Args:
        config: a whole config; `data.train_images` is read.
        labels: of the data set.
        self_training: whether the method gives pseudo labels of unseen classes to
            unlabelled pixels of training pictures.
        zero_label: whether it predicts unseen classes only.
        reads_unseen_labels: whether training is shown labels of unseen classes.

    Returns:
        {} where no class is unseen; else, all of it plain values for JSON:
        setting: "inductive" if no pixel of an unseen class is learnt from;
            "transductive" if such pixels, unlabelled, are, by self-training. Test
            pictures take part in neither. "labelled" if training is shown their
            labels, as by ZS3Net's authors, or as the background of episodes
            ("keep_unseen"), as by SAZS's: not zero-shot in the strict sense.
        evaluation: "generalised" if the prediction is over seen and unseen classes;
            "zero-label" if over unseen ones only (Xian et al., CVPR 2019).
        train_images: see `hide_unseen`.
        background: "seen" if it is a class like others, "unseen" or "ignored".
        seen, unseen: the names of the classes, in the order of the labels' ids.

    Raises:
        ValueError: if self-training has no pixels of unseen classes to learn from.
    """
    if not labels.unseen:
        return {}
    train_images = config["data"].get("train_images", DEFAULT)
    if self_training and train_images == "purge_unseen":
        raise ValueError(
            "self-training labels pixels of unseen classes, and "
            "config.data.train_images='purge_unseen' leaves out all pictures that have "
            f"any: set {DEFAULT!r}"
        )
    seen = [labels.names[i] for i in labels.seen]
    unseen = [labels.names[i] for i in labels.unseen]
    sides = (("seen", seen), ("unseen", unseen))
    background = (side for side, names in sides if image_labels.BACKGROUND in names)
    # Where nothing is hidden they are learnt from, if only as "others" of episodes.
    is_told = reads_unseen_labels or train_images == "keep_unseen"
    told = 2 if is_told else int(self_training)
    return {
        "setting": SETTINGS[told],
        "evaluation": "zero-label" if zero_label else "generalised",
        "train_images": train_images,
        "background": next(background, "ignored"),
        "seen": seen,
        "unseen": unseen,
    }


def after(protocol: Mapping[str, Any], earlier: Mapping[str, Any]) -> dict[str, Any]:
    """The protocol of a run that goes on from the weights of another.

    What once was transductive, or labelled, stays so.

    Args:
        protocol: of the run by itself, not {}.
        earlier: the other's protocol, {} if it has none.
    """
    settings = (protocol["setting"], earlier.get("setting", SETTINGS[0]))
    return {**protocol, "setting": max(settings, key=SETTINGS.index)}


def labelled_before(
    protocol: Mapping[str, Any],
    names: Collection[str],
    earlier: Mapping[str, Any],
) -> list[str]:
    """The unseen classes of which an earlier run had labels, and so leaks them.

    Args:
        protocol: of a run, not {}.
        names: the classes of the earlier one, whose weights it goes on from.
        earlier: that one's protocol, {} if it has none.
    """
    labelled = set(names) - set(earlier.get("unseen", ()))
    return [name for name in protocol["unseen"] if name in labelled]


def in_words(protocol: Mapping[str, Any]) -> str:
    """A protocol as a line of the log."""
    seen, unseen = protocol["seen"], protocol["unseen"]
    return (
        f"zero-shot protocol: {protocol['setting']}, {protocol['evaluation']}, "
        f"training pictures {protocol['train_images']}, background "
        f"{protocol['background']}; "
        f"{len(seen)} classes are seen, {len(unseen)} unseen: {', '.join(unseen)}"
    )


class Subset:
    """Some pictures of a source, in a given order.

    Args:
        source: all pictures.
        indices: which ones.
    """

    def __init__(self, source: Source, indices: Sequence[int] | np.ndarray):
        self._source = source
        self._indices = [int(i) for i in indices]

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: int) -> Example:
        return self._source[self._indices[index]]

    def name(self, index: int) -> str:
        return self._source.name(self._indices[index])


class HideUnseen(Derived):
    """Turns pixels of unseen classes to unlabelled, and their image labels to false.

    Args:
        source: with all labels.
        unseen: train ids.
    """

    def __init__(self, source: Source, unseen: Sequence[int]):
        super().__init__(source)
        self._unseen = list(unseen)

    def change(self, example: Example) -> Example:
        label = example["label"]
        ignore = ignored_id(label.dtype)
        table = np.arange(ignore + 1, dtype=label.dtype)
        table[self._unseen] = ignore
        changed = {**example, "label": table[label]}
        if "image_labels" in example:
            changed["image_labels"] = example["image_labels"].copy()
            changed["image_labels"][self._unseen] = False
        return changed


class Guard:
    """Looks at examples on their way into a training batch, after all else is done.

    Args:
        unseen: train ids that none may hold.
    """

    def __init__(self, unseen: Sequence[int]):
        self._unseen = list(unseen)
        # The last entry is for all ids above, and stays false.
        self._table = np.zeros(max(self._unseen, default=0) + 2, bool)
        self._table[self._unseen] = True

    def check(self, example: Example, name: str) -> None:
        """Raises UnseenLabelError if a label, or an image label, is of such a class.

        An example of an episode has a binary label; its `class_id` is looked at.
        """
        if not self._unseen:
            return
        found = self._ids(example)
        if len(found):
            raise UnseenLabelError(
                f"{name} would be trained on with labels of the unseen classes "
                f"{found.tolist()} (train ids). They are hidden from the data set's "
                "pictures (data.train_images), so something after that brought them "
                "back: look at the transform, or at the episode's class"
            )

    def _ids(self, example: Example) -> np.ndarray:
        if "class_id" in example:
            found = np.unique(example["class_id"])
        elif "label" in example:
            label = example["label"]
            unseen = np.take(self._table, label, mode="clip")
            found = np.unique(label[unseen]) if unseen.any() else np.array([], int)
        else:
            found = np.array([], int)
        if "image_labels" in example:
            found = np.union1d(found, np.flatnonzero(example["image_labels"]))
        return found[np.isin(found, self._unseen)]
