"""PiCo with MobileNetV2 + DeepLabV3 on CamVid, or with any of seven networks.

    export JAXSEG_DATA=<folder that holds camvid/ and weights/>
    python -m jaxseg.main --config configs/pico_camvid.py --workdir runs/pico

Network, data and schedule are those of supervised_camvid.py, sized for a CPU (also
`:small`). With `:full`, 360x480 crops, batch 16 and the whole memory, as on a GPU. With
`:deeplabv3_mobilenet_v2`, `:deeplabv3_r101`, `:hrnet_w48`, `:ocr_hrnet_w48`,
`:segformer_b2`, `:segmenter_s16` or `:maskformer_r50`, the authors' networks as they
would train them (`NETWORKS`), with the whole memory.

With `:cross_entropy`, `:batch`, `:pixel`, `:region`, `:both` or `:semi_hard`, a row of
the ablation (`jaxseg.methods.pico.variants`), whose measured results are in
docs/results.md; with `:tiny`, two steps on embedded scenes, offline. Variants join by
commas: `:segformer_b2,batch`. What semi-hard examples from the first step on do to the
embeddings in runs as short as these is in docs/results.md, too.
"""

import ml_collections

from jaxseg.methods.pico import variants
from jaxseg.models import NETS
from jaxseg.models.recipes import MASKFORMER, OPENSEG, SEGFORMER, SEGMENTER

