"""From a config to objects, and from a mistake in it to its remedy.

A config is a nested dict of plain values. `make` turns a `dict(name=..., ...)` of it
into the object that the name stands for; read that first.
"""

import difflib
import importlib
import inspect
import os
import pkgutil
import runpy
import string
from collections.abc import Callable, Iterable, Mapping
from typing import Any

# The sections a run may have; `check` refuses any other, since it would be ignored.
SECTIONS = (
    "seed",
    "total_steps",
    "num_devices",
    "init_from",
    "init_allow",
    "guide_from",
    "data",
    "word_vectors",
    "model",
    "method",
    "optimizer",
    "schedule",
    "sharding",
    "every",
    "evals",
)
EVERY = ("log", "checkpoint", "evaluate", "pictures", "profile")
EVALUATION = (
    "split",
    "batch_size",
    "canvas",
    "buckets",
    "protocol",
    "metrics",
    "measures",
    "absent_as_zero",
)
REQUIRED = ("total_steps", "data", "model", "method", "data.batch_size")


class ConfigError(ValueError):
    """A config that cannot mean what it says; the message names the key and a fix."""


def make(layer: str, spec: Mapping[str, Any], **given: Any) -> Any:
    """Builds the object that `spec["name"]` names below a layer of jaxseg.

    `make("models", dict(name="backbones.resnet.ResNet", depth=50))` is
    `jaxseg.models.backbones.resnet.ResNet(depth=50)`. A name with a colon,
    "my_lab.ideas:Idea", is taken from any installed package.

    Args:
        layer: the package or module below `jaxseg` where names start.
        spec: the name and the keyword arguments; nested specs are built first.
        **given: further arguments, which the caller and not the config decides.

    Returns:
        What the named class or function returns.

    Raises:
        ConfigError: if the name does not exist or does not take one of the keys.
    """
    if "name" not in spec:
        raise ConfigError(f"config for {layer} has no 'name': {dict(spec)}")
    target = find(layer, spec["name"])
    options = {
        key: build_nested(layer, value) for key, value in spec.items() if key != "name"
    }
    return call(target, options, where=f"{layer} {spec['name']!r}", **given)


def find(layer: str, name: str) -> Any:
    """Imports what a config's name stands for; see `make`.

    Raises:
        ConfigError: naming the nearest module or class, if there is none of that name.
    """
    if ":" in name:
        path, attribute = name.split(":")
    else:
        path, _, attribute = f"jaxseg.{layer}.{name}".rpartition(".")
    try:
        module = importlib.import_module(path)
    except ModuleNotFoundError as error:
        if error.name is None or not path.startswith(error.name):
            raise  # the module is there; something that it imports is not
        raise ConfigError(
            f"{layer} {name!r}: there is no module {path}"
            + suggest(path.removeprefix(f"jaxseg.{layer}."), modules(layer))
        ) from error
    if not hasattr(module, attribute):
        own = (
            key
            for key, value in vars(module).items()
            if callable(value) and getattr(value, "__module__", None) == path
        )
        raise ConfigError(
            f"{layer} {name!r}: {path} has no {attribute!r}" + suggest(attribute, own)
        )
    return getattr(module, attribute)


def call(
    target: Callable[..., Any], options: Mapping[str, Any], *, where: str, **given: Any
) -> Any:
    """Calls `target(**options, **given)`, explaining a key that it does not take.

    Raises:
        ConfigError: for an unknown, missing or doubly given key, or a value that the
            target refuses; `where` says where.
    """
    known = [name for name in inspect.signature(target).parameters if name not in given]
    unknown = [key for key in options if key not in known]
    if unknown:
        raise ConfigError(
            f"{where} has no key {unknown[0]!r}{suggest(unknown[0], known)}"
        )
    try:
        inspect.signature(target).bind(**options, **given)
    except TypeError as error:
        raise ConfigError(f"{where}: {error}") from error
    try:
        return target(**options, **given)
    except ValueError as error:
        if type(error) is not ValueError:
            raise  # says more than "a bad value" already
        raise ConfigError(f"{where}: {error}") from error


