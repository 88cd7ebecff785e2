"""Which tensors of a checkpoint are the network's, and their names."""

import pytest

from jaxseg.pretrained import state_dict
from jaxseg.pretrained.state_dict import NoArraysError, find
from jaxseg.pretrained.unpickling import Foreign, Storage, Tensor

T = Tensor(Storage("0", "float32"), "float32", 0, (2,), (1,))


def other(number):
    return T._replace(offset=number)


@pytest.mark.parametrize("wrapper", state_dict.WRAPPERS)
def test_a_wrapper_is_taken_off(wrapper):
    tree = {"epoch": 3, wrapper: {"a.weight": T}, "loss_weights": other(1)}
    assert find(tree) == {"a.weight": T}


def test_wrappers_in_wrappers_are_taken_off():
    assert find({"model": {"module": {}, "state_dict": {"a": T}}}) == {"a": T}


@pytest.mark.parametrize(
    "names", [("state_dict", "model", "net"), ("teacher", "student")]
)
def test_of_several_networks_the_first_by_the_documented_order_is_taken(names):
    tree = {name: {"a": other(i)} for i, name in enumerate(names)}
    reverse = dict(reversed(tree.items()))
    assert find(tree) == find(reverse) == {"a": other(0)}


def test_a_wrapper_without_tensors_is_none():
    assert find({"model": {"name": "vit"}, "state_dict": {}, "a": T}) == {"a": T}


def test_a_network_may_have_a_part_that_is_called_as_a_wrapper():
    flat = {"model.a": T, "net.b": other(1)}
    assert find(flat) == flat
    assert find({"backbone": {"model": {"a": T}}}) == {"backbone.model.a": T}


def test_nested_names_are_joined_by_dots():
    tree = {"encoder": {"conv": {"weight": T}}, "decoder": {0: other(1), "n": 5}}
    assert find(tree) == {"encoder.conv.weight": T, "decoder.0": other(1)}


def test_states_of_optimisers_are_left_out():
    moments = {"state": {0: {"exp_avg": other(1)}}}
    tree = {"net_g": {"a": T}, "optimizer_g": moments, "optim": moments}
    assert find(tree) == {"net_g.a": T}


def test_dicts_that_hold_themselves_come_to_an_end():
    tree = {"a": T}
    tree |= {"model": tree, "b": {"c": other(1), "again": tree}}
    assert find(tree) == {"a": T, "b.c": other(1)}
    level = {"x": T}
    for _ in range(60):  # 2 ** 60 paths
        level = {"a": level, "b": level}
    assert len(find(level)) == 1


class Network(Foreign):
    wanted = "somebody.Network"


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        (Network(), "an object of somebody.Network, and no arrays"),
        ({"model": Network(), "epoch": 3}, r"'model' \(somebody.Network\), 'epoch'"),
        ({"optimizer": {"a": T}}, "a dict with 'optimizer'"),
        ({}, "a dict with nothing in it"),
        ([T], "a list"),
        (T, r"one tensor of shape \(2,\)"),
    ],
)
def test_without_arrays_the_error_says_what_there_is(tree, message):
    with pytest.raises(NoArraysError, match=message):
        find(tree)
