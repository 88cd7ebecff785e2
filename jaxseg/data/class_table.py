"""The class table of a folder, `classes.json`, and the choices that change it.

Read `read_class_table` first; `choose` is what a config says besides the table.
"""

import dataclasses
import json
import pathlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from jaxseg.data.labels import IGNORE, LabelSet, colour_map
from jaxseg.data.mask_colours import Colour
from jaxseg.data.pictures import id_ranges

EXAMPLE = (
    "{'ignore_id': 255, 'classes': [{'id': 0, 'name': 'sky', 'rgb': [128, 128, 128]}, "
    "...]}"
)
_VOID = ("void", "unlabelled", "unlabeled")


class SingleClassError(ValueError):
    """Too few classes to tell any apart."""


def read_class_table(file: pathlib.Path, *, layout: str = EXAMPLE) -> LabelSet:
    """Reads classes.json; classes keep its order, without the ignored ones.

    `ignore_id` is an id or a list of ids. Without it a class called "void" or
    "unlabelled" is ignored, and where there is none, 255, if no class has that id.
    A class without `rgb` is shown in a colour of its own.

    Args:
        file: the table.
        layout: what messages say was expected.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not such a table.
    """
    table = _read(file, layout)
    try:
        entries = [(int(c["id"]), str(c["name"]), _shown(c)) for c in table["classes"]]
        ignored = _ignored_ids(table, entries)
        kept = [entry for entry in entries if entry[0] not in ignored]
        return LabelSet(
            names=tuple(name for _, name, _ in kept),
            palette=tuple(colour for _, _, colour in kept),
            raw_ids=tuple(i for i, _, _ in kept),
            ignored_raw_ids=ignored,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _no_table(file, error, layout) from error


def read_colours(file: pathlib.Path, *, layout: str = EXAMPLE) -> dict[Colour, int]:
    """Reads which colour of classes.json is which id, ignored ids included.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no class table, or a class has no `rgb` or that of another.
    """
    table = _read(file, layout)
    try:
        ids: dict[Colour, int] = {}
        for entry in table["classes"]:
            if "rgb" not in entry:
                raise ValueError(
                    f"class {entry['name']!r} has no 'rgb', and masks are colours"
                )
            colour = _colour(entry["rgb"])
            if colour in ids:
                raise ValueError(f"two classes have the colour {list(colour)}")
            ids[colour] = int(entry["id"])
    except (KeyError, TypeError, ValueError) as error:
        raise _no_table(file, error, layout) from error
    return ids


def numbered(
    ids: Sequence[int], palette: Mapping[int, Colour] | None = None
) -> LabelSet:
    """Classes of which only the ids are known, called class_<id>; 255 is ignored.

    Args:
        ids: the ids in the masks, in train-id order.
        palette: the colours of some of them.
    """
    colours = palette or {}
    return LabelSet(
        names=tuple(f"class_{i}" for i in ids),
        palette=tuple(colours.get(i, class_colour(i)) for i in ids),
        raw_ids=tuple(ids),
        ignored_raw_ids=() if IGNORE in ids else (IGNORE,),
    )


def choose(
    labels: LabelSet,
    *,
    class_ids: Sequence[int] = (),
    ignore_id: Collection[int] = (),
    unknown: str = "raise",
) -> LabelSet:
    """Applies what a config says about the ids in the masks.

    Args:
        labels: the classes, from a table or found.
        class_ids: the ids that are classes, in train-id order, in place of the
            table's; one that the table does not know is called class_<id>.
        ignore_id: ids that are unlabelled besides those that already are.
        unknown: "raise", or "ignore" to leave all other ids unlabelled.

    Raises:
        ValueError: if an id is a class and ignored.
    """
    both = sorted(set(class_ids) & set(ignore_id))
    if both:
        raise ValueError(f"ids {both} are in class_ids and in ignore_id: choose one")
    known = labels.class_raw_ids
    ids = tuple(class_ids or (i for i in known if i not in ignore_id))
    ignored = {*labels.ignored_raw_ids, *ignore_id} - set(ids)
    if unknown == "ignore":
        ignored = set(range(65536)) - set(ids)
    if ids == known and ignored == set(labels.ignored_raw_ids):
        return labels
    if not ids:
        raise ValueError(f"no class is left beside the ignored ids {sorted(ignored)}")
    shown = _by_id(numbered(ids)) | _by_id(labels)

    def moved(train_ids: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(ids.index(known[i]) for i in train_ids if known[i] in ids)

    return dataclasses.replace(
        labels,
        names=tuple(shown[i][0] for i in ids),
        palette=tuple(shown[i][1] for i in ids),
        raw_ids=ids,
        ignored_raw_ids=tuple(sorted(ignored)),
        seen=moved(labels.seen),
        unseen=moved(labels.unseen),
        word_vectors=None,  # of other rows; they join when the classes are chosen
    )


def check_several(labels: LabelSet, *, where: str) -> LabelSet:
    """The classes as they are, if there are at least two.

    One alone is right everywhere: its network has a loss of 0 and a mean IoU of 1.

    Raises:
        SingleClassError: if there is one.
    """
    if labels.num_classes > 1:
        return labels
    name, raw_id = labels.names[0], labels.class_raw_ids[0]
    ignored = id_ranges(labels.ignored_raw_ids) or "none"
    raise SingleClassError(
        f"{where} has one class, {name!r} (id {raw_id}); unlabelled is {ignored}. "
        "A network needs at least two classes to tell apart. Is an unlabelled id the "
        "background? Leave it out of ignore_id, in the config and in "
        "classes.json, and make it a class there or in config.data.class_ids"
    )


def class_colour(index: int) -> Colour:
    """The colour of a class without one: VOC's colour map, shifted by one.

    The map's first colour is black, which here shows unlabelled pixels, so class 0 has
    its second.
    """
    return colour_map(index + 2)[-1]


def _by_id(labels: LabelSet) -> dict[int, tuple[str, Colour]]:
    shown = zip(labels.names, labels.palette, strict=True)
    return dict(zip(labels.class_raw_ids, shown, strict=True))


def _read(file: pathlib.Path, layout: str) -> Mapping[str, Any]:
    if not file.is_file():
        raise FileNotFoundError(f"no class table at {file}. Expected:\n{layout}")
    try:
        table = json.loads(file.read_text())
    except json.JSONDecodeError as error:
        raise _no_table(file, error, layout) from error
    if not isinstance(table, dict):
        raise _no_table(file, TypeError("it is a list"), layout)
    return table


def _no_table(file: pathlib.Path, error: Exception, layout: str) -> ValueError:
    return ValueError(
        f"{file} is no class table ({type(error).__name__}: {error}). "
        f"Expected:\n{layout}"
    )


def _shown(entry: Mapping[str, Any]) -> Colour:
    return _colour(entry["rgb"]) if "rgb" in entry else class_colour(int(entry["id"]))


def _colour(rgb: Any) -> Colour:
    red, green, blue = map(int, rgb)
    if not all(0 <= level <= 255 for level in (red, green, blue)):
        raise ValueError(f"rgb is three levels of 0..255, got {rgb}")
    return red, green, blue


def _ignored_ids(
    table: Mapping[str, Any], entries: Sequence[tuple[int, str, Colour]]
) -> tuple[int, ...]:
    given = table.get("ignore_id")
    if given is not None:
        return tuple(map(int, given)) if isinstance(given, list) else (int(given),)
    named = tuple(i for i, name, _ in entries if name.lower() in _VOID)
    return named or (() if any(i == IGNORE for i, _, _ in entries) else (IGNORE,))
