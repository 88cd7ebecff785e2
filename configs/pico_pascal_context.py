"""PiCo on PASCAL-Context, with any of seven networks.

    export JAXSEG_DATA=<folder that holds VOCdevkit/VOC2010/>
    python -m jaxseg.main --config configs/pico_pascal_context.py --workdir runs/pico

HRNet-W48, or the network that the variant names: `:ocr_hrnet_w48`, `:deeplabv3_r101`,
`:deeplabv3_mobilenet_v2`, `:segformer_b2`, `:segmenter_s16`, `:maskformer_r50`. Each is
trained as published (`NETWORKS`), beside a contrast with a memory of regions and
pixels. Not measured here: no machine of ours has the photographs.

With `:cross_entropy`, `:batch`, `:pixel`, `:region`, `:both` or `:semi_hard`, a row of
the ablation (`jaxseg.methods.pico.variants`); with `:tiny`, two steps of a miniature on
embedded scenes, offline. Variants join by commas:
`:segformer_b2,batch`.
"""

import ml_collections

from jaxseg.methods.pico import variants
from jaxseg.models import NETS
from jaxseg.models.recipes import MASKFORMER, OPENSEG, SEGFORMER, SEGMENTER

# What depends on the network. Steps, batch, crop, rate and decay are those that its
# authors have for PASCAL-Context. SegFormer's and MaskFormer's have none: steps, crop
# and short side are Segmenter's, the rest as for ADE20K; MobileNetV2's are HRNet's.
# Projected is the map that feeds the head: stages of the backbone, or () for what the
# classifier or the queries read. Not having the pictures, views are fewer than for
# ADE20K, whose pictures show more classes: 5.4 of them have more than 15 positions at
# stride 16.
CONVOLUTIONAL = dict(
    recipe=OPENSEG,
    total_steps=60_000,
    batch_size=16,
    crop=(520, 520),
    short_side=520,
    peak=1e-3,
    weight_decay=1e-4,
    protocol=dict(name="resized.Resized", short_side=520, multiple=8),
)
NETWORKS = {
    "hrnet_w48": dict(
        CONVOLUTIONAL,
        model="hrnet_w48",
        embedding_stages=(0, 1, 2, 3),
        max_views=75,
    ),
    "ocr_hrnet_w48": dict(
        CONVOLUTIONAL,
        model="ocr_hrnet_w48",
        embedding_stages=(0, 1, 2, 3),
        max_views=75,
    ),
    "deeplabv3_r101": dict(
        CONVOLUTIONAL,
        model="pico_deeplabv3_r101",
        embedding_stages=(-1,),
        max_views=40,
        total_steps=30_000,
    ),
    "deeplabv3_mobilenet_v2": dict(
        CONVOLUTIONAL,
        model="pico_mobilenet_v2",
        embedding_stages=(-1,),
        max_views=15,
    ),
    "segformer_b2": dict(
        model="segformer_b2",
        recipe=SEGFORMER,
        total_steps=79_968,
        batch_size=16,
        crop=(480, 480),
        short_side=520,
        peak=6e-5,
        weight_decay=0.01,
        protocol=dict(name="resized.Resized", short_side=520, multiple=32),
        embedding_stages=(),
        max_views=75,
    ),
    "segmenter_s16": dict(
        model="segmenter_s16",
        recipe=SEGMENTER,
        total_steps=79_968,
        batch_size=16,
        crop=(480, 480),
        short_side=520,
        peak=1e-3,
        weight_decay=0.0,
        protocol=dict(
            name="resized.Resized",
            short_side=520,
            inner=dict(name="sliding.Sliding", window=(480, 480), stride=(320, 320)),
        ),
        embedding_stages=(-1,),
        max_views=15,
    ),
    "maskformer_r50": dict(
        model="maskformer_r50",
        recipe=MASKFORMER,
        total_steps=79_968,
        batch_size=16,
        crop=(480, 480),
        short_side=520,
        peak=1e-4,
        weight_decay=1e-4,
        protocol=dict(name="resized.Resized", short_side=520),
        embedding_stages=(),
        max_views=75,
    ),
}


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    network, words = variants.split(variant, tuple(NETWORKS))
    net = NETWORKS[network]
    recipe = net["recipe"]

    config = ml_collections.ConfigDict()
    config.seed = 0
    config.total_steps = net["total_steps"]
    config.num_devices = 0  # all

    config.data = dict(
        name="pascal_context.PascalContext",
        split="train",
        root="$JAXSEG_DATA/VOCdevkit/VOC2010",
        form="tfds",  # "folder" reads the pictures themselves, without preparation
        tfds_dir="",
        batch_size=net["batch_size"],
        crop=net["crop"],
        short_side=net["short_side"],
        **recipe.augmentation,
        on_error="raise",
        loader="threads",
        num_threads=16,
        num_workers=0,
    )
    config.model = dict(
        NETS[net["model"]].spec,
        channel_order="rgb",  # "bgr" for the authors' weights of HRNet and ResNet
        dtype="bfloat16",
    )
    if network == "deeplabv3_r101":
        # Maps of 65x65 rather than 66x66; for the authors' weights exactly, True.
        config.model.backbone.pool_ceil_mode = False
    config.method = dict(
        name="pico.PiCo",
        contrast_weight=0.1,  # 0: as published, the network without projection
        warmup_steps=min(5_000, net["total_steps"] // 8),
        contrast_set="both",
        contrast_scope="inter",
        temperature=0.1,
        base_temperature=0.07,
        group_size=2,
        anchor_mode="hard",
        anchors_per_class=50,  # of anchor_mode "per_class"
        max_samples=1_024,
        max_views=net["max_views"],
        example_mode="semi_hard",
        semi_hard_fraction=0.1,
        semi_hard_band=(),
        num_positives=1_024,
        num_negatives=2_048,
        bank_columns=40_000,
        num_mixed_negatives=512,
        num_anchor_mixes=256,
        mix_pairs="per_anchor",
        embedding_dim=256,
        embedding_stages=net["embedding_stages"],
        region_size=4_998,  # one for every training picture
        pixel_size=49_980,  # ten for every training picture
        memory_dtype="bfloat16",  # 1.7 GB for 59 classes
        pixel_picks=10,
        official_memory_compat=False,  # the release's memory, for comparison only
        class_weights=(),
        cross_entropy_per_group=False,
    )
    config.optimizer = dict(recipe.optimizer, weight_decay=net["weight_decay"])
    config.schedule = dict(recipe.schedule, peak=net["peak"])
    config.sharding = ()  # all replicated

    config.init_from = ""  # ImageNet weights of the backbone: see docs/models.md
    config.init_allow = ()  # what a file of weights may lack or have too much
    # Steps between; pictures: how many an evaluation shows; profile: the step to
    # trace from, 0 for never. An evaluation also saves a checkpoint.
    config.every = dict(log=50, checkpoint=2_000, evaluate=2_000, pictures=4, profile=0)
    # `metrics` are those TensorBoard shows; metrics.jsonl has all.
    config.evals = dict(
        val=dict(
            split="val",
            batch_size=8,
            buckets=4,  # shapes that pictures are put into
            protocol=net["protocol"],
            metrics=("mean_iou", "pixel_accuracy"),
        )
    )

    variants.apply(config, words, model=net["model"])
    return config
