r"""From published names to ours: `KeyMap`, and what it makes of a file, `Renamed`.

A published network is a list of rules, a pattern of its names and the path of ours that
the match is copied to:

    Rule(r"layer(\d)\.(\d+)\.conv1\.weight", r"backbone/layer\1_\2/conv1/conv/kernel")

The last part of a path says what the array is. `kernel` is transposed from PyTorch's
layout to ours; `mean` and `var` are batch statistics; `folded` is the bias of a
convolution that a normalisation was folded into; `matrix` is a kernel that the file
holds in our layout already, as for x @ matrix. `kernel[1/3]` is the second third of a
kernel that ours keeps in one piece, such as queries, keys and values.
"""

import dataclasses
import functools
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

Path = tuple[str, ...]
Flat = dict[Path, np.ndarray]

STATISTICS = ("mean", "var")
PIECE = re.compile(r"(\w+)\[(\d+)/(\d+)\]")
SEPARATOR = re.compile(r"/(?![^\[]*\])")  # not the one of a piece


class Rule(NamedTuple):
    r"""Where the arrays of some published names go.

    Attributes:
        pattern: a regular expression for whole names.
        path: of our array, below the collection, with `\1` for the pattern's groups.
    """

    pattern: str
    path: str


class Renamed(NamedTuple):
    """A file in our names.

    Attributes:
        arrays: by ("params" or "batch_stats", *path), float32.
        ignored: names that are known and not needed, as an ImageNet classifier's.
        unknown: names that no rule has.
    """

    arrays: Flat
    ignored: tuple[str, ...]
    unknown: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class KeyMap:
    """How one publisher names the arrays of a network.

    Attributes:
        title: of publisher and network, for messages: "torchvision ResNet".
        rules: the first whose pattern is the whole name decides.
        ignored: patterns of names to leave out.
        channels_last: whether kernels are [k, k, in, out] already, as TensorFlow's.
        epsilon: of the normalisations that the file was trained with; None: as ours.
            Another one is made up for in the variances, so that the function stays.
        prefixes: beginnings to cut off all names if they are there, such as "module.".
        expects: values that fields of our modules must have for the file to mean the
            same there: {"backbone.padding": "torch"}.
        usual: values of fields that the publisher has and that change little; others
            are reported, not refused.
    """

    title: str
    rules: tuple[Rule, ...]
    ignored: tuple[str, ...] = ()
    channels_last: bool = False
    epsilon: float | None = None
    prefixes: tuple[str, ...] = ("module.",)
    expects: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    usual: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def is_folded(self) -> bool:
        """Whether normalisations come as plain biases."""
        return any(rule.path.endswith("/folded") for rule in self.rules)

    def rename(self, tensors: Mapping[str, np.ndarray]) -> Renamed:
        """Sorts a file's tensors into our arrays.

        Args:
            tensors: by published name.

        Raises:
            ValueError: if two names go to one place, or pieces of an array are missing.
        """
        arrays: Flat = {}
        pieces: dict[Path, dict[int, np.ndarray]] = {}
        numbers: dict[Path, int] = {}
        ignored, unknown = [], []
        for name, tensor in tensors.items():
            short = self._without_prefix(name)
            if any(re.fullmatch(pattern, short) for pattern in self.ignored):
                ignored.append(name)
                continue
            path = self._path(short)
            if path is None:
                unknown.append(name)
                continue
            piece = PIECE.fullmatch(path[-1])
            leaf = piece[1] if piece else path[-1]
            values = self._values(tensor, leaf)
            if piece:
                whole = (*path[:-1], leaf)
                pieces.setdefault(whole, {})[int(piece[2])] = values
                numbers[whole] = int(piece[3])
            else:
                self._place(arrays, path, values, name)
        for path, found in pieces.items():
            if len(found) != numbers[path]:
                raise ValueError(
                    f"{self.title}: of {'/'.join(path)} the file holds "
                    f"{len(found)} of {numbers[path]} pieces"
                )
            whole_array = np.concatenate([found[i] for i in sorted(found)], axis=-1)
            self._place(arrays, path, whole_array, "/".join(path))
        return Renamed(arrays, tuple(sorted(ignored)), tuple(sorted(unknown)))

    def _without_prefix(self, name: str) -> str:
        for prefix in self.prefixes:
            name = name.removeprefix(prefix)
        return name

    def _path(self, name: str) -> Path | None:
        found = self._any_rule.fullmatch(name)
        if found is None or found.lastgroup is None:
            return None
        rule = self.rules[int(found.lastgroup.removeprefix("rule"))]
        match = re.fullmatch(rule.pattern, name)
        assert match is not None  # it matched just now
        return tuple(SEPARATOR.split(match.expand(rule.path)))

    @functools.cached_property
    def _any_rule(self) -> re.Pattern[str]:
        """All rules as one pattern; the group that closes last is the first that fits.

        Thousands of rules of all key maps see each name: more than `re` remembers.
        """
        groups = (
            f"(?P<rule{index}>{rule.pattern})" for index, rule in enumerate(self.rules)
        )
        return re.compile("|".join(groups))

    def _values(self, tensor: np.ndarray, leaf: str) -> np.ndarray:
        values = np.asarray(tensor, np.float32)
        if leaf == "kernel" and not self.channels_last:
            # [out, in, ...] to [..., in, out]; transposed convolutions alike.
            values = (
                np.moveaxis(values, (0, 1), (-1, -2)) if values.ndim > 1 else values
            )
        return values

    def _place(self, arrays: Flat, path: Path, values: np.ndarray, name: str) -> None:
        collection = "batch_stats" if path[-1] in STATISTICS else "params"
        if path[-1] == "matrix":
            path = (*path[:-1], "kernel")
        if path[-1] == "folded":
            new = self._unfolded(path[:-1], values)
        else:
            new = {(collection, *path): values}
        twice = new.keys() & arrays.keys()
        if twice:
            raise ValueError(f"{self.title}: {name} comes a second time")
        arrays.update(new)

    def _unfolded(self, norm: Path, bias: np.ndarray) -> Flat:
        """A normalisation that does nothing but add a bias, in evaluation."""
        epsilon = self.epsilon or 0.0
        return {
            ("params", *norm, "bias"): bias,
            ("params", *norm, "scale"): np.ones_like(bias),
            ("batch_stats", *norm, "mean"): np.zeros_like(bias),
            ("batch_stats", *norm, "var"): np.full_like(bias, 1 - epsilon),
        }


