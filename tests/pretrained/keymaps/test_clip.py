import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.models.text.clip import ClipText
from jaxseg.pretrained import load, readers
from tests.pretrained.published import randomise, relative_difference

VOCABULARY, CONTEXT, DEPTH = 50, 12, 3
MODEL = ClipText(24, DEPTH, 4, 24, CONTEXT, VOCABULARY)


@pytest.fixture(scope="module")
def clip(transformers, tmp_path_factory):
    """Hugging Face's CLIP, small, with both towers, and the file that it saves."""
    import torch

    torch.manual_seed(0)
    layers = {"num_hidden_layers": DEPTH, "num_attention_heads": 4}
    text = transformers.CLIPTextConfig(
        vocab_size=VOCABULARY,
        hidden_size=24,
        intermediate_size=96,
        max_position_embeddings=CONTEXT,
        eos_token_id=VOCABULARY - 1,
        **layers,
    )
    vision = transformers.CLIPVisionConfig(
        hidden_size=24, intermediate_size=96, image_size=8, patch_size=4, **layers
    )
    # As wide as the text: a projection that is the wrong way round shows in no shape.
    config = transformers.CLIPConfig(
        text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=24
    )
    model = randomise(transformers.CLIPModel(config)).eval()
    folder = tmp_path_factory.mktemp("clip")
    model.save_pretrained(folder)
    return model, readers.read(folder / "model.safetensors")


@pytest.fixture(scope="module")
def tokens():
    """Texts of several lengths, the end of text after them, then zeros."""
    tokens = np.random.default_rng(0).integers(1, VOCABULARY - 1, (5, CONTEXT))
    for row, length in enumerate((2, 5, 8, 11, 1)):
        tokens[row, length] = VOCABULARY - 1
        tokens[row, length + 1 :] = 0
    return tokens.astype(np.int32)


def filled(tensors, tokens):
    shapes = jax.eval_shape(MODEL.init, jax.random.key(0), tokens)["params"]
    blank = jax.tree.map(lambda leaf: np.full(leaf.shape, np.nan, np.float32), shapes)
    params, _, report = load.fill(tensors, MODEL, blank, {}, source="a file")
    return params, report


def in_openai_names(tensors):
    """The text tower of a Hugging Face file as the authors name it, and a picture's."""
    replacements = (
        ("text_model.embeddings.token_embedding", "token_embedding"),
        ("text_model.embeddings.position_embedding.weight", "positional_embedding"),
        ("text_model.encoder.layers", "transformer.resblocks"),
        ("text_model.final_layer_norm", "ln_final"),
        ("self_attn", "attn"),
        ("layer_norm", "ln_"),
        ("mlp.fc1", "mlp.c_fc"),
        ("mlp.fc2", "mlp.c_proj"),
    )
    renamed = {"visual.proj": np.zeros((2, 2), np.float32)}
    for name, tensor in tensors.items():
        if ".k_proj" in name or ".v_proj" in name or name.startswith("vis"):
            continue
        if ".q_proj" in name:
            parts = [tensors[name.replace("q_proj", f"{part}_proj")] for part in "qkv"]
            name = name.replace("q_proj.", "in_proj_")
            tensor = np.concatenate(parts)
        if name == "text_projection.weight":
            name, tensor = "text_projection", tensor.T
        for old, new in replacements:
            name = name.replace(old, new)
        renamed[name] = tensor
    return renamed


def test_features_are_those_of_hugging_face(clip, tokens):
    import torch

    theirs, tensors = clip
    params, report = filled(tensors, tokens)
    assert report.kept == ()
    ours = jax.jit(MODEL.apply)({"params": params}, tokens)
    states = theirs.text_model(torch.tensor(tokens.astype(np.int64)))
    features = theirs.text_projection(states.pooler_output)
    assert relative_difference(ours, features) < 1e-5


def test_the_authors_names_give_the_same_tower(clip, tokens):
    _, tensors = clip
    renamed = in_openai_names(tensors)
    assert renamed["transformer.resblocks.2.attn.in_proj_weight"].shape == (72, 24)
    assert "transformer.resblocks.0.ln_1.weight" in renamed
    params, report = filled(renamed, tokens)
    assert report.kept == ()
    assert report.ignored == ("logit_scale", "visual.proj")
    jax.tree.map(np.testing.assert_array_equal, params, filled(tensors, tokens)[0])


def test_a_tower_of_another_depth_is_refused(clip, tokens):
    _, tensors = clip
    deeper = MODEL.clone(depth=DEPTH + 1)
    params = jax.eval_shape(deeper.init, jax.random.key(0), jnp.asarray(tokens))
    with pytest.raises(ValueError, match="missing in the file: transformer/"):
        load.fill(tensors, deeper, params["params"], {}, source="a file")
