"""Semantic segmentation in JAX. Start reading at `jaxseg.main`."""

__version__ = "0.1.0"
