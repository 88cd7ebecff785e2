import copy
import re

import jax
import numpy as np
import pytest

from jaxseg.models.backbones.mit import MiT
from jaxseg.models.heads.segformer import SegFormer
from jaxseg.models.segmentor import Segmentor
from jaxseg.pretrained import load, readers
from tests.pretrained.published import (
    apply,
    loaded,
    randomise,
    relative_difference,
    tensors_of,
    to_torch,
)

B2 = {"widths": (64, 128, 320, 512), "depths": (3, 4, 6, 3)}
C = 19


def segformer(*, features=256, epsilon=1e-5, **backbone):
    backbone = MiT(drop_path=0.0, epsilon=epsilon, **backbone)
    head = SegFormer(features)
    ones = {"mean": (0.0,) * 3, "std": (1.0,) * 3}
    return Segmentor(backbone, head, C, **ones)


def hugging_face(transformers, *, features=256, widths=None, depths=None):
    import torch

    torch.manual_seed(0)
    shape = {"hidden_sizes": widths, "depths": depths} if widths else {}
    config = transformers.SegformerConfig(
        num_labels=C,
        decoder_hidden_size=features,
        drop_path_rate=0.0,
        classifier_dropout_prob=0.0,
        **shape,
    )
    return randomise(transformers.SegformerForSemanticSegmentation(config))


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).normal(size=(2, 65, 97, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def b0(transformers, tmp_path_factory):
    """Hugging Face's B0, and the arrays of the file that it saves."""
    model = hugging_face(transformers)
    folder = tmp_path_factory.mktemp("segformer")
    model.save_pretrained(folder)
    return model, readers.read(folder / "model.safetensors")


def differences(theirs, model, variables, image, modes=(False, True)):
    """Of coarse logits, in evaluation and in training."""
    theirs = copy.deepcopy(theirs)  # training changes its statistics
    found = []
    for train in modes:
        outputs = apply(model, variables, image, train=train)
        logits = theirs.train(train)(to_torch(image)).logits
        found.append(relative_difference(outputs.coarse, logits))
    return found


def test_b0_computes_what_hugging_face_does(b0, image):
    theirs, tensors = b0
    model = segformer()
    variables = loaded(model, tensors, image)
    assert max(differences(theirs, model, variables, image)) < 1e-5


@pytest.mark.slow
def test_b2_computes_what_hugging_face_does(transformers, image):
    theirs = hugging_face(transformers, features=768, **B2)
    small = image[:, :48, :33]
    model = segformer(features=768, **B2)
    variables = loaded(model, tensors_of(theirs), small)
    assert max(differences(theirs, model, variables, small)) < 1e-5


def test_epsilon_is_that_of_the_norms_of_blocks_and_stages(b0, image):
    theirs, tensors = b0
    theirs = copy.deepcopy(theirs)
    chosen = r".*(layernorm_before|layernorm_after|stages\.\d\.layer_norm)"
    for name, module in theirs.named_modules():
        if re.fullmatch(chosen, name):
            module.eps = 0.5
    model = segformer(epsilon=0.5)
    variables = loaded(model, tensors, image)
    assert max(differences(theirs, model, variables, image, modes=(False,))) < 1e-5


# The authors number stages from 1 (written # + 1 here), transformers from 0.
AUTHORS_NAMES = (
    (r"segformer\.encoder\.", "backbone."),
    (r"patch_embeddings\.(\d)\.proj", r"patch_embed#\1.proj"),
    (r"patch_embeddings\.(\d)\.layer_norm", r"patch_embed#\1.norm"),
    (r"block\.(\d)\.", r"block#\1."),
    (r"attention\.self\.query", "attn.q"),
    (r"attention\.self\.sr", "attn.sr"),
    (r"attention\.self\.layer_norm", "attn.norm"),
    (r"attention\.output\.dense", "attn.proj"),
    (r"layer_norm_", "norm"),
    (r"mlp\.dense", "mlp.fc"),
    (r"layer_norm\.(\d)", r"norm#\1"),
    (r"linear_c\.(\d)", r"linear_c#\1"),
    (r"linear_fuse\.weight", "linear_fuse.conv.weight"),
    (r"batch_norm", "linear_fuse.bn"),
    (r"decode_head\.classifier", "decode_head.linear_pred"),
)


def in_authors_names(tensors):
    """A file of Hugging Face as the authors write it."""
    renamed = {}
    for name, tensor in tensors.items():
        if "attention.self.value" in name:
            continue
        if "attention.self.key" in name:
            value = tensors[name.replace("key", "value")]
            name = name.replace("attention.self.key", "attn.kv")
            tensor = np.concatenate([tensor, value])
        for pattern, new in AUTHORS_NAMES:
            name = re.sub(pattern, new, name)
        name = re.sub(r"#(\d)", lambda match: str(int(match[1]) + 1), name)
        renamed[name] = tensor
    unused = {"decode_head.conv_seg.weight": np.ones((C, 256, 1, 1), np.float32)}
    return renamed | unused


def test_the_authors_names_give_the_same_network(b0, image):
    _, tensors = b0
    renamed = in_authors_names(tensors)
    assert renamed["backbone.block2.1.attn.kv.weight"].shape == (128, 64)
    assert "backbone.norm4.weight" in renamed
    assert "decode_head.linear_c1.proj.weight" in renamed
    published = loaded(segformer(), tensors, image)
    jax.tree.map(
        np.testing.assert_array_equal, loaded(segformer(), renamed, image), published
    )


def test_names_of_the_modules_of_transformers_give_the_same_network(b0, image):
    theirs, tensors = b0
    published = loaded(segformer(), tensors, image)
    jax.tree.map(
        np.testing.assert_array_equal,
        loaded(segformer(), tensors_of(theirs), image),
        published,
    )


@pytest.mark.parametrize("publisher", ["hugging_face", "authors"])
def test_a_classifier_of_imagenet_fills_the_backbone(b0, image, publisher):
    _, tensors = b0
    model = segformer()
    classifier = {"classifier.weight": np.ones((1000, 256), np.float32)}
    if publisher == "authors":
        tensors = in_authors_names(tensors)
        classifier = {"head.weight": classifier["classifier.weight"]}
    backbone = {
        name.removeprefix("backbone."): tensor
        for name, tensor in tensors.items()
        if not name.startswith("decode_head")
    }
    variables = jax.tree.map(np.zeros_like, loaded(model, tensors, image))
    params, _, report = load.fill(
        backbone | classifier, model, **variables, source="a file"
    )
    assert report.ignored == tuple(classifier)
    assert {path.split("/")[1] for path in report.kept} == {"head", "classifier"}
    assert all(np.any(leaf) for leaf in jax.tree.leaves(params["backbone"]))