# What depends on the network. The authors of HRNet and PiCo have steps, batch, crop,
# rate and decay for CamVid; of the others nobody has, so steps and batch are the same,
# and rate and decay those for Cityscapes. Projected is the map that feeds the head:
# stages of the backbone, or () for what the classifier or the queries read. Of such
# crops, 6.4 classes have more than 100 positions at stride 4, 4.7 more than 75 at
# stride 8 and 4.3 more than 25 at stride 16.
CAMVID = dict(total_steps=40_000, batch_size=16, crop=(360, 480))
CONVOLUTIONAL = dict(CAMVID, recipe=OPENSEG, peak=0.01, weight_decay=5e-4)
NETWORKS = {
    "deeplabv3_mobilenet_v2": dict(
        CONVOLUTIONAL,
        model="pico_mobilenet_v2",
        embedding_stages=(-1,),
        max_views=25,
    ),
    "deeplabv3_r101": dict(
        CONVOLUTIONAL,
        model="pico_deeplabv3_r101",
        embedding_stages=(-1,),
        max_views=75,
    ),
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
    "segformer_b2": dict(
        CAMVID,
        model="segformer_b2",
        recipe=SEGFORMER,
        peak=6e-5,
        weight_decay=0.01,
        embedding_stages=(),
        max_views=100,
    ),
    "segmenter_s16": dict(
        CAMVID,
        model="segmenter_s16",
        recipe=SEGMENTER,
        peak=0.01,
        weight_decay=0.0,
        embedding_stages=(-1,),
        max_views=25,
    ),
    "maskformer_r50": dict(
        CAMVID,
        model="maskformer_r50",
        recipe=MASKFORMER,
        peak=1e-4,
        weight_decay=1e-4,
        embedding_stages=(),
        max_views=100,
    ),
}


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    network, words = variants.split(variant, ("small", "full", *NETWORKS))

    config = ml_collections.ConfigDict()
    config.seed = 0
    config.total_steps = 1_000
    config.num_devices = 0  # all

    config.data = dict(
        name="camvid.CamVid",
        split="train",
        root="$JAXSEG_DATA/camvid",
        form="folder",  # "tfds" reads ArrayRecord files, made on first use
        tfds_dir="",
        batch_size=8,
        crop=(180, 240),
        scale=(0.5, 2.0),
        aspect=(0.9, 1.1),
        flip=0.5,
        brightness=10,
        on_error="raise",
        loader="threads",
        num_threads=2,
        num_workers=0,
    )
    config.model = dict(
        name="segmentor.Segmentor",
        backbone=dict(name="backbones.mobilenet_v2.MobileNetV2", output_stride=16),
        head=dict(name="heads.deeplabv3.DeepLabV3", skip_stage=-3),
        mean=(127.5, 127.5, 127.5),
        std=(127.5, 127.5, 127.5),
        dtype="float32",
    )
    config.method = dict(
        name="pico.PiCo",
        contrast_weight=0.1,  # 0: plain cross entropy, the network without projection
        warmup_steps=125,
        contrast_set="both",
        contrast_scope="inter",
        temperature=0.1,
        base_temperature=0.07,
        group_size=2,
        anchor_mode="hard",
        anchors_per_class=50,  # of anchor_mode "per_class"
        max_samples=192,
        # 15 of the 23 x 30 positions: 4.3 classes of a crop have more; of the usual
        # 100, 2.0 would.
        max_views=15,
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
        embedding_stages=(),  # the head's features, the finest map it reads (stride 8)
        region_size=367,  # one for every training picture
        pixel_size=1_000,
        pixel_picks=10,
        memory_dtype="float32",
        official_memory_compat=False,  # the release's memory, for comparison only
        class_weights=(),
        cross_entropy_per_group=False,
    )
    config.optimizer = dict(
        name="adamw", weight_decay=0.01, clip_norm=0.0, multipliers=(("backbone", 0.3),)
    )
    config.schedule = dict(
        name="poly", peak=1e-3, power=0.9, warmup_steps=0, warmup_power=1.0
    )
    config.sharding = ()  # all replicated

    config.init_from = "$JAXSEG_DATA/weights/mobilenet_v2_1.0_224.safetensors"
    config.init_allow = ()  # what a file of weights may lack or have too much
    # Steps between; pictures: how many an evaluation shows; profile: the step to
    # trace from, 0 for never. An evaluation also saves a checkpoint.
    config.every = dict(log=20, checkpoint=100, evaluate=200, pictures=4, profile=0)
    # `metrics` are those TensorBoard shows; metrics.jsonl has all.
    config.evals = dict(
        val=dict(
            split="val",
            batch_size=4,
            canvas=(),  # for pictures of several sizes: (height, width) that holds all
            metrics=("mean_iou", "pixel_accuracy"),
        )
    )

    model = ""  # in the catalogue
    if network in NETWORKS:
        net = NETWORKS[network]
        model, recipe = net["model"], net["recipe"]
        config.total_steps = net["total_steps"]
        config.data.update(
            recipe.augmentation, batch_size=net["batch_size"], crop=net["crop"]
        )
        config.model = dict(
            NETS[model].spec,
            channel_order="rgb",  # "bgr" for the authors' weights of HRNet and ResNet
            dtype="bfloat16",
        )
        if network == "deeplabv3_r101":
            # Maps of 45x60 rather than 46x61; for the authors' weights exactly, True.
            config.model.backbone.pool_ceil_mode = False
        config.method.update(
            warmup_steps=5_000,
            max_samples=1_024,
            max_views=net["max_views"],
            embedding_stages=net["embedding_stages"],
            pixel_size=3_670,  # ten for every training picture
        )
        config.optimizer = dict(recipe.optimizer, weight_decay=net["weight_decay"])
        config.schedule = dict(recipe.schedule, peak=net["peak"])
        # ImageNet weights of the backbone: see docs/models.md. The file above does not
        # suit "deeplabv3_mobilenet_v2", which pads as torch does: it is TensorFlow's.
        config.init_from = ""
        config.every.update(log=50, checkpoint=2_000, evaluate=2_000)
    elif network == "full":
        config.data.batch_size = 16
        config.data.crop = (360, 480)
        config.model.dtype = "bfloat16"
        config.method.max_samples = 1_024
        config.method.max_views = 50
        config.method.pixel_size = 3_670

    variants.apply(config, words, model=model)
    return config