def by_parts(whole: KeyMap, *end: str) -> tuple[KeyMap, ...]:
    """Key maps for models without the network's end, then with more and more of it.

    The one that places most is taken, the first of equals: what a model has no place
    for is left out, and no more.

    Args:
        whole: the key map of all names.
        end: patterns of the names at the end, deep to shallow.
    """
    return tuple(
        dataclasses.replace(whole, ignored=(*whole.ignored, *end[:count]))
        for count in range(len(end), -1, -1)
    )


def norm_rules(pattern: str, path: str) -> tuple[Rule, ...]:
    """The rules of one normalisation, batch or layer, by PyTorch's names."""
    names = (
        ("weight", "scale"),
        ("bias", "bias"),
        ("running_mean", "mean"),
        ("running_var", "var"),
    )
    return tuple(Rule(rf"{pattern}\.{old}", f"{path}/{new}") for old, new in names)


def linear_rules(pattern: str, path: str) -> tuple[Rule, ...]:
    """The rules of one convolution or linear map, with its bias if it has one."""
    return (
        Rule(rf"{pattern}\.weight", f"{path}/kernel"),
        Rule(rf"{pattern}\.bias", f"{path}/bias"),
    )


def conv_norm_rules(conv: str, norm: str, path: str) -> tuple[Rule, ...]:
    """The rules of a `ConvNorm`, by the names of its convolution and normalisation."""
    return (*linear_rules(conv, f"{path}/conv"), *norm_rules(norm, f"{path}/norm"))


# PyTorch's counter of batches, which nothing needs.
COUNTERS = r".*\.num_batches_tracked"
