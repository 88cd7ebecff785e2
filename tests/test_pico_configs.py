"""PiCo's configs: five data sets, seven networks, six rows of an ablation."""

import functools
import itertools
import pathlib
import runpy
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg import config as config_lib
from jaxseg import evaluate, train
from jaxseg.config import ConfigError
from jaxseg.data import inputs
from jaxseg.data.labels import LabelSet
from jaxseg.methods import base
from jaxseg.methods.pico.variants import ABLATIONS
from tests.test_train import lines

CONFIGS = pathlib.Path(__file__).parents[1] / "configs"
# Parameters for Cityscapes and ADE20K, without projection and with it; of the modules
# of the networks' or of PiCo's authors, None where they have no such network.
PARAMETERS = {
    "deeplabv3_r101": ((89_570_278, 89_671_148), (94_295_270, 94_396_140)),
    "hrnet_w48": ((70_006_560, 70_100_880), (70_711_696, 70_806_016)),
    "ocr_hrnet_w48": ((74_522_182, 74_683_836), (75_227_318, 75_388_972)),
    "segformer_b2": ((27_361_235, 27_461_974), None),
    "segmenter_s16": (None, None),
    "maskformer_r50": (None, None),
    "deeplabv3_mobilenet_v2": (None, None),
}
NETWORKS = tuple(PARAMETERS)
# The map that is projected: its channels and its stride.
PROJECTED = dict(
    deeplabv3_r101=(2048, 8),
    hrnet_w48=(720, 4),
    ocr_hrnet_w48=(720, 4),
    segformer_b2=(768, 4),
    segmenter_s16=(384, 16),
    maskformer_r50=(256, 4),
    deeplabv3_mobilenet_v2=(1280, 16),
)
# Classes, and slots of regions and pixels for each.
SETS = dict(
    pico_cityscapes=(19, 2_975, 29_750, "float32"),
    pico_ade20k=(150, 5_000, 10_000, "bfloat16"),
    pico_pascal_context=(59, 4_998, 49_980, "bfloat16"),
    pico_coco_stuff=(171, 5_000, 10_000, "bfloat16"),
    pico_camvid=(11, 367, 3_670, "float32"),
)
# Steps, batch, crop, learning rate, short side, and window and stride of the evaluation
# where it has windows, as the networks' authors (HRNet's and DeepLabV3's: openseg's and
# PiCo's) write or compute them from epochs.
PUBLISHED = {
    ("pico_cityscapes", "segformer_b2"): (
        *(160_000, 8, (1024, 1024), 6e-5, 0),
        (1024, 768),
    ),
    ("pico_cityscapes", "segmenter_s16"): (
        *(216 * 2_975 // 8, 8, (768, 768), 0.01, 0),
        (768, 512),
    ),
    ("pico_cityscapes", "maskformer_r50"): (90_000, 16, (512, 1024), 1e-4, 0, ()),
    ("pico_ade20k", "segformer_b2"): (160_000, 16, (512, 512), 6e-5, 512, ()),
    ("pico_ade20k", "segmenter_s16"): (
        *(64 * 20_210 // 8, 8, (512, 512), 1e-3, 512),
        (512, 512),
    ),
    ("pico_ade20k", "maskformer_r50"): (160_000, 16, (512, 512), 1e-4, 512, ()),
    ("pico_pascal_context", "segmenter_s16"): (
        *(256 * 4_998 // 16, 16, (480, 480), 1e-3, 520),
        (480, 320),
    ),
    ("pico_pascal_context", "deeplabv3_r101"): (
        *(30_000, 16, (520, 520), 1e-3, 520),
        (),
    ),
    ("pico_coco_stuff", "segformer_b2"): (80_000, 16, (512, 512), 6e-5, 512, ()),
    ("pico_coco_stuff", "maskformer_r50"): (60_000, 32, (640, 640), 1e-4, 640, ()),
}
for network in ("hrnet_w48", "ocr_hrnet_w48", "deeplabv3_r101"):
    PUBLISHED |= {
        ("pico_cityscapes", network): (40_000, 8, (512, 1024), 0.01, 0, ()),
        ("pico_ade20k", network): (150_000, 16, (520, 520), 0.02, 520, ()),
        ("pico_coco_stuff", network): (60_000, 16, (520, 520), 1e-3, 520, ()),
        ("pico_camvid", network): (40_000, 16, (360, 480), 0.01, 0, ()),
    }
for network in ("hrnet_w48", "ocr_hrnet_w48"):
    PUBLISHED["pico_pascal_context", network] = (
        *(60_000, 16, (520, 520), 1e-3, 520),
        (),
    )
EVERYTHING = list(itertools.product(SETS, NETWORKS))


def load(name, *words):
    path = CONFIGS / f"{name}.py"
    return runpy.run_path(str(path))["get_config"](",".join(words)).to_dict()


def method_of(config, num_classes):
    numbers = tuple(range(num_classes))
    labels = LabelSet(
        names=tuple(f"class {i}" for i in numbers),
        palette=tuple((i, i, i) for i in numbers),
        raw_ids=numbers,
        ignored_raw_ids=(255,),
    )
    return base.from_config(config, labels)


def shapes(method, crop):
    """The first state, without computing anything; a batch of one picture does."""
    batch = {"image": jnp.zeros((1, *crop, 3))}
    return jax.eval_shape(lambda key: method.init(key, batch), jax.random.key(0))


def count(tree):
    return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(tree))


def some_now(names):
    """All networks, those not named as slow tests."""
    return [
        n if n in names else pytest.param(n, marks=pytest.mark.slow) for n in NETWORKS
    ]


@pytest.mark.parametrize(("name", "network"), EVERYTHING)
def test_every_section_is_understood(name, network):
    for row in ("", *ABLATIONS):
        config = load(name, network, *filter(None, [row]))
        config_lib.check(config)
        method = method_of(config, SETS[name][0])
        assert method.contrast_weight == (0 if row == "cross_entropy" else 0.1)
        inputs.device_augmentation(config)  # makes the transform of the data's keys
        if "protocol" in config["evals"]["val"]:
            config_lib.make("protocols", config["evals"]["val"]["protocol"])


def published(config):
    """Of a config, what `PUBLISHED` says of it."""
    data, protocol = config["data"], config["evals"]["val"].get("protocol", {})
    windows = protocol.get("inner", protocol)
    return (
        *(config["total_steps"], data["batch_size"], data["crop"]),
        *(config["schedule"]["peak"], data.get("short_side", 0)),
        tuple(windows[key][0] for key in ("window", "stride") if key in windows),
    )


@pytest.mark.parametrize(("name", "network"), PUBLISHED)
def test_recipes_are_the_published_ones(name, network):
    assert published(load(name, network)) == PUBLISHED[name, network]


@pytest.mark.parametrize(("name", "network"), EVERYTHING)
def test_pictures_are_trained_on_and_scored_at_one_scale(name, network):
    config = load(name, network)
    protocol = config["evals"]["val"].get("protocol", {})
    assert protocol.get("short_side", 0) == config["data"].get("short_side", 0)


@pytest.mark.parametrize("row", ("", *ABLATIONS))
def test_the_quickstart_has_the_rows_too(row):
    config = load("quickstart", *filter(None, [row, "tiny"]))
    assert config["total_steps"] == 2
    without = load("quickstart", "tiny")["method"]
    same = row in ("", "both")  # what is not said otherwise
    assert (method_of(config, 10).contrast_weight == 0) == (row == "cross_entropy")
    assert (config["method"] == without) == same


def test_configs_are_read_without_importing_jax():
    program = (
        "import sys; from jaxseg import config; config.load(sys.argv[1]);"
        "assert 'jax' not in sys.modules"
    )
    for path in (CONFIGS / "pico_camvid.py", CONFIGS / "quickstart.py"):
        subprocess.run([sys.executable, "-c", program, path], check=True)


@pytest.mark.parametrize("name", SETS)
def test_memories_have_the_sizes_of_the_paper(name):
    num_classes, regions, pixels, dtype = SETS[name]
    method = method_of(load(name, "hrnet_w48"), num_classes)
    memory = jax.eval_shape(method.init_memory)
    assert memory.region.values.shape == (num_classes, regions, 256)
    assert memory.pixel.values.shape == (num_classes, pixels, 256)
    assert memory.region.values.dtype == memory.pixel.values.dtype == dtype


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize(
    ("name", "which"),
    [("pico_cityscapes", 0), pytest.param("pico_ade20k", 1, marks=pytest.mark.slow)],
)
def test_networks_have_the_published_parameters(name, which, network):
    alone, together = PARAMETERS[network]
    module = method_of(load(name, network, "batch"), SETS[name][0]).network
    image = jnp.zeros((1, 64, 128, 3))
    (outputs, embeddings), variables = jax.eval_shape(
        lambda key: module.init_with_output(key, image, train=False), jax.random.key(0)
    )
    channels, stride = PROJECTED[network]
    assert embeddings.shape == (1, 64 // stride, 128 // stride, 256)
    assert outputs.coarse.shape[:3] == embeddings.shape[:3]
    params = variables["params"]
    # A linear map to as many channels, scale and bias of a norm, a linear map to 256.
    hidden = channels * (channels + 1) + 2 * channels
    assert count(params["projection"]) == hidden + (channels + 1) * 256
    if alone:
        assert count(params["segmentor"]) == alone[which]
    if together:
        assert count(params) == together[which]


def tiny(network, *words):
    return load("pico_cityscapes", network, *words, "tiny") | {"num_devices": 1}


@functools.cache
def plain(network):
    """The network without PiCo: its method, and its first state's shapes."""
    config = tiny(network)
    by_masks = network == "maskformer_r50"
    config["method"] = dict(
        name="mask_classification.MaskClassification"
        if by_masks
        else "supervised.Supervised"
    )
    method = method_of(config, 10)
    return method, shapes(method, (32, 64))


# One of a decoder, one of masks, one of convolutions; the others are slow to lower.
PLAIN = ("segmenter_s16", "maskformer_r50", "deeplabv3_mobilenet_v2")


def program(function, state):
    """What the compiler is given, and the operations that it counts."""
    batch = {
        "image": jax.ShapeDtypeStruct((2, 32, 64, 3), jnp.uint8),
        "label": jax.ShapeDtypeStruct((2, 32, 64), jnp.int32),
        "valid": jax.ShapeDtypeStruct((2,), jnp.bool_),
    }
    lowered = jax.jit(function).lower(state, batch)
    flops = lowered.cost_analysis()["flops"]
    assert flops > 0
    return lowered.as_text(), flops


@pytest.mark.parametrize("network", some_now(PLAIN))
def test_prediction_costs_what_the_plain_network_costs(network):
    method, (other, state) = method_of(tiny(network), 10), plain(network)
    assert method.contrast_weight and method.segmentor == other.segmentor
    # The state has nothing of the projection and of the memory that it could use.
    assert program(method.predict, state) == program(other.predict, state)


# Those of residual networks: see tests/methods/pico/test_method.py, too.
@pytest.mark.parametrize("network", some_now(["segmenter_s16"]))
def test_without_weight_a_step_is_that_of_the_plain_network(network):
    twin, (other, state) = method_of(tiny(network, "cross_entropy"), 10), plain(network)
    assert twin.network == other.network and twin.init_memory() is None
    assert program(twin.train_step, state) == program(other.train_step, state)


@pytest.mark.parametrize("network", some_now([]))
def test_networks_train_and_their_checkpoints_score_the_same(network, tmp_path):
    config = tiny(network)
    scores = train.train(config, str(tmp_path))
    last = [line for line in lines(tmp_path) if "contrast" in line][-1]
    assert last["contrast"] > 0 and last["valid_anchors"] > 0
    by_masks = network == "maskformer_r50"
    parts = ("class", "focal", "dice") if by_masks else ("cross_entropy",)
    wanted = sum(last[part] for part in parts) + 0.1 * last["contrast"]
    np.testing.assert_allclose(last["loss"], wanted, rtol=1e-4)
    again = evaluate.run(config, str(tmp_path))
    assert again["val"]["mean_iou"] == scores["val"]["mean_iou"]


def test_weights_of_classes_are_the_convolutional_networks_alone():
    weighted = {
        network
        for network in NETWORKS
        if load("pico_cityscapes", network)["method"]["class_weights"]
    }
    assert weighted == {
        n for n in NETWORKS if n.startswith(("deeplab", "hrnet", "ocr"))
    }


@pytest.mark.parametrize("wrong", ["hrnet_w18", "hrnet_w48,segformer_b2", "both,pixel"])
def test_variants_that_say_nothing_or_two_things_are_refused(wrong):
    with pytest.raises(ConfigError):
        load("pico_ade20k", wrong)


def test_the_order_of_the_words_does_not_matter():
    one = load("pico_ade20k", "tiny", "pixel", "segformer_b2")
    assert one == load("pico_ade20k", "segformer_b2", "pixel", "tiny")
    assert one["method"]["region_size"] == 0 < one["method"]["pixel_size"]
