import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.models.backbones.vit import ViT
from tests.models.fill import (
    filled,
    num_parameters,
    same_shapes,
    shapes_of,
    stage_shapes,
)

TI = dict(width=192, num_heads=3)
B = dict(width=768, num_heads=12)
L = dict(width=1024, depth=24, num_heads=16)
SMALL = dict(patch_size=4, width=12, depth=2, num_heads=3, image_grid=(3, 3))
IMAGE = np.random.default_rng(0).normal(size=(2, 13, 18, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def variables():
    return varied(ViT(**SMALL))


def varied(model):
    """Variables none of which is zero, so that none can go unnoticed."""
    rng = np.random.default_rng(1)
    variables = filled(model, IMAGE, train=False)
    return jax.tree.map(
        lambda x: np.float32(x + 0.1 * rng.normal(size=x.shape)),
        jax.tree.map(np.asarray, variables),
    )


def run(model, variables, image=IMAGE, **options):
    """Compiles and applies a model."""
    if "method" not in options:
        options = dict(train=False) | options
    return jax.jit(functools.partial(model.apply, **options))(variables, image)


# timm's without their classifiers; DINO's are S and B.
@pytest.mark.parametrize(
    "fields, count",
    [
        (TI, 5_524_416),
        (dict(), 21_665_664),
        (dict(distillation_token=True), 21_666_432),
        (dict(patch_size=8, image_grid=(28, 28)), 21_670_272),
        (B, 85_798_656),
        (B | dict(patch_size=8, image_grid=(28, 28)), 85_807_872),
        (L, 303_301_632),
    ],
)
def test_parameter_count_is_the_published_one(fields, count):
    assert num_parameters(ViT(**fields)) == count


@pytest.mark.parametrize(
    "fields, shapes",
    [
        (dict(), [(2, 3, 4, 12)]),
        (dict(pad=True), [(2, 4, 5, 12)]),
        (dict(taps=(1, 0), final_norm=False), [(2, 3, 4, 12)] * 2),
        (dict(class_token=False), [(2, 3, 4, 12)]),
    ],
)
def test_stages(fields, shapes):
    model = ViT(**SMALL | fields)
    assert stage_shapes(model, IMAGE.shape)[0] == shapes


def test_blocks_after_the_last_tap_are_not_built():
    params = shapes_of(ViT(**SMALL | dict(taps=(0,))), IMAGE)["params"]
    assert "blocks_0" in params
    assert not {"blocks_1", "norm"} & params.keys()


def test_half_precision_keeps_parameters_in_float32():
    model = ViT(**SMALL | dict(dtype="bfloat16"))
    assert stage_shapes(model, IMAGE.shape)[1] == {"bfloat16"}
    dtypes = {leaf.dtype for leaf in jax.tree.leaves(shapes_of(model, IMAGE))}
    assert dtypes == {jnp.dtype("float32")}


def test_recomputing_changes_memory_only(variables):
    def loss(remat, variables):
        (stage,) = ViT(**SMALL, remat=remat).apply(variables, IMAGE, train=True)
        return jnp.mean(stage**3)

    results = []
    for remat in (False, True):
        assert same_shapes(shapes_of(ViT(**SMALL, remat=remat), IMAGE), variables)
        compiled = jax.jit(jax.value_and_grad(functools.partial(loss, remat)))
        results.append(compiled(variables))
    for one, other in zip(*map(jax.tree.leaves, results), strict=True):
        assert np.all(np.isfinite(one))
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("remat", [False, True])
def test_keys_are_what_the_last_block_computes(variables, remat):
    model = ViT(**SMALL, remat=remat)
    _, state = run(model, variables, capture_intermediates=True, mutable=True)
    attention = state["intermediates"]["blocks_1"]["attention"]
    (qkv,) = attention["qkv"]["__call__"]
    keys = run(model, variables, method="keys")
    np.testing.assert_allclose(
        keys.reshape(2, 12, 12), qkv[:, 1:, 12:24], rtol=1e-5, atol=1e-5
    )


def test_keys_need_nothing_else_of_the_last_block(variables):
    last = variables["params"]["blocks_1"]
    kept = {"norm1": last["norm1"], "attention": {"qkv": last["attention"]["qkv"]}}
    broken = {"params": variables["params"] | {"blocks_1": kept}}
    model = ViT(**SMALL)
    wanted = run(model, variables, method="keys")
    np.testing.assert_array_equal(run(model, broken, method="keys"), wanted)


def test_attention_of_the_class_token(variables):
    """Each head's shares are positive, and the class token keeps the rest of 1."""
    model = ViT(**SMALL)
    shares = run(model, variables, method="class_attention")
    assert shares.shape == (2, 3, 4, 3)
    total = np.sum(shares, axis=(1, 2))
    assert np.all(shares > 0) and np.all((total > 0.5) & (total < 1))


def test_tokens_are_the_stage_and_the_class_token(variables):
    model = ViT(**SMALL)
    tokens = run(model, variables, method="tokens")
    (stage,) = run(model, variables)
    assert tokens.shape == (2, 13, 12)
    np.testing.assert_allclose(tokens[:, 1:].reshape(stage.shape), stage, atol=1e-6)


def test_a_padded_image_begins_like_a_cut_one():
    """The patches that are whole in both are embedded alike; attention mixes later."""
    image = IMAGE[:, :12, :16]
    fields = SMALL | dict(depth=1, image_grid=(3, 4))
    variables = varied(ViT(**fields))
    cut = run(ViT(**fields), variables)
    whole = run(ViT(**fields, pad=True), variables, image)
    np.testing.assert_allclose(cut[0], whole[0], atol=1e-6)


def test_adding_the_class_token():
    fields = SMALL | dict(taps=(0,), final_norm=False)
    variables = varied(ViT(**fields))
    (ignored,) = run(ViT(**fields), variables)
    model = ViT(**fields, readout="add")
    (added,) = run(model, variables)
    token = run(model, variables, method="tokens")[:, 0]
    np.testing.assert_allclose(added, ignored + token[:, None, None], atol=1e-5)


def test_drop_path_needs_a_key_only_where_it_drops(variables):
    dropping = ViT(**SMALL, drop_path=0.5)
    (kept,) = run(dropping, variables)
    (plain,) = run(ViT(**SMALL), variables, train=True)
    np.testing.assert_allclose(kept, plain, atol=1e-6)
    with pytest.raises(Exception, match="dropout"):
        dropping.apply(variables, IMAGE, train=True)
    rngs = {"dropout": jax.random.key(0)}
    (dropped,) = run(dropping, variables, train=True, rngs=rngs)
    assert np.max(np.abs(dropped - plain)) > 0.01


@pytest.mark.parametrize(
    "fields, message",
    [
        (dict(taps=(2,)), r"taps \(2,\) of 2 blocks"),
        (dict(position_resize="nearest"), "'nearest' is none of"),
        (dict(readout="concatenate"), "'concatenate' is none of"),
        (dict(readout="add", class_token=False), "'add' needs a class_token"),
        (dict(patch_size=16), "13 x 18 has no patch of 16"),
    ],
)
def test_mistakes_are_named(fields, message):
    with pytest.raises(ValueError, match=message):
        shapes_of(ViT(**SMALL | fields), IMAGE)
