"""Checks of which files there are: splits, counterparts, names, readability."""

from collections.abc import Collection, Iterator

from jaxseg.data.inspection.evidence import Evidence, SplitFiles
from jaxseg.data.inspection.facts import Facts
from jaxseg.data.inspection.finding import Finding, about

LISTS = (
    "give each picture a mask of the same name, or name the pairs in <split>.txt, or "
    "the complete ones in <split>/list.txt"
)


def check(evidence: Evidence) -> Iterator[Finding]:
    """Finds what is missing, empty, ambiguous or unreadable."""
    yield from _splits(evidence)
    unlabelled = getattr(evidence.dataset, "unlabelled", ())
    for split in evidence.splits:
        yield from _counterparts(split, unlabelled)
    yield from _unreadable(evidence)


def _splits(evidence: Evidence) -> Iterator[Finding]:
    names = [split.name for split in evidence.splits]
    if "train" not in names:
        yield Finding(
            "no_training_split",
            "error",
            1,
            f"there is no split 'train'; there are: {', '.join(names) or 'none'}",
            f'config.data.split="{names[0]}"'
            if names
            else f"lay the folder out so:\n{evidence.dataset.layout}",
        )
    if names and "val" not in names:
        # Others, such as "all" or "trainval", may hold the pictures to train on.
        scored = [split.name for split in evidence.splits if split.pairs]
        other = next((n for n in ("validation", "test") if n in scored), None)
        yield Finding(
            "no_validation_split",
            "note" if other == "validation" else "warning",
            1,
            f"there is no split 'val'; there are: {', '.join(names)}",
            f'config.evals.val.split="{other}"'
            if other
            else "move a tenth of the pictures, or more, to val/images and val/masks",
        )


def _counterparts(split: SplitFiles, unlabelled: Collection[str]) -> Iterator[Finding]:
    name = split.name
    if split.problem:
        yield Finding(
            "ambiguous_files",
            "error",
            1,
            f"split {name!r}: {split.problem}",
            "as it says; until then this split is not looked at further",
        )
        if not split.pairs:
            return
    if not split.pairs and not split.images and not split.masks:
        text = f"split {name!r} has no pictures"
        fix = f"fill or remove {name}/images"
        yield Finding("empty_split", "error", 1, text, fix)
    elif _without_masks(split, unlabelled):
        yield from about(
            "no_masks",
            "note",
            split.images,
            f"pictures of split {name!r}, all of them, have no mask: they can "
            "neither be learnt from nor scored",
            "predict them: python -m jaxseg.predict",
        )
    else:
        yield from about(
            "unpaired_pictures",
            "error",
            split.images,
            f"pictures of split {name!r} have no mask",
            LISTS,
        )
        yield from about(
            "unpaired_masks",
            "error",
            split.masks,
            f"masks of split {name!r} have no picture",
            LISTS,
        )


def _without_masks(split: SplitFiles, unlabelled: Collection[str]) -> bool:
    """Whether a split has no masks and needs none."""
    needed = split.name in ("train", "val") and split.name not in unlabelled
    return not split.pairs and not split.masks and not needed


def _unreadable(evidence: Evidence) -> Iterator[Finding]:
    facts: list[Facts] = [*evidence.images.values(), *evidence.masks.values()]
    problems = {fact.file: fact.problem for fact in facts if fact.problem}
    jpegs = [file for file, why in problems.items() if "does not keep ids" in why]
    others = [file for file in problems if file not in jpegs]
    yield from about(
        "jpeg_masks",
        "error",
        jpegs,
        "masks are JPEGs, which change the ids near every border",
        "write the masks anew as PNG from what they were made of",
    )
    yield from about(
        "unreadable",
        "error",
        others,
        f"cannot be read; the first: {problems[others[0]] if others else ''}",
        'replace them, or pass over them: config.data.on_error="skip"',
    )
