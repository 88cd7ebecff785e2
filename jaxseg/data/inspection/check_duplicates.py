"""The check that no picture is scored that was trained on."""

import itertools
import pathlib
from collections.abc import Iterator

from jaxseg.data.inspection import duplicates
from jaxseg.data.inspection.evidence import Evidence, SplitFiles
from jaxseg.data.inspection.facts import ImageFacts
from jaxseg.data.inspection.finding import MAX_FILES, Finding


def check(evidence: Evidence) -> Iterator[Finding]:
    """Finds pictures that two splits share, and that are nearly the same.

    A split that holds all files of another, as "trainval" does of "train", is a union
    by design and passed over; so is one of training pictures without masks, of which
    another training split has the masks, as ImageNet-S has in "train_semi".
    """
    unlabelled = {*getattr(evidence.dataset, "unlabelled", ())}
    for first, second in itertools.combinations(evidence.splits, 2):
        both = {first.name, second.name}
        if both & unlabelled and all(name.startswith("train") for name in both):
            continue
        ours, theirs = _images(evidence, first), _images(evidence, second)
        names = {i.file for i in ours}, {i.file for i in theirs}
        if not (names[0] <= names[1] or names[1] <= names[0]):
            yield from _compare(first.name, ours, second.name, theirs)


def _compare(
    first: str, ours: list[ImageFacts], second: str, theirs: list[ImageFacts]
) -> Iterator[Finding]:
    same = list(duplicates.same([i.digest for i in ours], [i.digest for i in theirs]))
    near = duplicates.near(
        [i.fingerprint for i in ours], [i.fingerprint for i in theirs]
    )
    found = [(i, j) for i, j in near if ours[i].digest != theirs[j].digest]
    fix = (
        f"take them out of {first!r} or {second!r}: scores on pictures that were "
        "trained on are too good"
    )
    if same:
        yield Finding(
            "duplicates",
            "warning",
            len(same),
            f"pictures that are in {first!r} and in {second!r}: {len(same)}, such as "
            f"{_first(ours, theirs, same)}",
            fix,
            _files(ours, theirs, same),
        )
    if found:
        yield Finding(
            "near_duplicates",
            "warning",
            len(found),
            f"pictures of {first!r} that look like one of {second!r}, as if saved anew "
            f"or resized: {len(found)}, such as {_first(ours, theirs, found)}",
            f"look at them in the report; if they are the same, {fix}",
            _files(ours, theirs, found),
        )


def _images(evidence: Evidence, split: SplitFiles) -> list[ImageFacts]:
    files = [*(pair.image for pair in split.pairs), *split.images]
    facts = (evidence.images[file] for file in files)
    return [image for image in facts if not image.problem]


def _first(ours, theirs, twins) -> str:
    i, j = twins[0]
    return f"{ours[i].file} and {theirs[j].file}"


def _files(ours, theirs, twins) -> tuple[pathlib.Path, ...]:
    both = ((ours[i].file, theirs[j].file) for i, j in twins)
    return tuple(itertools.chain(*both))[:MAX_FILES]
