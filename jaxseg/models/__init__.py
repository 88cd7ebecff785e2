"""Networks: backbones, heads, and the segmentor that joins them.

`create("segformer_b0", num_classes=19)` makes one of the catalogue's, `build(spec,
num_classes=19)` one of a config's.
"""

from jaxseg.models.catalogue import NETS, build, create

__all__ = ["NETS", "build", "create"]
