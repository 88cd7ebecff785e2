"""ZS3Net: a classifier for classes without pictures, by features made of their words.

Read `method` first.
"""

from jaxseg.methods.zs3net.method import ZS3Net

__all__ = ["ZS3Net"]
