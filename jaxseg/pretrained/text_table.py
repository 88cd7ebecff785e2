"""A point of CLIP's space for each class, from its name and published weights.

A config has its word vectors from here, computed once at the start of a run:

    config.word_vectors = dict(
        name="jaxseg.pretrained.text_table:encode", weights="ViT-B-32.pt"
    )

Read `encode` first. `python -m jaxseg.tools.text_table` stores what it computes, for
`data.clip_text.read`, so that later runs need no weights.
"""

import functools
import math
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging

from jaxseg import config
from jaxseg.data import clip_tokenizer, prompts
from jaxseg.data.clip_text import EMBEDDING_DIMS
from jaxseg.data.word_vectors import frozen
from jaxseg.models.text.clip import ClipText
from jaxseg.pretrained import load, readers

HEAD_WIDTH = 64  # of all of CLIP's attention
BATCH = 64  # prompts at a time, which bounds the memory of large tables
# What OpenAI and Hugging Face call arrays that tell the towers apart.
_TOKENS = (
    "token_embedding.weight",
    "text_model.embeddings.token_embedding.weight",
)
_POSITIONS = (
    "positional_embedding",
    "text_model.embeddings.position_embedding.weight",
)
_PROJECTION = ("text_projection", "text_projection.weight")
_BLOCK = re.compile(r"(?:transformer\.resblocks|text_model\.encoder\.layers)\.(\d+)\.")
_PATCHES = (
    "visual.conv1.weight",
    "vision_model.embeddings.patch_embedding.weight",
)
_IMAGE_POSITIONS = (
    "visual.positional_embedding",
    "vision_model.embeddings.position_embedding.weight",
)
_IMAGE_TOWER = ("visual.", "vision_model.", "visual_projection.")


class Shape(NamedTuple):
    """What tells CLIP's models apart.

    Attributes:
        width: D of the text tower.
        depth: its blocks.
        embedding_dim: E.
        patch: the side of the image tower's patches; 0 where a file is without it.
        positions: of the image tower; 0 alike.
    """

    width: int
    depth: int
    embedding_dim: int
    patch: int = 0
    positions: int = 0


SHAPES = {
    "ViT-B/32": Shape(512, 12, EMBEDDING_DIMS["ViT-B/32"], 32, 50),
    "ViT-B/16": Shape(512, 12, EMBEDDING_DIMS["ViT-B/16"], 16, 197),
    "ViT-L/14": Shape(768, 12, EMBEDDING_DIMS["ViT-L/14"], 14, 257),
}


class Tower(NamedTuple):
    """A text tower with its weights.

    Attributes:
        model: which one, a key of `SHAPES`; "" if the file does not tell.
        network: the module.
        params: its parameters, float32.
    """

    model: str
    network: ClipText
    params: Mapping[str, Any]


def encode(
    names: Sequence[str],
    *,
    weights: str,
    tower: str = "",
    templates: str | Sequence[str] = ("{}",),
    prompt_names: str | Mapping[str, str] = "own",
    background: str = "others",
    truncate: bool = False,
) -> np.ndarray:
    """Encodes the names of classes by CLIP's text tower.

    With the defaults a prompt is the bare name and the background is "others", as SAZS
    (Liu et al. 2023) has it; its authors do this anew for each image of each step.

    Args:
        names: of the classes, in train-id order.
        weights: a published file of CLIP, OpenAI's .pt or Hugging Face's, of both
            towers or of the text's alone; $VARIABLES and ~ are expanded.
        tower: a key of `SHAPES` that the file must be of; "" for any. The text towers
            of ViT-B/32 and B/16 are told apart by the image tower beside them.
        templates: with {} in the place of the name, or a key of `prompts.TEMPLATES`.
            Of several, the class has the mean of its unit vectors, made a unit vector.
        prompt_names: how names are spelt; see `prompts.spell`.
        background: what is asked for the class "background".
        truncate: cuts prompts of more than 77 tokens.

    Returns:
        float32 [C, E], not writeable: with one template of the length that CLIP gives,
        about 10; with several of length 1.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file holds no text tower of CLIP or another than `tower`, a
            prompt is too long, or templates or spelling cannot be followed.
    """
    texts = prompts.fill(
        prompts.spell(names, spelling=prompt_names, background=background),
        prompts.choose_templates(templates),
    )
    table = embed(load_tower(weights, tower=tower), texts, truncate=truncate)
    logging.info(
        "text table: %d classes, %d prompts such as %r, vectors of %d numbers from %s",
        len(texts),
        sum(map(len, texts)),
        texts[-1][0],
        table.shape[1],
        weights,
    )
    return table


def embed(
    tower: Tower, texts: Sequence[Sequence[str]], *, truncate: bool = False
) -> np.ndarray:
    """Encodes the prompts of each class in one compiled call; see `encode`.

    Args:
        tower: of `load_tower`.
        texts: of each class its prompts, as many for all.
        truncate: cuts long ones.

    Returns:
        float32 [C, E], not writeable.
    """
    rows = [
        clip_tokenizer.tokenize(
            row, context_length=tower.network.context_length, truncate=truncate
        )
        for row in texts
    ]
    tokens = np.stack(rows)  # [C, T, L]
    # Nothing after the end of a text, its largest id, counts: that is cut off.
    longest = 1 + int(np.max(np.argmax(tokens, axis=-1)))
    table = _table(tower.network, tower.params, tokens[:, :, :longest])
    return frozen(np.asarray(table))


