import pytest

from jaxseg.methods.pico.rule import ExampleRule


@pytest.mark.parametrize(
    "wrong",
    [
        dict(mode="soft"),
        dict(mix_pairs="none"),
        dict(semi_hard_fraction=0.0),
        dict(semi_hard_band=(0.5, 0.5)),
        dict(semi_hard_band=(0.5,)),
        dict(num_positives=0),
        dict(bank_columns=-1),
    ],
)
def test_a_wrong_value_is_named(wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=name):
        ExampleRule(**wrong)


def test_a_fraction_is_a_band_from_the_hardest_on():
    assert ExampleRule(semi_hard_fraction=0.3).band == (0.0, 0.3)
    assert ExampleRule(semi_hard_band=(0.1, 0.5)).band == (0.1, 0.5)
