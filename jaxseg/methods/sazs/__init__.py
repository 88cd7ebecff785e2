"""SAZS: zero-shot segmentation by text and shape; read `method` first."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxseg.methods.sazs.method import SAZS

__all__ = ["SAZS"]


def __getattr__(name: str) -> Any:
    # Configs import `variants` while flags are parsed; the method would bring JAX with
    # it, and --help and a misspelt key would wait for that.
    if name == "SAZS":
        from jaxseg.methods.sazs.method import SAZS

        return SAZS
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
