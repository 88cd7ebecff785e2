"""CLIP's text tower: OpenAI's names and those of Hugging Face.

Files of the whole CLIP serve too; their image tower is left out.
"""

from jaxseg.pretrained.keymap import KeyMap, Rule, linear_rules, norm_rules

OURS = r"transformer/block\1"
OPENAI_BLOCK = r"transformer\.resblocks\.(\d+)"
HUGGING_FACE_BLOCK = r"text_model\.encoder\.layers\.(\d+)"

KEY_MAPS = (
    KeyMap(
        title="OpenAI CLIP text",
        rules=(
            Rule(r"token_embedding\.weight", "token_embedding/embedding"),
            Rule("positional_embedding", "positional_embedding"),
            *norm_rules(rf"{OPENAI_BLOCK}\.ln_1", f"{OURS}/norm1"),
            Rule(
                rf"{OPENAI_BLOCK}\.attn\.in_proj_weight",
                f"{OURS}/attention/qkv/kernel",
            ),
            Rule(rf"{OPENAI_BLOCK}\.attn\.in_proj_bias", f"{OURS}/attention/qkv/bias"),
            *linear_rules(rf"{OPENAI_BLOCK}\.attn\.out_proj", f"{OURS}/attention/out"),
            *norm_rules(rf"{OPENAI_BLOCK}\.ln_2", f"{OURS}/norm2"),
            *linear_rules(rf"{OPENAI_BLOCK}\.mlp\.c_fc", f"{OURS}/mlp/fc1"),
            *linear_rules(rf"{OPENAI_BLOCK}\.mlp\.c_proj", f"{OURS}/mlp/fc2"),
            *norm_rules("ln_final", "norm"),
            Rule("text_projection", "projection/matrix"),
        ),
        ignored=(
            r"visual\..*",
            "logit_scale",
            # Numbers that the authors' compiled files carry as arrays.
            "input_resolution|context_length|vocab_size",
            rf"({OPENAI_BLOCK}\.)?attn_mask",
        ),
    ),
    KeyMap(
        title="Hugging Face CLIP text",
        rules=(
            Rule(
                r"text_model\.embeddings\.token_embedding\.weight",
                "token_embedding/embedding",
            ),
            Rule(
                r"text_model\.embeddings\.position_embedding\.weight",
                "positional_embedding",
            ),
            *norm_rules(rf"{HUGGING_FACE_BLOCK}\.layer_norm1", f"{OURS}/norm1"),
            *(
                Rule(
                    rf"{HUGGING_FACE_BLOCK}\.self_attn\.{part}_proj\.{theirs}",
                    f"{OURS}/attention/qkv/{ours}[{index}/3]",
                )
                for index, part in enumerate("qkv")
                for theirs, ours in (("weight", "kernel"), ("bias", "bias"))
            ),
            *linear_rules(
                rf"{HUGGING_FACE_BLOCK}\.self_attn\.out_proj", f"{OURS}/attention/out"
            ),
            *norm_rules(rf"{HUGGING_FACE_BLOCK}\.layer_norm2", f"{OURS}/norm2"),
            *linear_rules(rf"{HUGGING_FACE_BLOCK}\.mlp\.(fc[12])", rf"{OURS}/mlp/\2"),
            *norm_rules(r"text_model\.final_layer_norm", "norm"),
            *linear_rules("text_projection", "projection"),
        ),
        ignored=(
            r"vision_model\..*",
            r"visual_projection\..*",
            "logit_scale",
            r"text_model\.embeddings\.position_ids",
        ),
    ),
)
