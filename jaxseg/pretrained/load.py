"""Fills a model from published weights: `load_weights`, or `fill` for arrays at hand.

The file's names say which publisher it is from: the key map that places most of its
arrays in the model is taken, and then everything has to fit.
"""

import dataclasses
import fnmatch
import importlib
import math
import operator
import os
import pathlib
import pkgutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from flax import traverse_util

from jaxseg import config
from jaxseg.models.layers import ConvNorm
from jaxseg.pretrained import keymaps, readers
from jaxseg.pretrained.keymap import Flat, KeyMap, Path, Renamed

Tree = Mapping[str, Any]

LONGEST = 5  # lines of a message about one kind of misfit


@dataclasses.dataclass(frozen=True)
class Report:
    """What a file changed.

    Attributes:
        path: the file, with variables expanded.
        title: of the key map: publisher and network.
        filled: parameters and statistics that came from the file.
        kept: those that stayed as they were.
        ignored: names in the file that are known and not needed, as a classifier's.
        surplus: names in the file without a place in the model, which was allowed.
        reshaped: arrays of another shape in the file, left as they were, by allowance.
        folded: whether normalisations came as plain biases, to be calibrated before
            training (`jaxseg.pretrained.calibration`).
        notes: fields in which the model differs a little from the publisher's.
    """

    path: str
    title: str
    filled: tuple[str, ...]
    kept: tuple[str, ...]
    ignored: tuple[str, ...]
    surplus: tuple[str, ...]
    reshaped: tuple[str, ...]
    folded: bool
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return (
            f"{self.path}, {self.title}: {len(self.filled)} arrays loaded, "
            f"{len(self.kept)} left as initialised ({_entries(self.kept)}), "
            f"not needed: {_some(self.ignored)}; without a place: "
            f"{_some(self.surplus)}; of another shape: {_some(self.reshaped)}"
            + "".join(f"; {note}" for note in self.notes)
        )


def load_weights(
    path: str | pathlib.Path,
    model: Any,
    params: Tree,
    batch_stats: Tree,
    *,
    allow: Sequence[str] = (),
) -> tuple[Tree, Tree, Report]:
    """Fills a model from a published file.

    A file of a backbone fills the entry "backbone" and leaves head and classifier; one
    of a whole network fills them all. What an entry has must be in the file, and what
    the file has must have a place, but for what `allow` names.

    Normalisations that the file has folded into the convolutions compute the published
    function in evaluation; before training from them (`Report.folded`), call
    `jaxseg.pretrained.calibration.calibrate_batch_norm`.

    Args:
        path: a .safetensors, .pth, .pt or .npz file; `$VARS` and `~` are expanded.
        model: the module, a Segmentor or another that a key map is for.
        params: its parameters.
        batch_stats: its batch statistics.
        allow: patterns of our paths ("classifier/*") that may be missing in the file or
            have another shape there, and of published names that may be left over.

    Returns:
        New params and batch_stats (arrays that are not in the file are the given ones)
        and what was done.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, of an unknown network, or does not fit the
            model; all missing, surplus and misshapen arrays are named.
    """
    expanded = config.expand(str(path))
    if not os.path.isfile(expanded):
        raise FileNotFoundError(f"there is no weights file {expanded}")
    tensors = readers.read(expanded)
    return fill(tensors, model, params, batch_stats, source=expanded, allow=allow)


