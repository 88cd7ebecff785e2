"""A small text tower of CLIP, of random weights, by OpenAI's names."""

import numpy as np

VOCABULARY, WIDTH, DEPTH, EMBEDDING = 49_408, 16, 2, 6


def arrays(width=WIDTH, depth=DEPTH, embedding=EMBEDDING, context=77, seed=0):
    """float32 arrays by name; the whole vocabulary, as our tokens need it."""
    shapes = {
        "token_embedding.weight": (VOCABULARY, width),
        "positional_embedding": (context, width),
        "text_projection": (width, embedding),
        "ln_final.weight": (width,),
        "ln_final.bias": (width,),
    }
    for i in range(depth):
        block = {
            "ln_1.weight": (width,),
            "ln_1.bias": (width,),
            "attn.in_proj_weight": (3 * width, width),
            "attn.in_proj_bias": (3 * width,),
            "attn.out_proj.weight": (width, width),
            "attn.out_proj.bias": (width,),
            "ln_2.weight": (width,),
            "ln_2.bias": (width,),
            "mlp.c_fc.weight": (4 * width, width),
            "mlp.c_fc.bias": (4 * width,),
            "mlp.c_proj.weight": (width, 4 * width),
            "mlp.c_proj.bias": (width,),
        }
        shapes |= {f"transformer.resblocks.{i}.{k}": v for k, v in block.items()}
    rng = np.random.default_rng(seed)
    return {
        name: rng.standard_normal(shape, np.float32) * np.float32(0.2)
        for name, shape in shapes.items()
    }


def write(path, **sizes):
    """Saves such a file as an npz; returns its path."""
    np.savez(path, **arrays(**sizes))
    return str(path)


def published(patch, positions, *, width=512, depth=12, embedding=512):
    """The shapes of a whole published CLIP: arrays that take no memory."""
    zero = np.float32(0)
    found = {
        "token_embedding.weight": np.broadcast_to(zero, (VOCABULARY, width)),
        "positional_embedding": np.broadcast_to(zero, (77, width)),
        "text_projection": np.broadcast_to(zero, (width, embedding)),
    }
    for i in range(depth):
        name = f"transformer.resblocks.{i}.ln_1.weight"
        found[name] = np.broadcast_to(zero, (width,))
    if patch:
        found["visual.conv1.weight"] = np.broadcast_to(zero, (768, 3, patch, patch))
        found["visual.positional_embedding"] = np.broadcast_to(zero, (positions, 768))
    return found
