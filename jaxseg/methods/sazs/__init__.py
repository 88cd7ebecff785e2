"""SAZS: zero-shot segmentation by text and shape; read `method` first."""

from jaxseg.methods.sazs.method import SAZS

__all__ = ["SAZS"]
