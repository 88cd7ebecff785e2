"""The published MobileNetV2 in a segmentor, loaded once, and MobileNets in torch."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.models.backbones.mobilenet_v2 import MobileNetV2
from jaxseg.models.heads.fcn import FCN
from jaxseg.models.segmentor import Segmentor
from jaxseg.pretrained.load import load_weights
from tests.models.fill import filled


def segmentor(output_stride=16):
    return Segmentor(
        MobileNetV2(output_stride),
        FCN(features=8),
        num_classes=11,
        mean=(127.5,) * 3,
        std=(127.5,) * 3,
    )


@pytest.fixture(scope="session")
def fresh():
    return filled(segmentor(), jnp.zeros((1, 32, 32, 3)), train=False)


@pytest.fixture(scope="session")
def weights_file(data_root):
    return data_root / "weights" / "mobilenet_v2_1.0_224.safetensors"


@pytest.fixture(scope="session")
def loaded(fresh, weights_file):
    """Params, batch statistics and the report."""
    return load_weights(weights_file, segmentor(), **fresh)


@pytest.fixture(scope="session")
def reference(data_root):
    return dict(np.load(data_root / "weights" / "reference_outputs.npz"))


@pytest.fixture
def torch_mobilenet(torch):
    """The module tests.models.torch_mobilenet; its models start with equal weights."""
    from tests.models import torch_mobilenet

    torch.manual_seed(0)
    return torch_mobilenet
