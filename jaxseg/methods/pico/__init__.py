"""PiCo: pixels of one class attract each other across images; read `method` first."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxseg.methods.pico.method import PiCo

__all__ = ["PiCo"]


def __getattr__(name: str) -> Any:
    # Configs import `variants` while flags are parsed; the method would bring JAX with
    # it, and --help and a misspelt key would wait for that.
    if name == "PiCo":
        from jaxseg.methods.pico.method import PiCo

        return PiCo
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
