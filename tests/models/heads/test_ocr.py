import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.models.backbones.hrnet import HRNet
from jaxseg.models.backbones.resnet import ResNet
from jaxseg.models.heads.fcn import FCN
from jaxseg.models.heads.ocr import OCR, ContextAttention, class_contexts
from jaxseg.models.heads.projection import Projection
from jaxseg.models.segmentor import Segmentor
from tests.models.fill import filled, num_parameters


def normal(*shape):
    rng = np.random.default_rng(sum(shape))
    return jnp.asarray(rng.normal(size=shape), jnp.float32)


# Counted on the official modules: C = 19 and C = 150.
@pytest.mark.parametrize(
    "num_classes, alone, projected",
    [(19, 74_522_182, 75_227_318), (150, 74_683_836, 75_388_972)],
)
def test_parameters_on_hrnet_are_the_published_ones(num_classes, alone, projected):
    joined = dict(stages=(0, 1, 2, 3))
    network = Segmentor(
        HRNet(48),
        OCR(**joined),
        num_classes,
        auxiliary=FCN(720, use_bias=True, **joined),
    )
    count = num_parameters(network)
    projection = num_parameters(Projection(), jnp.zeros((1, 2, 2, 720)))
    assert (count, count + projection) == (alone, projected)


@pytest.mark.parametrize("num_classes, count", [(19, 57_988_838), (150, 58_123_244)])
def test_parameters_on_resnet101_are_the_published_ones(num_classes, count):
    network = Segmentor(
        ResNet(101, output_stride=8, deep_stem=True),
        OCR(),
        num_classes,
        auxiliary=FCN(512, stages=(-2,), use_bias=True, dropout=0.05),
    )
    assert num_parameters(network) == count


def test_a_class_is_described_by_its_pixels():
    pixels = normal(1, 2, 3, 4)
    one_pixel = jnp.full((2, 3), -1e4).at[1, 2].set(0.0)
    nowhere = jnp.full((2, 3), -1e4)
    classes = jnp.stack([one_pixel, nowhere], axis=-1)[None]
    first, second = class_contexts(pixels, classes)[0]
    np.testing.assert_allclose(first, pixels[0, 1, 2], rtol=1e-6)
    np.testing.assert_allclose(second, pixels[0].mean((0, 1)), rtol=1e-5)


def test_contexts_are_softmaxes_over_the_picture():
    pixels, classes = normal(2, 3, 4, 5), normal(2, 3, 4, 6)
    contexts = class_contexts(pixels, classes)
    for b in range(2):
        for c in range(6):
            weights = np.exp(classes[b, :, :, c])
            expected = (weights[..., None] * pixels[b]).sum((0, 1)) / weights.sum()
            np.testing.assert_allclose(contexts[b, c], expected, rtol=1e-4)


def test_the_order_of_the_classes_does_not_matter():
    pixels, contexts = normal(2, 3, 4, 6), normal(2, 5, 6)
    attention = ContextAttention(4)
    variables = filled(attention, pixels, contexts, train=False)
    order = jnp.asarray([3, 0, 4, 1, 2])
    a = attention.apply(variables, pixels, contexts, train=False)
    b = attention.apply(variables, pixels, contexts[:, order], train=False)
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def stages():
    return normal(2, 8, 10, 6), normal(2, 4, 5, 8)


def test_logits_of_a_finer_stage_are_shrunk_to_the_features():
    head, classes = OCR(6, 4, dropout=0.0), normal(2, 8, 10, 3)
    variables = filled(head, stages(), classes, train=False)
    assert head.apply(variables, stages(), classes, train=False).shape == (2, 4, 5, 6)


def gradients(head):
    """Of all parameters, and of the auxiliary logits."""
    classes = normal(2, 4, 5, 3)
    variables = filled(head, stages(), classes, train=False)

    def loss(params, classes):
        state = {**variables, "params": params}
        y, _ = head.apply(state, stages(), classes, train=True, mutable=["batch_stats"])
        return jnp.mean(y**2 * jnp.arange(y.shape[-1]))

    return jax.jit(jax.grad(loss, argnums=(0, 1)))(variables["params"], classes)


def test_gradients_are_finite_and_reach_the_auxiliary_logits():
    params, classes = gradients(OCR(6, 4, attention_bias=False, dropout=0.0))
    for leaf in jax.tree.leaves((params, classes)):
        assert jnp.isfinite(leaf).all()
    assert jnp.any(classes != 0)


def test_dropout_blanks_whole_channels():
    head, classes = OCR(64, 4, dropout=0.5), normal(2, 4, 5, 3)
    variables = filled(head, stages(), classes, train=False)
    y, _ = head.apply(
        variables,
        stages(),
        classes,
        train=True,
        mutable=["batch_stats"],
        rngs={"dropout": jax.random.key(0)},
    )
    blank = jnp.all(y == 0, axis=(1, 2))
    assert 0.35 < blank.mean() < 0.65
    assert jnp.any(blank[0] != blank[1])
