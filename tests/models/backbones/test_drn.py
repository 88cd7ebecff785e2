import numpy as np
import pytest

from jaxseg.models.backbones.drn import DRN
from jaxseg.models.classifier import ImageClassifier
from tests.models.fill import num_parameters, stage_shapes
from tests.models.gradients import (
    assert_gradients_survive_remat,
    assert_half_precision_is_near,
)

TINY = DRN(22, channels=(2, 2, 4, 4, 4, 4, 4, 4), blocks=(1,) * 8)


def normal(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


# In millions 16.4, 26.5, 35.8 and 54.8, as the authors' table says.
@pytest.mark.parametrize(
    "depth, count",
    [(22, 16_393_752), (38, 26_501_912), (54, 35_809_176), (105, 54_801_304)],
)
def test_parameter_counts_with_classifier_are_the_published_ones(depth, count):
    assert num_parameters(ImageClassifier(DRN(depth))) == count


def test_levels_have_the_published_sizes():
    shapes, dtypes = stage_shapes(DRN(54), (2, 64, 96, 3))
    widths = [shape[-1] for shape in shapes]
    assert widths == [16, 32, 256, 512, 1024, 2048, 512, 512]
    sizes = [(64, 96), (32, 48), (16, 24)] + [(8, 12)] * 5
    assert [shape[1:3] for shape in shapes] == sizes
    assert dtypes == {"float32"}


def test_odd_sizes_round_up():
    shapes, _ = stage_shapes(TINY, (1, 65, 90, 3))
    assert shapes[-1] == (1, 9, 12, 4)


def test_an_unknown_depth_is_refused():
    with pytest.raises(ValueError, match="depth 50"):
        stage_shapes(DRN(50), (1, 32, 32, 3))


@pytest.mark.slow
def test_recomputing_blocks_changes_nothing():
    assert_gradients_survive_remat(TINY, normal(2, 16, 24, 3))


def test_half_precision_is_near_the_truth():
    assert_half_precision_is_near(TINY, normal(1, 32, 40, 3))
