"""The contracting path of U-Net (Ronneberger et al. 2015)."""

from jaxseg.models.backbones.vgg import VGG


class UNetEncoder(VGG):
    """Pairs of 3x3 convolutions at strides 1, 2, 4, 8 and 16.

    Unlike the paper's, windows are padded, so that sizes stay, and normalised; both are
    common since. Fields are those of `VGG`.
    """

    widths: tuple[int, ...] = (64, 128, 256, 512, 1024)
    num_convs: tuple[int, ...] = (2, 2, 2, 2, 2)
    use_bias: bool = False
