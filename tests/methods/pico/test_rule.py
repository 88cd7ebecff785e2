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
        dict(semi_hard_band=(0.1, 0.5), mode="hardest"),
    ],
)
def test_a_wrong_value_is_named(wrong):
    name, *_ = wrong
    with pytest.raises(ValueError, match=name):
        ExampleRule(**wrong)


def test_a_fraction_is_a_band_from_the_hardest_on():
    assert ExampleRule(semi_hard_fraction=0.3).band == (0.0, 0.3)
    assert ExampleRule(semi_hard_band=(0.1, 0.5)).band == (0.1, 0.5)


def test_less_than_a_column_a_class_is_refused():
    with pytest.raises(ValueError, match="bank_columns is 3 for 4 classes"):
        ExampleRule(bank_columns=3).check_columns(4)
    for number in (0, 4):
        ExampleRule(bank_columns=number).check_columns(4)


def test_only_all_examples_without_mixes_need_no_choice():
    no_mixes = dict(num_mixed_negatives=0, num_anchor_mixes=0)
    assert not ExampleRule(mode="all", **no_mixes).chooses
    assert ExampleRule(mode="all").chooses and ExampleRule(**no_mixes).chooses