def fill(
    tensors: Mapping[str, np.ndarray],
    model: Any,
    params: Tree,
    batch_stats: Tree,
    *,
    source: str,
    allow: Sequence[str] = (),
) -> tuple[Tree, Tree, Report]:
    """Fills a model from arrays by their published names; see `load_weights`.

    Args:
        tensors: by published name.
        model: the module.
        params: its parameters.
        batch_stats: its batch statistics.
        source: what to call the arrays in messages.
        allow: as for `load_weights`.
    """
    there = {
        (collection, *key): value
        for collection, tree in (("params", params), ("batch_stats", batch_stats))
        for key, value in traverse_util.flatten_dict(dict(tree)).items()
    }
    key_map, renamed = choose(tensors, there, source)
    check_conventions(key_map, model, source)
    check_grid(renamed.arrays, model, source)
    given = {
        key: _fitted(value, there.get(key)) for key, value in renamed.arrays.items()
    }
    _make_up_for_epsilon(given, key_map, model)

    fit = compare(given, there)
    problems = fit.problems(given, there, renamed.unknown, allow)
    if any(problems):
        raise ValueError(misfit(source, key_map, fit, problems))
    merged = traverse_util.unflatten_dict(
        there | {key: given[key] for key in fit.matched}
    )
    report = Report(
        path=source,
        title=key_map.title,
        filled=tuple(map(_join, fit.matched)),
        kept=tuple(sorted(_join(key) for key in there.keys() - set(fit.matched))),
        ignored=renamed.ignored,
        surplus=tuple(sorted([*renamed.unknown, *map(_join, fit.surplus)])),
        reshaped=tuple(map(_join, fit.reshaped)),
        folded=key_map.is_folded,
        notes=tuple(differences(key_map.usual, model)),
    )
    return merged.get("params", {}), merged.get("batch_stats", {}), report


def misfit(
    source: str, key_map: KeyMap, fit: "Fit", problems: Sequence[Sequence[str]]
) -> str:
    """Says what does not fit: of another network in a sentence, else line by line."""
    lines = [line for some in problems for line in some]
    if len(fit.matched) <= len(lines):
        return (
            f"{source} holds another network than this model: read as {key_map.title}, "
            f"{len(fit.matched)} arrays fit and {len(lines)} do not ({lines[0]}, ...); "
            "choose the model that the file was made for (docs/models.md lists them)"
        )
    return (
        f"{source}, read as {key_map.title}, does not fit the model:\n  "
        + "\n  ".join(line for some in problems for line in _first(some))
        + "\nif that is meant, name them in init_allow, or by --allow: classifier/*"
    )


class Fit(NamedTuple):
    """How the arrays of a file and of a model meet, by path.

    Attributes:
        matched: in both, of one shape.
        missing: in an entry of the model that the file is about, not in the file.
        surplus: in the file, not in the model.
        reshaped: in both, of two shapes.
    """

    matched: list[Path]
    missing: list[Path]
    surplus: list[Path]
    reshaped: list[Path]

    def problems(
        self,
        given: Flat,
        there: Mapping[Path, Any],
        unknown: Sequence[str],
        allow: Sequence[str],
    ) -> list[list[str]]:
        """A line for whatever does not fit and is not allowed not to, by kind."""

        def refused(names: Iterable[str]) -> list[str]:
            return sorted(name for name in names if not _allowed(name, allow))

        shapes = {
            _in_entry(key): (np.shape(given[key]), np.shape(there[key]))
            for key in self.reshaped
        }
        return [
            [
                f"missing in the file: {name}"
                for name in refused(map(_in_entry, self.missing))
            ],
            [
                f"without a place in the model: {name}"
                for name in refused([*unknown, *map(_in_entry, self.surplus)])
            ],
            [
                f"{name}: {shapes[name][0]} in the file, {shapes[name][1]} in the model"
                for name in refused(shapes)
            ],
        ]


def compare(given: Flat, there: Mapping[Path, Any]) -> Fit:
    """Sorts the arrays of a file and of a model; a file is about whole entries."""
    entries = {key[1] for key in given.keys() & there.keys()}
    wanted = {key for key in there if key[1] in entries}
    both = sorted(wanted & given.keys())
    same = [key for key in both if np.shape(given[key]) == np.shape(there[key])]
    return Fit(
        matched=same,
        missing=sorted(wanted - given.keys()),
        surplus=sorted(given.keys() - there.keys()),
        reshaped=sorted(set(both) - set(same)),
    )


def key_maps() -> list[KeyMap]:
    """All key maps: the `KEY_MAPS` of each file of `jaxseg.pretrained.keymaps`."""
    return [
        key_map
        for info in pkgutil.iter_modules(keymaps.__path__)
        for key_map in importlib.import_module(
            f"{keymaps.__name__}.{info.name}"
        ).KEY_MAPS
    ]


