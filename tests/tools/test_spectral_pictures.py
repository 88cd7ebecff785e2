"""Pictures of any size through one program, with a network that averages pixels."""

import numpy as np
import pytest

from jaxseg.models.spectral_maps import SpectralMaps
from jaxseg.tools import spectral_pictures
from jaxseg.tools.spectral_pictures import SpectralPictures, fit
from tests.models.test_spectral_maps import NETWORK

MAPS = SpectralMaps(network=NETWORK, stage=0, count=2)


def finder(**fields):
    return SpectralPictures(
        **dict(maps=MAPS, variables={}, side=48, batch_size=2) | fields
    )


def thing(height, width):
    """A red thing on green in the middle; colours to tell nodes apart by."""
    image = np.full((height, width, 3), (20, 200, 30), np.uint8)
    rows = slice(height // 4, height // 4 * 3)
    image[rows, width // 4 : width // 4 * 3] = 250, 20, 20
    return image


IMAGES = [thing(48, 64), thing(96, 60), thing(31, 40)]


@pytest.fixture(scope="module")
def resized():
    return finder()(IMAGES)


def test_the_first_segment_is_the_thing(resized):
    for image, found in zip(IMAGES, resized, strict=True):
        truth = image[..., 0] > 100
        segment = found.segments[..., 0]
        assert segment.shape == image.shape[:2]
        # A node is a ninth of the height, and those at the border are mixed.
        assert (segment & truth).sum() / (segment | truth).sum() > 0.65


def test_the_box_is_around_the_thing(resized):
    for image, found in zip(IMAGES, resized, strict=True):
        height, width, _ = image.shape
        quarters = np.array([width / 4, height / 4, width * 3 / 4, height * 3 / 4])
        assert np.abs(np.array(found.box) - quarters).max() <= max(height, width) / 12


def test_the_long_side_is_resized_and_the_grid_covers_all(resized):
    assert [x.maps.shape for x in resized] == [(9, 12, 2), (12, 8, 2), (9, 12, 2)]
    assert [x.covered for x in resized] == [x.shape[:2] for x in IMAGES]
    assert fit((375, 500), 512, 16) == (384, 512)
    assert fit((5, 500), 512, 16) == (16, 512)


def test_without_resizing_what_is_over_is_cut_off():
    found = finder(side=0, enlargement="nearest")([IMAGES[2]])[0]
    assert found.maps.shape == (7, 10, 2) and found.covered == (28, 40)
    assert found.segments.shape == (31, 40, 2)
    repeated = found.masks.repeat(4, 0).repeat(4, 1)
    np.testing.assert_array_equal(found.segments[:28, :40], repeated)


def test_a_picture_is_the_same_whatever_is_beside_it(resized):
    (alone,) = finder()(IMAGES[2:])
    np.testing.assert_array_equal(alone.segments, resized[2].segments)
    assert alone.box == resized[2].box


def test_a_constant_picture_has_no_segments():
    grey = np.full((40, 50, 3), 128, np.uint8)
    grey[3, 4] += 1  # as a JPEG may have
    one, other = finder(num_regions=3)([grey, IMAGES[0]])
    assert one.box is None and not one.segments.any() and not one.maps.any()
    assert not one.regions.any() and not one.has_structure
    assert other.has_structure and other.regions.max() >= 1


def test_regions_are_enlarged_to_the_picture():
    one_vector = SpectralMaps(network=NETWORK, stage=0, count=1)
    (found,) = finder(maps=one_vector, num_regions=2)([thing(96, 96)])
    truth = thing(96, 96)[..., 0] > 100  # of whole nodes
    np.testing.assert_array_equal(found.enlarge(found.regions), truth)


def test_pictures_that_no_grid_fits_are_refused(monkeypatch):
    with pytest.raises(ValueError, match="8x3 pixels, and a node of the grid 4x4"):
        finder()([thing(3, 8)])
    monkeypatch.setattr(spectral_pictures, "MOST_NODES", 100)
    with pytest.raises(ValueError, match="has 192 nodes of 4x4, more than 100"):
        finder(side=0)([IMAGES[0]])


def test_sides_are_multiples_of_the_stride():
    with pytest.raises(ValueError, match="side 50 and nodes of 4 pixels"):
        finder(side=50)
    assert finder(side=None).canvas_side == 240
    of_eight = SpectralMaps(network=NETWORK, stage=1)
    assert finder(maps=of_eight, side=None).canvas_side == 480
