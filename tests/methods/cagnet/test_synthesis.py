import pytest

from jaxseg.methods.cagnet.synthesis import Synthesis


def test_the_defaults_are_published():
    options = Synthesis()
    assert options.interval == (100, 100)
    assert options.features_per_step == 8 * 47 * 47
    assert (options.unseen_rate, options.critic_weight) == (9.0, 0.125)


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(interval=(0, 5)), r"synthesis.interval is \(0, 5\)"),
        (dict(interval=(5, 0)), r"synthesis.interval is \(5, 0\)"),
        (dict(patch=2), "synthesis.patch is 2: give an odd number"),
        (dict(patch=0), "synthesis.patch is 0"),
        (dict(patch_prior="network"), "got 'network'"),
        (dict(patch=5, features_per_step=24), "less than a patch of 5 x 5"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Synthesis(**options)
