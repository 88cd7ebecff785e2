"""Checks of what the masks hold, against the classes."""

import json
import pathlib
from collections.abc import Callable, Iterator, Sequence

from jaxseg.data import class_table
from jaxseg.data.folder import Folder
from jaxseg.data.inspection.evidence import Evidence
from jaxseg.data.inspection.facts import MaskFacts
from jaxseg.data.inspection.finding import MAX_FILES, Finding, about
from jaxseg.data.labels import IGNORE, UNKNOWN, LabelSet
from jaxseg.data.mask_colours import unpack
from jaxseg.data.pictures import id_ranges


def check(evidence: Evidence) -> Iterator[Finding]:
    """Finds masks that do not mean what the class list says."""
    if evidence.colours is None:
        coloured = [m for m in evidence.masks.values() if m.in_colour]
        yield from _coloured(evidence, coloured)
    elif evidence.labels is not None:
        yield from _unknown_colours(evidence)
    if _black_and_white(evidence):
        yield from _masks_of_two_values(evidence)
        return
    if evidence.labels is None:
        yield from _no_classes(evidence)
        return
    shifted = list(_off_by_one(evidence, evidence.labels))
    yield from shifted
    if not shifted:
        yield from _unknown_ids(evidence, evidence.labels)
        yield from _empty_classes(evidence, evidence.labels)
    yield from _unlabelled(evidence)


def _coloured(evidence: Evidence, masks: Sequence[MaskFacts]) -> Iterator[Finding]:
    fix = 'config.data.masks="rgb"'
    if not _has_colours(evidence):
        commonest = evidence.mask_colours.most_common(40)
        classes = [
            {"id": i, "name": f"class_{i}", "rgb": unpack(value)}
            for i, (value, _) in enumerate(commonest)
        ]
        table = json.dumps({"ignore_id": IGNORE, "classes": classes})
        fix += (
            f" with a classes.json such as {table} (the id of what is unlabelled is "
            f"{IGNORE})"
        )
    if masks and max(mask.num_values for mask in masks) > 256:
        fix = (
            "these masks have far more colours than classes: they were smoothed, "
            "resized or JPEGs once. Write them anew; then " + fix
        )
    yield from about(
        "coloured_masks",
        "error",
        [mask.file for mask in masks],
        "masks are colour pictures, not ids",
        fix,
    )


def _unknown_colours(evidence: Evidence) -> Iterator[Finding]:
    known = set(evidence.colours.colours if evidence.colours else ())
    counts = {
        unpack(value): n
        for value, n in evidence.mask_colours.most_common()
        if unpack(value) not in known
    }
    files = _files(evidence, lambda mask: UNKNOWN in evidence.train_ids(mask))
    if counts:
        shown = ", ".join(f"{c} ({n} pixels)" for c, n in list(counts.items())[:5])
        yield Finding(
            "unknown_colours",
            _level_of_unknown(evidence),
            len(counts),
            f"colours that no class has, in {len(files)} of {len(evidence.masks)} "
            f"masks: {shown}" + (" ..." if len(counts) > 5 else ""),
            "add them to classes.json, those that are unlabelled with ignore_id as "
            'their id, or config.data.unknown="ignore"',
            tuple(files[:MAX_FILES]),
        )


def _black_and_white(evidence: Evidence) -> bool:
    """Whether masks hold 0 and 255 where 255 would be left unlabelled."""
    is_class = evidence.labels is not None and IGNORE in evidence.labels.class_raw_ids
    return set(evidence.ids) == {0, IGNORE} and not is_class


def _masks_of_two_values(evidence: Evidence) -> Iterator[Finding]:
    yield from about(
        "black_and_white_masks",
        "error",
        [mask.file for mask in evidence.masks.values() if mask.counts],
        "masks, all of them, hold 0 and 255 only, and 255 means unlabelled: one class "
        "would be left",
        "config.data.class_ids=(0, 255)",
    )


def _no_classes(evidence: Evidence) -> Iterator[Finding]:
    told = {split.problem for split in evidence.splits}
    only_colours = not evidence.ids and evidence.mask_colours
    if only_colours or evidence.problem in told:
        return  # the finding about those says it
    ids = [i for i in evidence.ids if i != IGNORE]
    table = (evidence.dataset.path / "classes.json").is_file()
    kind = "class_table" if table or not ids else "ids_are_no_classes"
    if evidence.single_class:
        kind = "single_class"
    yield Finding(
        kind,
        "error",
        1,
        f"the classes cannot be told: {evidence.problem}",
        "as it says",
        tuple(_files(evidence, lambda mask: bool(mask.counts))[:MAX_FILES]),
    )


