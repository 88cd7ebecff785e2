"""The network's values are compared with Hugging Face's beside its key map."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.models.backbones.resnet import ResNet
from jaxseg.models.backbones.tiny import Tiny
from jaxseg.models.heads.maskformer import MaskFormerDecoder, PixelDecoder, class_map
from jaxseg.models.segmentor import Segmentor
from tests.models.fill import filled, num_parameters, same_shapes, shapes_of

QUERIES, CLASSES, LAYERS = 6, 3, 2
RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 256, (2, 33, 49, 3)).astype(np.float32)


def segmentor(remat=False, dropout=0.0, dtype="float32"):
    shared = dict(remat=remat, dtype=dtype)
    decoder = MaskFormerDecoder(
        QUERIES,
        width=16,
        depth=LAYERS,
        num_heads=2,
        hidden=24,
        dropout=dropout,
        **shared,
    )
    backbone = Tiny(widths=(4, 8, 12), depths=(0, 0, 0), dtype=dtype)
    pyramid = PixelDecoder(16, mask_features=8, num_groups=4, **shared)
    return Segmentor(backbone, pyramid, CLASSES, decoder=decoder, dtype=dtype)


@pytest.fixture(scope="module")
def variables():
    return filled(segmentor(), IMAGE, train=False)


def run(model, variables, *, train, keys=(None,)):
    """The outputs in evaluation or training, once for each key of the dropout."""

    @jax.jit
    def outputs(variables, image, key):
        rngs = None if key is None else {"dropout": key}
        return model.apply(
            variables, image, train=train, mutable=["batch_stats"], rngs=rngs
        )[0]

    every = [outputs(variables, IMAGE, key) for key in keys]
    return every if len(every) > 1 else every[0]


# Hugging Face's module with these ResNets; the paper rounds to 41M and 60M.
@pytest.mark.parametrize(
    ("depth", "num_classes", "count"),
    [(50, 19, 41_274_196), (50, 150, 41_307_863), (101, 150, 60_299_991)],
)
def test_parameter_count_is_the_published_one(depth, num_classes, count):
    parts = ResNet(depth, output_stride=32), PixelDecoder(), num_classes
    model = Segmentor(*parts, decoder=MaskFormerDecoder())
    assert num_parameters(model) == count


def test_sizes_of_what_the_queries_say(variables):
    for train, layers in ((False, 1), (True, LAYERS)):
        outputs = run(segmentor(), variables, train=train)
        queries = outputs.queries
        assert queries.class_logits.shape == (layers, 2, QUERIES, CLASSES + 1)
        assert queries.mask_logits.shape == (layers, 2, QUERIES, 17, 25)
        assert outputs.features.shape == (2, 17, 25, 8)
        assert outputs.coarse.shape == (2, 17, 25, CLASSES)
        assert outputs.logits.shape == (2, 33, 49, CLASSES)


def test_the_order_of_the_queries_does_not_matter(variables):
    order = np.array([3, 1, 5, 0, 2, 4])
    params = jax.tree.map(lambda leaf: leaf, variables["params"])
    transformer = params["decoder"]["transformer"]
    transformer["query_embed"] = transformer["query_embed"][order]
    plain = run(segmentor(), variables, train=False)
    other = run(segmentor(), {**variables, "params": params}, train=False)
    masks = plain.queries.mask_logits[:, :, order]
    np.testing.assert_allclose(other.queries.mask_logits, masks, atol=1e-4)
    np.testing.assert_allclose(other.logits, plain.logits, atol=1e-5)


def test_class_map_by_hand():
    classes = np.log([[[1.0, 2.0, 1.0], [4.0, 0.5, 0.5]]])  # [B, Q, C + 1]
    masks = RNG.normal(size=(1, 2, 2, 3))
    wanted = np.zeros((1, 2, 3, 2))
    for share, mask in zip(([0.25, 0.5], [0.8, 0.1]), masks[0], strict=True):
        for y, x in np.ndindex(2, 3):
            wanted[0, y, x] += np.array(share) / (1 + np.exp(-mask[y, x]))
    ours = class_map(jnp.asarray(classes), jnp.asarray(masks), (2, 3))
    np.testing.assert_allclose(ours, wanted, rtol=1e-5)


def test_masks_are_enlarged_before_the_sigmoid():
    masks = jnp.array([[[[-8.0, 8.0]]]])  # one query, two pixels
    ours = class_map(jnp.array([[[30.0, 0.0]]]), masks, (1, 4))
    wanted = jax.nn.sigmoid(jnp.array([-8.0, -4.0, 4.0, 8.0]))
    np.testing.assert_allclose(ours[0, 0, :, 0], wanted, rtol=1e-5)


@pytest.mark.slow
def test_remat_changes_neither_parameters_nor_gradients(variables):
    """With dropout, whose draws the backward pass has to repeat."""

    def loss(model):
        def scalar(params):
            outputs, _ = model.apply(
                {**variables, "params": params},
                IMAGE,
                train=True,
                mutable=["batch_stats"],
                rngs={"dropout": jax.random.key(1)},
            )
            queries = outputs.queries
            masks = jnp.mean(jnp.square(queries.mask_logits))
            return masks + jnp.mean(jnp.square(queries.class_logits))

        return jax.jit(jax.value_and_grad(scalar))(variables["params"])

    assert same_shapes(shapes_of(segmentor(remat=True), IMAGE), variables)
    (plain, grads), (other, again) = (
        loss(segmentor(remat, dropout=0.3)) for remat in (False, True)
    )
    np.testing.assert_allclose(other, plain, rtol=1e-5)
    for path, grad in jax.tree.leaves_with_path(grads):
        assert np.all(np.isfinite(grad)), path
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5),
        grads,
        again,
    )


def test_dropout_needs_a_key_only_in_training(variables):
    model = segmentor(dropout=0.5)
    plain = run(segmentor(), variables, train=False).logits
    np.testing.assert_array_equal(run(model, variables, train=False).logits, plain)
    keys = [jax.random.key(seed) for seed in (0, 1)]
    one, other = run(model, variables, train=True, keys=keys)
    assert not np.allclose(one.logits, other.logits)


def test_half_precision_keeps_parameters_and_logits_in_float32(variables):
    model = segmentor(dtype="bfloat16")
    dtypes = {leaf.dtype for leaf in jax.tree.leaves(shapes_of(model, IMAGE))}
    assert dtypes == {jnp.dtype("float32")}
    outputs = run(model, variables, train=False)
    assert outputs.features.dtype == jnp.bfloat16
    wanted = run(segmentor(), variables, train=False)
    for part in ("class_logits", "mask_logits"):
        ours, exact = (getattr(o.queries, part) for o in (outputs, wanted))
        assert ours.dtype == jnp.float32
        assert np.max(np.abs(ours - exact)) < 0.1 * np.max(np.abs(exact))
