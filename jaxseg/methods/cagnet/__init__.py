"""CaGNet: features of unseen classes synthesised from word vectors.

Read `method` first.
"""

from jaxseg.methods.cagnet.method import CaGNet

__all__ = ["CaGNet"]