def choose(
    tensors: Mapping[str, np.ndarray], there: Mapping[Path, Any], source: str
) -> tuple[KeyMap, Renamed]:
    """Finds the key map that places most of a file's arrays in a model.

    Raises:
        ValueError: if none places any.
    """
    best: tuple[tuple[int, int], KeyMap, Renamed] | None = None
    failures = []
    for key_map in key_maps():
        try:
            renamed = key_map.rename(tensors)
        except ValueError as error:
            failures.append(str(error))
            continue
        placed = len(renamed.arrays.keys() & there.keys())
        score = (placed, -len(renamed.unknown))
        if placed and (best is None or score > best[0]):
            best = score, key_map, renamed
    if best is None:
        names = sorted(tensors)
        raise ValueError(
            f"{source} holds no network that fits this model; its {len(names)} names "
            f"begin with {', '.join(names[:5]) or 'nothing'}"
            + "".join(f"\n  {failure}" for failure in failures)
        )
    return best[1], best[2]


def check_conventions(key_map: KeyMap, model: Any, source: str) -> None:
    """Raises ValueError if the model would compute something else from the weights."""
    for line in differences(key_map.expects, model):
        raise ValueError(f"{source} is of {key_map.title}: {line}")


def differences(wanted: Mapping[str, Any], model: Any) -> Iterator[str]:
    """Says which fields of a model have other values than a publisher's network."""
    for path, value in wanted.items():
        try:
            found = operator.attrgetter(path)(model)
        except AttributeError:
            continue  # another network, whose arrays will not fit either
        if found != value:
            yield (
                f"made for {path} {value!r}, and the model has {found!r}: set "
                f"config.model.{path} = {value!r}"
            )


def check_grid(given: Flat, model: Any, source: str) -> None:
    """Raises ValueError if a square table of positions is not read as that square."""
    backbone: Any = getattr(model, "backbone", None)
    grid = getattr(backbone, "image_grid", None)
    tables = [v for key, v in given.items() if key[-1] == "position_embedding"]
    if grid is None or not tables:
        return
    extra = backbone.class_token + backbone.distillation_token
    side = math.isqrt(tables[0].shape[1] - extra)
    if side**2 == tables[0].shape[1] - extra and tuple(grid) != (side, side):
        raise ValueError(
            f"{source} has a table of {side}x{side} positions, and the model one of "
            f"{grid[0]}x{grid[1]}: set config.model.backbone.image_grid = "
            f"({side}, {side}); pictures of any size are fitted to it"
        )


def _fitted(value: np.ndarray, like: Any) -> np.ndarray:
    """A linear map as a 1x1 convolution, or the other way round."""
    if like is None or np.shape(value) == np.shape(like):
        return value
    if [n for n in value.shape if n > 1] == [n for n in np.shape(like) if n > 1]:
        return value.reshape(np.shape(like))
    return value


def _make_up_for_epsilon(given: Flat, key_map: KeyMap, model: Any) -> None:
    """Moves the difference of two epsilons into the variances.

    Beside the backbone's, only folded normalisations are meant: those of a published
    head have the epsilon of ours.
    """
    if key_map.epsilon is None:
        return
    backbone = getattr(getattr(model, "backbone", None), "epsilon", key_map.epsilon)
    for key, value in given.items():
        if key[-1] != "var" or not (key[1] == "backbone" or key_map.is_folded):
            continue
        ours = backbone if key[1] == "backbone" else ConvNorm.epsilon
        given[key] = value + np.float32(key_map.epsilon - ours)


def _allowed(name: str, allow: Sequence[str]) -> bool:
    return any(
        fnmatch.fnmatchcase(name, pattern) or name.split("/")[0] == pattern
        for pattern in allow
    )


def _in_entry(key: Path) -> str:
    """A path without its collection, as `allow` names it."""
    return "/".join(key[1:])


def _join(key: Path) -> str:
    return "/".join(key)


def _entries(paths: Sequence[str]) -> str:
    """The sub-networks that arrays belong to: "classifier, head"."""
    return ", ".join(sorted({path.split("/")[1] for path in paths})) or "none"


def _first(lines: Sequence[str]) -> list[str]:
    left_out = len(lines) - LONGEST
    return [*lines[:LONGEST], *[f"... and {left_out} more"] * (left_out > 0)]


def _some(names: Sequence[str], count: int = 4) -> str:
    if not names:
        return "none"
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(names[:count]) + more
