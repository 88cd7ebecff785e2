"""A vision transformer's arrays by DINO's names, of any size."""

import numpy as np

from tests.pretrained.test_safetensors import write


def shapes(*, width=64, depth=2, patch=8, grid=4):
    """Shapes by name, as the published files have them."""
    block = {
        "norm1.weight": (width,),
        "norm1.bias": (width,),
        "attn.qkv.weight": (3 * width, width),
        "attn.qkv.bias": (3 * width,),
        "attn.proj.weight": (width, width),
        "attn.proj.bias": (width,),
        "norm2.weight": (width,),
        "norm2.bias": (width,),
        "mlp.fc1.weight": (4 * width, width),
        "mlp.fc1.bias": (4 * width,),
        "mlp.fc2.weight": (width, 4 * width),
        "mlp.fc2.bias": (width,),
    }
    return {
        "cls_token": (1, 1, width),
        "pos_embed": (1, grid**2 + 1, width),
        "patch_embed.proj.weight": (width, 3, patch, patch),
        "patch_embed.proj.bias": (width,),
        **{f"blocks.{i}.{n}": s for i in range(depth) for n, s in block.items()},
        "norm.weight": (width,),
        "norm.bias": (width,),
    }


def tensors(**sizes):
    """Arrays that no two files share."""
    rng = np.random.default_rng(0)
    return {
        name: (0.2 * rng.normal(size=shape)).astype(np.float32)
        for name, shape in shapes(**sizes).items()
    }


def save(path, **sizes):
    """Writes them as a .safetensors file and returns its name."""
    arrays = {name: ("F32", array) for name, array in tensors(**sizes).items()}
    write(path, arrays)
    return str(path)
