"""PiCo: pixels of one class attract each other across images; read `method` first."""

from jaxseg.methods.pico.method import PiCo

__all__ = ["PiCo"]