def load_tower(weights: str, *, tower: str = "") -> Tower:
    """Reads a text tower, of any size, from a published file.

    Args:
        weights: path of the file.
        tower: a key of `SHAPES` that it must be of; "" for any.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it holds no text tower of CLIP, or another.
    """
    path = config.expand(os.fspath(weights))
    if tower and tower not in SHAPES:
        raise ValueError(f"tower={tower!r} is none{config.suggest(tower, SHAPES)}")
    tensors = readers.read(path)
    shape, network = recognise(tensors, path)
    model = choose(shape, tower, path)
    text = {k: v for k, v in tensors.items() if not k.startswith(_IMAGE_TOWER)}
    tokens = jax.ShapeDtypeStruct((1, 1), jnp.int32)
    blank = jax.eval_shape(network.init, jax.random.key(0), tokens)["params"]
    params, _, _ = load.fill(text, network, blank, {}, source=path)
    return Tower(model, network, params)


def recognise(tensors: Mapping[str, np.ndarray], path: str) -> tuple[Shape, ClipText]:
    """Finds what kind of CLIP a file holds, by its arrays.

    Args:
        tensors: by published name.
        path: of the file, for messages.

    Raises:
        ValueError: if it holds no text tower that our tokens are for.
    """
    tokens, positions, projection = (
        _first(tensors, names) for names in (_TOKENS, _POSITIONS, _PROJECTION)
    )
    blocks = {match[1] for name in tensors if (match := _BLOCK.match(name))}
    if not (tokens and positions and projection and blocks):
        raise ValueError(
            f"{path} holds no text tower of CLIP, by OpenAI's names or Hugging Face's: "
            f"its {len(tensors)} names begin with {', '.join(sorted(tensors)[:4])}. "
            "Give the file of a whole CLIP, or of CLIPTextModelWithProjection"
        )
    vocabulary, width = tokens
    if vocabulary != len(clip_tokenizer.vocabulary().ids):
        raise ValueError(
            f"{path} is of a vocabulary of {vocabulary} tokens, and CLIP's has "
            f"{len(clip_tokenizer.vocabulary().ids)}: it is of another tokenizer"
        )
    # OpenAI's projection is applied from the right, a linear layer's from the left.
    embedding_dim = projection["text_projection" in tensors]
    network = ClipText(
        width=width,
        depth=len(blocks),
        num_heads=max(width // HEAD_WIDTH, 1),
        embedding_dim=embedding_dim,
        context_length=positions[0],
        vocabulary=vocabulary,
    )
    patches = _first(tensors, _PATCHES) or (0,)
    image_positions = _first(tensors, _IMAGE_POSITIONS) or (0,)
    shape = Shape(width, len(blocks), embedding_dim, patches[-1], image_positions[0])
    return shape, network


def choose(shape: Shape, tower: str, path: str) -> str:
    """Names the model of a file, and refuses one that was not asked for.

    Args:
        shape: of the file.
        tower: that was asked for; "" for any.
        path: for messages.

    Returns:
        A key of `SHAPES`; "" if the file may be of several, or of none.

    Raises:
        ValueError: if it is not `tower`.
    """
    possible = [name for name, known in SHAPES.items() if _may_be(shape, known)]
    if tower and tower not in possible:
        beside = f" beside image patches of {shape.patch} pixels" * bool(shape.patch)
        raise ValueError(
            f"{path} holds {' or '.join(possible) or 'another CLIP'} (width "
            f"{shape.width}, {shape.depth} blocks, {shape.embedding_dim} "
            f"numbers{beside}), and tower={tower!r} is asked for: give that model's "
            "file, or change tower"
        )
    return tower or (possible[0] if len(possible) == 1 else "")


@functools.partial(jax.jit, static_argnums=0)
def _table(
    network: ClipText, params: Mapping[str, Any], tokens: jax.Array
) -> jax.Array:
    """Encodes tokens [C, T, L] to float32 [C, E], some prompts at a time."""
    num_classes, num_templates, length = tokens.shape
    count = num_classes * num_templates
    batch = min(count, BATCH)
    padded = math.ceil(count / batch) * batch
    rows = jnp.zeros((padded, length), jnp.int32)
    rows = rows.at[:count].set(tokens.reshape(count, length))
    features = jax.lax.map(
        lambda some: network.apply({"params": params}, some),
        rows.reshape(-1, batch, length),
    )
    features = features.reshape(padded, -1)[:count]
    features = features.reshape(num_classes, num_templates, -1)
    if num_templates == 1:
        return features[:, 0]
    return _unit(jnp.mean(_unit(features), axis=1))


def _unit(vectors: jax.Array) -> jax.Array:
    return vectors / jnp.linalg.norm(vectors, axis=-1, keepdims=True)


def _may_be(shape: Shape, known: Shape) -> bool:
    """Whether what is known of a file agrees with a model."""
    return all(ours in (theirs, 0) for ours, theirs in zip(shape, known, strict=True))


def _first(tensors: Mapping[str, np.ndarray], names: Sequence[str]) -> tuple[int, ...]:
    """The shape of the first of some arrays that is there; () if none is."""
    return next((np.shape(tensors[name]) for name in names if name in tensors), ())
