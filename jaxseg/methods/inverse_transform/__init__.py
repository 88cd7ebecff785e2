"""Pre-training of the network that compares tiles of edges, for SAZS's constraint."""

from jaxseg.methods.inverse_transform.method import InverseTransformPretraining

__all__ = ["InverseTransformPretraining"]
