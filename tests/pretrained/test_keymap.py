import numpy as np
import pytest

from jaxseg.pretrained.keymap import (
    COUNTERS,
    KeyMap,
    Rule,
    conv_norm_rules,
    linear_rules,
)

CONV = KeyMap(
    "a convolution",
    conv_norm_rules(r"conv(\d)", r"bn(\d)", r"backbone/block_\1"),
    ignored=(COUNTERS, r"fc\..*"),
)


def arrays(*shape):
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def test_kernels_of_torch_are_turned_to_channels_last():
    kernel = arrays(5, 4, 3, 2)  # [out, in, height, width]
    path = ("params", "backbone", "block_1", "conv", "kernel")
    turned = CONV.rename({"conv1.weight": kernel}).arrays[path]
    assert turned.shape == (3, 2, 4, 5)
    assert turned[2, 1, 3, 4] == kernel[4, 3, 2, 1]


def test_a_linear_map_is_transposed():
    linear = KeyMap("linear", linear_rules("fc", "classifier"))
    renamed = linear.rename({"fc.weight": arrays(3, 2), "fc.bias": arrays(3)})
    kernel = renamed.arrays[("params", "classifier", "kernel")]
    np.testing.assert_array_equal(kernel, arrays(3, 2).T)
    bias = renamed.arrays[("params", "classifier", "bias")]
    np.testing.assert_array_equal(bias, arrays(3))


def test_running_statistics_go_to_batch_stats():
    renamed = CONV.rename(
        {"bn2.running_mean": arrays(3), "bn2.running_var": 1 + arrays(3)}
    )
    norm = ("batch_stats", "backbone", "block_2", "norm")
    np.testing.assert_array_equal(renamed.arrays[(*norm, "mean")], arrays(3))
    np.testing.assert_array_equal(renamed.arrays[(*norm, "var")], 1 + arrays(3))


def test_names_are_ignored_or_unknown():
    renamed = CONV.rename(
        {
            "bn1.num_batches_tracked": np.int64(3),
            "fc.weight": arrays(2, 2),
            "conv1.weights": arrays(2, 2, 1, 1),
        }
    )
    assert renamed.ignored == ("bn1.num_batches_tracked", "fc.weight")
    assert renamed.unknown == ("conv1.weights",)
    assert not renamed.arrays


def test_a_prefix_of_all_names_is_cut_off():
    one = CONV.rename({"bn1.bias": arrays(3)}).arrays
    other = CONV.rename({"module.bn1.bias": arrays(3)}).arrays
    assert one.keys() == other.keys()


PIECES = KeyMap(
    "attention",
    tuple(
        rule
        for i, name in enumerate(("query", "key", "value"))
        for rule in (
            Rule(rf"{name}\.weight", f"qkv/kernel[{i}/3]"),
            Rule(rf"{name}\.bias", f"qkv/bias[{i}/3]"),
        )
    ),
)


def test_pieces_are_joined_in_their_order_not_the_files():
    parts = {name: arrays(2, 2) + 10 * i for i, name in enumerate("qkv")}
    file = {
        "value.weight": parts["v"],
        "key.weight": parts["k"],
        "query.weight": parts["q"],
    }
    joined = PIECES.rename(file).arrays[("params", "qkv", "kernel")]
    wanted = np.concatenate([parts["q"].T, parts["k"].T, parts["v"].T], axis=1)
    np.testing.assert_array_equal(joined, wanted)


def test_a_missing_piece_is_an_error():
    with pytest.raises(ValueError, match=r"of qkv/bias the file holds 2 of 3 pieces"):
        PIECES.rename({"query.bias": arrays(2), "value.bias": arrays(2)})


def test_two_names_for_one_place_are_an_error():
    twice = KeyMap("twice", (Rule("a|b", "c/bias"),))
    with pytest.raises(ValueError, match="b comes a second time"):
        twice.rename({"a": arrays(2), "b": arrays(2)})


def test_a_folded_normalisation_only_adds_its_bias():
    folded = KeyMap(
        "folded", (Rule("biases", "norm/folded"),), channels_last=True, epsilon=1e-3
    )
    found = folded.rename({"biases": arrays(3)}).arrays
    x = np.float32([2.0, -1.0, 5.0])
    mean = found[("batch_stats", "norm", "mean")]
    variance = found[("batch_stats", "norm", "var")]
    scale = found[("params", "norm", "scale")]
    y = (
        scale * (x - mean) / np.sqrt(variance + 1e-3)
        + found[("params", "norm", "bias")]
    )
    np.testing.assert_allclose(y, x + arrays(3), rtol=1e-6)
