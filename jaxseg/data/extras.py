"""Optional packages, asked for by name where they are needed."""

import importlib
import importlib.machinery
import sys
from typing import Any


def installed(module: str) -> bool:
    """Whether a package can be imported."""
    if sys.modules.get(module, module) is None:
        return False  # barred, as tests do
    # Not importlib.util.find_spec, which fails while another thread imports OpenCV.
    return importlib.machinery.PathFinder.find_spec(module) is not None


def require(module: str, *, purpose: str, instead: str) -> Any:
    """Imports a package of the [data] extra.

    Args:
        module: the name to import.
        purpose: what asks for it, as the config spells it.
        instead: what works without it.

    Raises:
        ModuleNotFoundError: saying what to install, or to set instead.
    """
    if not installed(module):
        raise ModuleNotFoundError(
            f"{purpose} needs {module}, which is not installed: "
            f'pip install "jaxseg[data]", or use {instead}',
            name=module,
        )
    return importlib.import_module(module)
