"""PiCo on Cityscapes, with any of seven networks.

    export JAXSEG_DATA=<folder that holds cityscapes/>
    python -m jaxseg.main --config configs/pico_cityscapes.py --workdir runs/pico

HRNet-W48, or the network that the variant names: `:ocr_hrnet_w48`, `:deeplabv3_r101`,
`:deeplabv3_mobilenet_v2`, `:segformer_b2`, `:segmenter_s16`, `:maskformer_r50`. Each is
trained as published (`NETWORKS`), beside a contrast with a memory of regions and
pixels. Not measured here: Cityscapes may not be passed on, so no machine of ours has
it.

With `:cross_entropy`, `:batch`, `:pixel`, `:region`, `:both` or `:semi_hard`, a row of
the ablation (`jaxseg.methods.pico.variants`); with `:tiny`, two steps of a miniature on
embedded scenes, offline. Variants join by commas:
`:segformer_b2,batch`.
"""

import ml_collections

from jaxseg.methods.pico import variants
from jaxseg.models import NETS
from jaxseg.models.recipes import MASKFORMER, OPENSEG, SEGFORMER, SEGMENTER

# The authors' weights of the cross entropy, in the order of the classes.
CLASS_WEIGHTS = (
    *(0.8373, 0.9180, 0.8660, 1.0345, 1.0166, 0.9969, 0.9754, 1.0489, 0.8786),
    *(1.0023, 0.9539, 0.9843, 1.1116, 0.9037, 1.0865, 1.0955, 1.0865, 1.1529),
    1.0507,
)

# What depends on the network. Steps, batch, crop, rate and decay are those that its
# authors have for Cityscapes; those of MobileNetV2, which they trained on other data,
# are DeepLabV3's. Projected is the map that feeds the head: stages of the backbone, or
# () for what the classifier or the queries read. Of crops of street scenes as large as
# these, 6.5 classes have more than 100 positions at stride 4, 5.4 at stride 8 and 4.4
# (4.8 in 768x768) have more than 50 at stride 16 (CamVid's masks, enlarged).
CONVOLUTIONAL = dict(
    recipe=OPENSEG,
    total_steps=40_000,
    batch_size=8,
    crop=(512, 1024),
    peak=0.01,
    weight_decay=5e-4,
    protocol=dict(name="whole.Whole"),
    class_weights=CLASS_WEIGHTS,
)
NETWORKS = {
    "hrnet_w48": dict(
        CONVOLUTIONAL,
        model="hrnet_w48",
        embedding_stages=(0, 1, 2, 3),
        max_views=100,
    ),
    "ocr_hrnet_w48": dict(
        CONVOLUTIONAL,
        model="ocr_hrnet_w48",
        embedding_stages=(0, 1, 2, 3),
        max_views=100,
    ),
    "deeplabv3_r101": dict(
        CONVOLUTIONAL,
        model="pico_deeplabv3_r101",
        embedding_stages=(-1,),
        max_views=100,
    ),
    "deeplabv3_mobilenet_v2": dict(
        CONVOLUTIONAL,
        model="pico_mobilenet_v2",
        embedding_stages=(-1,),
        max_views=50,
    ),
    "segformer_b2": dict(
        model="segformer_b2",
        recipe=SEGFORMER,
        total_steps=160_000,
        batch_size=8,
        crop=(1024, 1024),
        peak=6e-5,
        weight_decay=0.01,
        protocol=dict(name="sliding.Sliding", window=(1024, 1024), stride=(768, 768)),
        embedding_stages=(),
        max_views=100,
        class_weights=(),
    ),
    "segmenter_s16": dict(
        model="segmenter_s16",
        recipe=SEGMENTER,
        total_steps=80_325,
        batch_size=8,
        crop=(768, 768),
        peak=0.01,
        weight_decay=0.0,
        protocol=dict(name="sliding.Sliding", window=(768, 768), stride=(512, 512)),
        embedding_stages=(-1,),
        max_views=50,
        class_weights=(),
    ),
    "maskformer_r50": dict(
        model="maskformer_r50",
        recipe=MASKFORMER,
        total_steps=90_000,
        batch_size=16,
        crop=(512, 1024),
        peak=1e-4,
        weight_decay=1e-4,
        protocol=dict(name="whole.Whole"),
        embedding_stages=(),
        max_views=100,
        class_weights=(),
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
        name="cityscapes.Cityscapes",
        split="train",
        root="$JAXSEG_DATA/cityscapes",
        form="tfds",  # "folder" reads the pictures themselves, without preparation
        tfds_dir="",
        batch_size=net["batch_size"],
        crop=net["crop"],
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
        # Maps of 64x128 rather than 65x129; for the authors' weights exactly, True.
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
        region_size=2_975,  # one for every training picture
        pixel_size=29_750,  # ten for every training picture
        memory_dtype="float32",
        pixel_picks=10,
        official_memory_compat=False,  # the release's memory, for comparison only
        class_weights=net["class_weights"],
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
            protocol=net["protocol"],
            metrics=("mean_iou", "pixel_accuracy"),
        )
    )

    variants.apply(config, words, model=net["model"])
    return config