def build_nested(layer: str, value: Any) -> Any:
    """Builds specs inside a spec, and turns lists, which JSON makes, into tuples."""
    if isinstance(value, Mapping):
        if "name" in value:
            return make(layer, value)
        return {key: build_nested(layer, item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return tuple(build_nested(layer, item) for item in value)
    return value


def as_tuples(value: Any) -> Any:
    """Turns the lists that JSON makes back into tuples, however deep."""
    if isinstance(value, (list, tuple)):
        return tuple(as_tuples(item) for item in value)
    return value


def modules(layer: str) -> list[str]:
    """Lists the modules below a layer, "backbones.resnet", for error messages."""
    package = importlib.import_module(f"jaxseg.{layer}")
    paths = getattr(package, "__path__", [])
    found = pkgutil.walk_packages(paths, prefix=f"{package.__name__}.")
    return [module.name.removeprefix(f"jaxseg.{layer}.") for module in found]


def suggest(given: str, known: Iterable[str]) -> str:
    """Says which known name is nearest, and which there are."""
    known = sorted(known)
    near = difflib.get_close_matches(given, known, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"{hint} (there are: {', '.join(known)})" if known else hint


def load(path: str | os.PathLike[str], *words: str) -> dict[str, Any]:
    """Reads a config file, as `--config PATH:WORD,WORD` does.

    Args:
        path: of a Python file with `get_config`.
        *words: the variants to join; empty ones are left out.

    Returns:
        A plain nested dict, to change and to train.
    """
    variant = ",".join(filter(None, words))
    return runpy.run_path(os.fspath(path))["get_config"](variant).to_dict()


def check(config: Mapping[str, Any]) -> None:
    """Refuses a config with a key that nothing reads, or without one that is needed.

    The keys of sections that become arguments are checked where those are called.

    Raises:
        ConfigError: naming the key and the nearest known one.
    """
    _check_keys("config", config, SECTIONS)
    _check_keys("config.every", config.get("every", {}), EVERY)
    for name, spec in config.get("evals", {}).items():
        _check_keys(f"config.evals.{name}", spec, EVALUATION)
        if "split" not in spec:
            raise ConfigError(f"config.evals.{name} has no 'split' to score")
    given = {*config, *(f"data.{key}" for key in config.get("data", {}))}
    for key in REQUIRED:
        if key not in given:
            raise ConfigError(f"the config lacks {key!r}; see configs/quickstart.py")


def _check_keys(where: str, section: Mapping[str, Any], known: Iterable[str]) -> None:
    for key in section:
        if key not in known:
            raise ConfigError(f"unknown key {key!r} in {where}{suggest(key, known)}")


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Turns nested sections into one dict with dotted keys, lists into tuples."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = as_tuples(value)
    return flat


def differences(
    one: Mapping[str, Any], other: Mapping[str, Any], *, ignore: tuple[str, ...] = ()
) -> list[str]:
    """Lists the keys in which two configs differ, as "optimizer.momentum: 0.9 -> 0.8".

    Args:
        one: a config, as a dict or as read back from JSON.
        other: the config to compare with.
        ignore: sections, or dotted keys, that may differ.
    """
    first, second = flatten(one), flatten(other)
    absent = "(absent)"
    return [
        f"{key}: {first.get(key, absent)!r} -> {second.get(key, absent)!r}"
        for key in sorted(first.keys() | second.keys())
        if first.get(key, absent) != second.get(key, absent)
        and not any(key == name or key.startswith(f"{name}.") for name in ignore)
    ]


def expand(path: str) -> str:
    """Expands $VARIABLES and ~ in a path of a config.

    Raises:
        ConfigError: if a variable is not set.
    """
    names = string.Template(path).get_identifiers()
    for name in names:
        if name not in os.environ:
            raise ConfigError(
                f"{path!r} needs the environment variable {name}, which is not set: "
                f"export {name}=<folder>, or give the path itself in the config"
            )
    return os.path.expanduser(string.Template(path).substitute(os.environ))
