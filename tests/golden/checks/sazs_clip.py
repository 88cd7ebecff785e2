"""Check of the text tower against CLIP's code, weights given."""

import re

import jax
import jax.numpy as jnp

from jaxseg.models.text.clip import ClipText
from jaxseg.pretrained.load import fill
from tests.golden.case import Case

PREFIX = "p:"


def clip_text(case: Case) -> None:
    """Features of token rows, through the key map of the published files."""
    weights = {
        name.removeprefix(PREFIX): case[name]
        for name in case.names
        if name.startswith(PREFIX)
    }
    vocabulary, width = weights["token_embedding.weight"].shape
    blocks = {
        match[1]
        for name in weights
        if (match := re.match(r"transformer\.resblocks\.(\d+)\.", name))
    }
    model = ClipText(
        width=width,
        depth=len(blocks),
        num_heads=case.number("heads"),
        embedding_dim=weights["text_projection"].shape[1],
        context_length=weights["positional_embedding"].shape[0],
        vocabulary=vocabulary,
    )
    tokens = jnp.asarray(case["tokens"])
    shapes = jax.eval_shape(model.init, jax.random.key(0), tokens)
    blank = jax.tree.map(lambda leaf: jnp.full(leaf.shape, jnp.nan), shapes)
    params, _, _ = fill(weights, model, blank["params"], {}, source="the file")
    case.close("text_features", model.apply({"params": params}, tokens), atol=1e-5)
