"""How many anchors the batches of the shipped configs have."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxseg import initialization
from jaxseg.data import inputs
from jaxseg.ops.resize import resize_nearest
from tests.methods.pico.test_without_contrast import load
from tests.test_train import build


def anchors_of_batches(config, num_batches):
    """Mean number of pairs per image, and of anchors per batch."""
    config = config | {"num_devices": 1}
    method, mesh = build(config)
    state = initialization.describe(config, method, mesh)
    image = jax.ShapeDtypeStruct((1, *config["data"]["crop"], 3), jnp.uint8)
    _, embeddings = jax.eval_shape(
        lambda *args: method.forward(*args, rng=jax.random.key(0))[0],
        *(state.params, state, image),
    )
    stream = inputs.training_batches(config, inputs.make_dataset(config), start_step=0)
    found = []
    for _ in range(num_batches):
        labels = resize_nearest(next(stream)["label"], embeddings.shape[1:3])
        anchors, pairs = method.choose_anchors(
            labels, np.zeros_like(labels), jax.random.key(0)
        )
        found.append((pairs.qualified.mean(), (anchors.labels >= 0).sum()))
    stream.close()
    per_pair, num_anchors = np.mean(found, axis=0)
    return method.labels.num_classes * per_pair, num_anchors


def test_a_camvid_batch_has_anchors_of_four_classes_an_image(data_root):
    config = load("pico_camvid")
    config["data"]["root"] = str(data_root / "camvid")
    per_image, num_anchors = anchors_of_batches(config, 8)
    assert per_image >= 4 and num_anchors > 400


def test_a_quickstart_batch_has_anchors_of_four_classes_an_image():
    per_image, num_anchors = anchors_of_batches(load("quickstart"), 1)
    assert per_image >= 4 and num_anchors > 300
