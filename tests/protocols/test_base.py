import jax.numpy as jnp
import numpy as np

from jaxseg.protocols.base import align, cover, extend
from jaxseg.protocols.whole import Whole
from tests.protocols.conftest import on_canvases, pictures


def test_everything_around_a_picture_is_one_colour():
    images = pictures([(3, 4), (5, 2)])
    batch, sizes = on_canvases(images, (6, 7))
    covered = np.asarray(cover(jnp.asarray(batch), jnp.asarray(sizes), (1, 2, 3)))
    assert covered.dtype == np.uint8
    for canvas, image in zip(covered, images, strict=True):
        height, width = image.shape[:2]
        np.testing.assert_array_equal(canvas[:height, :width], image)
        assert (canvas[height:] == (1, 2, 3)).all()
        assert (canvas[:, width:] == (1, 2, 3)).all()


def test_canvases_grow_at_the_bottom_and_on_the_right():
    image = jnp.zeros((2, 3, 4, 3), jnp.uint8)
    larger = np.asarray(extend(image, (5, 4), (9, 9, 9)))
    assert larger.shape == (2, 5, 4, 3) and not larger[:, :3].any()
    assert (larger[:, 3:] == 9).all()
    assert extend(image, (2, 2), (9, 9, 9)) is image
    assert align(17, 8) == 24 and align(16, 8) == 16


def test_class_ids_are_those_of_the_largest_logits(network):
    batch, sizes = on_canvases(pictures([(8, 9)]), (8, 9))
    logits = Whole()(network, batch, sizes, fill=(0, 0, 0))
    ids = Whole().class_ids(network, batch, sizes, fill=(0, 0, 0))
    np.testing.assert_array_equal(ids, np.argmax(logits, axis=-1))


def test_protocols_of_equal_settings_are_one_static_argument():
    assert hash(Whole(multiple=8)) == hash(Whole(multiple=8))
    assert Whole(multiple=8) != Whole() and Whole().fit(np.ones((1, 2))) == Whole()
