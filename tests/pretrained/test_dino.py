"""Which vision transformer a file holds is read from its shapes."""

import jax
import numpy as np
import pytest

from jaxseg.models.backbones.vit import ViT
from jaxseg.pretrained import dino
from tests.models.fill import num_parameters
from tests.pretrained import tiny_dino


@pytest.mark.parametrize(
    "sizes, heads, count",
    [
        (dict(width=384, patch=16, grid=14), 6, 21_665_664),
        (dict(width=384, patch=8, grid=28), 6, 21_670_272),
        (dict(width=768, patch=16, grid=14), 12, 85_798_656),
        (dict(width=768, patch=8, grid=28), 12, 85_807_872),
    ],
    ids=["S/16", "S/8", "B/16", "B/8"],
)
def test_the_four_published_ones_are_recognised(sizes, heads, count):
    shapes = tiny_dino.shapes(depth=12, **sizes)
    arrays = {n: np.broadcast_to(np.float32(0), s) for n, s in shapes.items()}
    backbone = dino.recognise(arrays, source="the file").backbone
    assert backbone.patch_size == sizes["patch"] and backbone.num_heads == heads
    assert backbone.image_grid == (sizes["grid"],) * 2
    assert num_parameters(backbone) == count


def test_a_file_gives_the_keys_of_its_network(tmp_path):
    path = tiny_dino.save(tmp_path / "dino.safetensors")
    network, variables, report = dino.load(path)
    image = np.random.default_rng(0).integers(0, 256, (1, 16, 24, 3))
    keys = jax.jit(lambda v, x: network.apply(v, x, method="keys"))(variables, image)
    normalised = (image - np.array(network.mean)) / np.array(network.std)
    backbone = ViT(patch_size=8, width=64, depth=2, num_heads=1, image_grid=(4, 4))
    params = {"params": variables["params"]["backbone"]}
    expected = jax.jit(lambda v, x: backbone.apply(v, x, method="keys"))(
        params, normalised.astype(np.float32)
    )
    np.testing.assert_allclose(keys, expected, atol=1e-5)
    assert keys.shape == (1, 2, 3, 64) and not report.kept


def test_a_file_of_another_network_is_refused():
    arrays = {"layer1.0.conv1.weight": np.zeros((4, 4, 3, 3), np.float32)}
    with pytest.raises(ValueError, match="my.pth holds no vision transformer.*pos_emb"):
        dino.recognise(arrays, source="my.pth")


def test_sizes_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="of width 60, 2 blocks and 17 positions"):
        dino.recognise(tiny_dino.tensors(width=60), source="my.pth")
    arrays = tiny_dino.tensors() | {"pos_embed": np.zeros((1, 19, 64), np.float32)}
    with pytest.raises(ValueError, match="19 positions.*a square"):
        dino.recognise(arrays, source="my.pth")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no weights file.*absent.pth"):
        dino.load(tmp_path / "absent.pth")
