"""Values are compared with torch in tests/pretrained/keymaps/test_resnet.py."""

import jax.numpy as jnp
import numpy as np

from jaxseg.models.backbones.tiny import Tiny
from jaxseg.models.heads.deeplabv2 import DeepLabV2, DeepLabV2Classifier
from jaxseg.models.heads.identity import Identity
from jaxseg.models.layers import Conv
from jaxseg.models.segmentor import Segmentor
from tests.models.fill import filled, num_parameters, shapes_of

STAGES = (
    jnp.zeros((2, 9, 11, 3)),
    jnp.asarray(np.random.default_rng(0).normal(size=(2, 5, 6, 4)), jnp.float32),
)


def test_is_the_sum_of_convolutions_of_the_last_stage():
    head = DeepLabV2(features=7, rates=(1, 2))
    variables = filled(head, STAGES, train=False)
    wanted = sum(
        Conv(7, 3, dilation=rate, use_bias=True).apply(
            {"params": variables["params"][f"rate_{index}"]}, STAGES[-1]
        )
        for index, rate in enumerate((1, 2))
    )
    ours = head.apply(variables, STAGES, train=False)
    np.testing.assert_allclose(ours, wanted, atol=1e-5)


def test_as_a_decoder_the_sum_is_the_logits():
    model = Segmentor(
        Tiny((4, 8), (1, 1)), Identity(), 5, DeepLabV2Classifier(rates=(1, 2))
    )
    image = jnp.zeros((1, 17, 20, 3))
    variables = filled(model, image, train=False)
    assert set(variables["params"]) == {"backbone", "decoder"}
    outputs = model.apply(variables, image, train=False)
    assert outputs.logits.shape == (1, 17, 20, 5)
    assert outputs.coarse.shape == (1, 5, 5, 5)
    assert outputs.features.shape == (1, 5, 5, 8)
    assert shapes_of(model, image)["params"]["decoder"]["rate_1"]["bias"].shape == (5,)


# ASPP of SR's release for 21 classes.
def test_parameter_count_is_the_releases():
    assert num_parameters(DeepLabV2(21), (jnp.zeros((1, 3, 3, 2048)),)) == 1_548_372
