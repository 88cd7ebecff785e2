"""What PiCo's log says of a contrast that teaches nothing, and why."""

import logging

import pytest

from jaxseg import train
from tests.methods.pico.test_method import pico_config
from tests.test_train import build


def test_a_run_without_contrast_is_warned_with_the_reason(tmp_path, caplog):
    config = pico_config(method__max_views=10_000, method__warmup_steps=1)
    with caplog.at_level(logging.WARNING, logger="absl"):
        train.train(config | dict(evals={}), str(tmp_path))
    found = [
        r.getMessage() for r in caplog.records if "contrast is 0" in r.getMessage()
    ]
    assert len(found) == 1 and "max_views = 10000" in found[0]


@pytest.mark.parametrize(
    ("means", "reason"),
    [
        (dict(contrast=0.0, qualified_pairs=0.0, bank_fill=0.5), "max_views = 4"),
        (dict(contrast=0.0, qualified_pairs=3.0, bank_fill=0.0), "memory is empty"),
        (dict(contrast=0.0, qualified_pairs=3.0, bank_fill=0.5), "no anchor has"),
    ],
)
def test_the_reason_is_looked_for(means, reason):
    method, _ = build(pico_config(method__contrast_set="memory"))
    assert reason in method.warnings(3, 6, means)[0]
    assert not method.warnings(2, 6, means)  # still warming up
    assert not method.warnings(3, 6, means | {"contrast": 0.1})
    assert "warm-up" in method.warnings(1, 2, means)[0]


@pytest.mark.parametrize(
    ("changes", "pairs", "reason"),
    [
        (dict(anchor_mode="per_class"), 0.0, "no picture has a labelled pixel"),
        (dict(anchor_mode="per_class"), 3.0, "anchors_per_class or group_size"),
        (dict(anchor_mode="random"), 0.0, "max_views = 4"),
        (dict(contrast_scope="intra", contrast_set="batch"), 3.0, "'inter'"),
    ],
)
def test_the_reason_belongs_to_the_mode(changes, pairs, reason):
    config = pico_config(**{f"method__{key}": value for key, value in changes.items()})
    method, _ = build(config)
    means = dict(contrast=0.0, qualified_pairs=pairs, bank_fill=0.5)
    assert reason in method.warnings(3, 6, means)[0]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        (dict(example_mode="hardest"), "example_mode = 'hardest'"),
        (dict(num_anchor_mixes=7), "num_anchor_mixes = 7"),
    ],
)
def test_options_of_a_memory_that_there_is_not_are_named(changes, named):
    defaults = dict(example_mode="all", num_mixed_negatives=512, num_anchor_mixes=0)
    means = dict(contrast=0.1, qualified_pairs=3.0)
    for contrast_set, expected in (("batch", 1), ("both", 0)):
        config = pico_config(method__contrast_set=contrast_set)
        config["method"] |= defaults
        assert not build(config)[0].warnings(3, 6, means)
        config["method"] |= changes
        found = build(config)[0].warnings(3, 6, means)
        assert len(found) == expected and all(named in line for line in found)


@pytest.mark.parametrize(
    ("positive", "negative", "expected"),
    [
        (0.95, 0.995, True),
        (0.995, 0.95, True),
        (0.95, 0.85, False),
        (0.91, 0.98, False),
        (0.0, 0.0, False),
    ],
)
def test_collapsed_embeddings_are_said_after_the_warm_up(positive, negative, expected):
    method, _ = build(pico_config())
    means = dict(
        contrast=6.0,
        positive_similarity=positive,
        hardest_negative_similarity=negative,
    )
    found = method.warnings(3, 6, means)
    assert any("collapsed" in line for line in found) == expected
    # The log says a line once: it must be the same for other numbers.
    assert found == method.warnings(4, 6, means | dict(contrast=5.0))
    assert not method.warnings(2, 6, means)
