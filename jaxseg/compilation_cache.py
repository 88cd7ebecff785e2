"""Keeps compiled programs on disk, so that the next start is faster: `enable`."""

import os
import pathlib
import tempfile

import jax
from absl import logging

# A run has many small programs, and a second start should compile none that is felt.
MIN_COMPILE_SECONDS = 0.2


def enable(folder: str | None = None) -> None:
    """Has JAX keep what it compiles from now on, and look there before it compiles.

    An entry is found again by the program, the versions and flags of the compiler and
    the kind of device and processor; nothing is ever taken for something else. The
    folder may be deleted at any time.

    Args:
        folder: None for $JAX_COMPILATION_CACHE_DIR, else `default_folder()`; empty to
            keep nothing. One that cannot be written to is a warning, and nothing is
            kept.
    """
    if folder is None:
        folder = os.environ.get("JAX_COMPILATION_CACHE_DIR") or default_folder()
    problem = _problem(folder) if folder else None
    if problem:
        logging.warning("compiled programs are not kept: %s", problem)
    if problem or not folder:
        jax.config.update("jax_enable_compilation_cache", False)
        return
    jax.config.update("jax_compilation_cache_dir", folder)
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        jax.config.update(
            "jax_persistent_cache_min_compile_time_secs", MIN_COMPILE_SECONDS
        )


def default_folder() -> str:
    """The folder `jaxseg/compiled` where the user's caches are."""
    caches = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return str(pathlib.Path(caches) / "jaxseg" / "compiled")


def _problem(folder: str) -> OSError | None:
    """Why a folder cannot be written to, if so."""
    if "://" in folder:  # a bucket, which JAX knows how to write to
        return None
    try:
        os.makedirs(folder, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return None
    except OSError as error:
        return error