def _off_by_one(evidence: Evidence, labels: LabelSet) -> Iterator[Finding]:
    """Masks that count the classes from 1 where the list does from 0, or so."""
    classes = sorted(labels.class_raw_ids)
    found = set(evidence.ids) - set(labels.ignored_raw_ids)
    unknown = found - set(classes)
    first, last = classes[0], classes[-1]
    if classes != list(range(first, last + 1)) or len(classes) < 2:
        return
    files = _files(evidence, lambda mask: bool(unknown & set(mask.counts)))
    if first == 0 and unknown == {last + 1}:
        shift = "add 1 to every id in classes.json"
        if _chosen(evidence):
            shift = f"config.data.class_ids={tuple(range(1, last + 2))}"
        if 0 in found:
            shift += ", and config.data.ignore_id=0"
        zero = "0 beside them, which is then unlabelled" if 0 in found else "never 0"
        yield Finding(
            "off_by_one",
            "error",
            len(files),
            f"the class list has ids 0..{last}, the masks 1..{last + 1} and {zero}: "
            "every class would be taken for the next one",
            shift,
            tuple(files[:MAX_FILES]),
        )
    elif first == 1 and unknown == {0} and last not in found:
        shift = "take 1 from every id in classes.json"
        if _chosen(evidence):
            shift = f"config.data.class_ids={tuple(range(last))}"
        yield Finding(
            "off_by_one",
            "error",
            len(files),
            f"the class list has ids 1..{last}, the masks 0..{last - 1}: every class "
            "would be taken for the one before",
            shift,
            tuple(files[:MAX_FILES]),
        )


def _unknown_ids(evidence: Evidence, labels: LabelSet) -> Iterator[Finding]:
    known = {*labels.class_raw_ids, *labels.ignored_raw_ids}
    unknown = {i: n for i, n in sorted(evidence.ids.items()) if i not in known}
    if not unknown:
        return
    files = _files(
        evidence, lambda mask: not mask.in_colour and bool(unknown.keys() & mask.counts)
    )
    shown = ", ".join(f"{i} ({n} pixels)" for i, n in list(unknown.items())[:5])
    fix = f"config.data.ignore_id={tuple(unknown)}, or add them to classes.json"
    if len(unknown) > 5:
        fix = 'config.data.unknown="ignore", or add them to classes.json'
    if len(unknown) > 60:
        fix = "write the masks anew: so many ids come from smoothing or resizing"
    yield Finding(
        "unknown_ids",
        _level_of_unknown(evidence),
        len(unknown),
        f"ids that are no class, in {len(files)} of {len(evidence.masks)} masks: "
        f"{shown}{' ...' if len(unknown) > 5 else ''}. Classes have "
        f"{id_ranges(labels.class_raw_ids)}, unlabelled is "
        f"{id_ranges(labels.ignored_raw_ids) or 'none'}",
        fix,
        tuple(files[:MAX_FILES]),
    )


def _empty_classes(evidence: Evidence, labels: LabelSet) -> Iterator[Finding]:
    """Classes without a pixel where they are learnt, or where they are scored."""
    if evidence.colours is None and any(m.in_colour for m in evidence.masks.values()):
        return  # they may be in the masks that cannot be understood
    present = {
        split.name: {
            train_id
            for pair in split.pairs
            for train_id in evidence.train_ids(evidence.masks[pair.label])
        }
        for split in evidence.splits
        if split.pairs
    }
    everything = range(labels.num_classes)
    trained = present.get("train", set(everything))
    empty = [i for i in everything if i not in trained]
    if empty:
        ids = tuple(labels.class_raw_ids[i] for i in empty)
        fix = "add pictures of them"
        if labels.num_classes - len(empty) > 1:
            fix += f", or leave them out: config.data.ignore_id={ids}"
        yield Finding(
            "empty_classes",
            "warning",
            len(empty),
            f"classes without a pixel in the masks of 'train', {len(empty)} of "
            f"{labels.num_classes}: {_names(labels, empty)}",
            fix,
        )
    unscored = (
        [i for i in trained if 0 <= i < labels.num_classes and i not in present["val"]]
        if "val" in present and "train" in present
        else []
    )
    if unscored:
        yield Finding(
            "unscored_classes",
            "note",
            len(unscored),
            f"classes without a pixel in the masks of 'val', {len(unscored)} of "
            f"{labels.num_classes}, whose IoU is not defined: "
            f"{_names(labels, unscored)}",
            "add pictures of them to val",
        )


def _unlabelled(evidence: Evidence) -> Iterator[Finding]:
    ignore = evidence.labels.ignore if evidence.labels is not None else IGNORE
    yield from about(
        "unlabelled_masks",
        "warning",
        _files(evidence, lambda mask: set(evidence.train_ids(mask)) == {ignore}),
        "masks have no labelled pixel: nothing is learnt from their pictures",
        "take them out, or see whether ignore_id is a class",
    )


def _files(
    evidence: Evidence, matches: Callable[[MaskFacts], bool]
) -> list[pathlib.Path]:
    return [mask.file for mask in evidence.masks.values() if matches(mask)]


def _chosen(evidence: Evidence) -> bool:
    return isinstance(evidence.dataset, Folder) and bool(evidence.dataset.class_ids)


def _level_of_unknown(evidence: Evidence) -> str:
    dataset = evidence.dataset
    ignored = isinstance(dataset, Folder) and dataset.unknown == "ignore"
    return "note" if ignored else "error"


def _has_colours(evidence: Evidence) -> bool:
    try:
        class_table.read_colours(evidence.dataset.path / "classes.json")
    except (FileNotFoundError, ValueError):
        return False
    return True


def _names(labels: LabelSet, ids: Sequence[int]) -> str:
    shown = ", ".join(f"{labels.names[i]} ({labels.class_raw_ids[i]})" for i in ids[:8])
    return shown + (" ..." if len(ids) > 8 else "")
