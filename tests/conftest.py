"""Eight virtual CPU devices, fast compilation and a compilation cache for all tests."""

import os
import pathlib

from tests import xla

os.environ.setdefault("JAX_PLATFORMS", "cpu")
_flags = os.environ.get("XLA_FLAGS", "")
if "force_host_platform_device_count" not in _flags:
    _flags += " --xla_force_host_platform_device_count=8"
if os.environ["JAX_PLATFORMS"] == "cpu" and "backend_optimization_level" not in _flags:
    _flags += f" {xla.FAST}"
os.environ["XLA_FLAGS"] = _flags.strip()
_cache = pathlib.Path(
    os.environ.get("JAXSEG_TEST_CACHE", pathlib.Path.home() / ".cache" / "jaxseg-tests")
)
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(_cache))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.3")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

import jax  # noqa: E402
import pytest  # noqa: E402
from absl import flags, logging  # noqa: E402

if not flags.FLAGS.is_parsed():
    flags.FLAGS.mark_as_parsed()  # grain reads absl flags, which pytest does not parse


@pytest.fixture(autouse=True)
def verbosity():
    """Leaves logging as it was; commands set it, and tests come in any order."""
    before = logging.get_verbosity()
    yield
    logging.set_verbosity(before)


@pytest.fixture(autouse=True, scope="module")
def programs():
    """Forgets what a module compiled, which else adds up to many GB a process."""
    yield
    jax.clear_caches()


@pytest.fixture(scope="session")
def data_root() -> pathlib.Path:
    """The folder of real pictures and weights, $JAXSEG_DATA."""
    root = os.environ.get("JAXSEG_DATA")
    if not root:
        pytest.skip("JAXSEG_DATA is not set: it names the folder of real data")
    return pathlib.Path(root)


@pytest.fixture(scope="session")
def torch():
    """The torch that parity tests compare with; CI must have it, others may skip."""
    try:
        import torch
    except ModuleNotFoundError:
        if os.environ.get("CI"):
            pytest.fail("CI compares with torch, which is not installed")
        pytest.skip("torch is not installed: pip install 'jaxseg[torch]'")
    return torch


@pytest.fixture(scope="session")
def transformers(torch):
    """Hugging Face's networks, without torchvision, which may be of another torch."""
    import importlib.util
    import sys

    if importlib.util.find_spec("transformers") is None:
        if os.environ.get("CI"):
            pytest.fail("CI compares with transformers, which is not installed")
        pytest.skip("transformers is not installed: pip install 'jaxseg[torch]'")
    sys.modules.setdefault("torchvision", None)  # type: ignore[arg-type]
    import transformers

    return transformers
