"""PiCo with HRNet-W48 on Cityscapes.

    export JAXSEG_DATA=<folder that holds cityscapes/>
    python -m jaxseg.main --config configs/pico_cityscapes.py --workdir runs/pico

The recipe of the authors' code (40 000 steps of 8 crops of 512x1024, SGD) with a memory
of regions and pixels. Not measured here: Cityscapes may not be passed on, so no machine
of ours has it. With `:deeplabv3_r101`, the authors' other network; with `:batch`
anchors are compared within their batch only; with `:cross_entropy` there is no contrast
at all; with `:tiny`, two steps of a small network on embedded scenes, offline. Variants
join by commas.
"""

import ml_collections


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    config.seed = 0
    config.total_steps = 40_000
    config.num_devices = 0  # all

    config.data = dict(
        name="cityscapes.Cityscapes",
        split="train",
        root="$JAXSEG_DATA/cityscapes",
        form="tfds",  # "folder" reads the pictures themselves, without preparation
        tfds_dir="",
        batch_size=8,
        crop=(512, 1024),
        scale=(0.5, 2.0),
        aspect=(0.9, 1.1),
        flip=0.5,
        brightness=10,
        on_error="raise",
        loader="threads",
        num_threads=16,
        num_workers=0,
    )
    config.model = dict(
        name="segmentor.Segmentor",
        backbone=dict(
            name="backbones.hrnet.HRNet", width=48, modules=(1, 4, 3), blocks=4
        ),
        head=dict(
            name="heads.fcn.FCN",
            features=720,
            stages=(0, 1, 2, 3),
            use_bias=True,
            dropout=0.1,
        ),
        classifier_bias=False,
        align_corners=True,
        mean=(123.675, 116.28, 103.53),
        std=(58.395, 57.12, 57.375),
        dtype="bfloat16",
    )
    config.method = dict(
        name="pico.PiCo",
        contrast_weight=0.1,  # 0: plain cross entropy, the network without projection
        warmup_steps=5_000,
        contrast_set="both",
        temperature=0.1,
        base_temperature=0.07,
        group_size=2,
        max_samples=1_024,
        max_views=100,  # of 128 x 256 positions
        embedding_dim=256,
        embedding_stages=(0, 1, 2, 3),  # the map that the head reads
        region_size=2_975,  # one for every training picture
        pixel_size=10_000,
        pixel_picks=10,
        memory_dtype="float32",
        official_memory_compat=False,  # the release's memory, for comparison only
        # The authors' weights, in the order of the classes.
        class_weights=(
            *(0.8373, 0.9180, 0.8660, 1.0345, 1.0166, 0.9969, 0.9754, 1.0489, 0.8786),
            *(1.0023, 0.9539, 0.9843, 1.1116, 0.9037, 1.0865, 1.0955, 1.0865, 1.1529),
            1.0507,
        ),
    )
    config.optimizer = dict(
        name="sgd", momentum=0.9, weight_decay=5e-4, clip_norm=0.0, multipliers=()
    )
    config.schedule = dict(
        name="poly", peak=0.01, power=0.9, warmup_steps=0, warmup_power=1.0
    )
    config.sharding = ()  # all replicated

    config.init_from = ""
    config.init_allow = ()  # what a file of weights may lack or have too much
    # Steps between; pictures: how many an evaluation shows; profile: the step to
    # trace from, 0 for never. An evaluation also saves a checkpoint.
    config.every = dict(log=50, checkpoint=2_000, evaluate=2_000, pictures=4, profile=0)
    # `metrics` are those TensorBoard shows; metrics.jsonl has all.
    config.evals = dict(
        val=dict(split="val", batch_size=8, metrics=("mean_iou", "pixel_accuracy"))
    )

    words = variant.split(",") if variant else []
    for word in sorted(words, key="tiny".__eq__):  # tiny last, wherever it stands
        if word == "deeplabv3_r101":
            config.model.backbone = dict(
                name="backbones.resnet.ResNet",
                depth=101,
                output_stride=8,
                deep_stem=True,
                width=64,
            )
            config.model.head = dict(
                name="heads.deeplabv3.DeepLabV3",
                features=512,
                rates=(12, 24, 36),
                project_kernel=3,
                refine=True,
            )
            config.model.auxiliary = dict(
                name="heads.fcn.FCN", features=256, stages=(-2,), use_bias=True
            )
            config.model.classifier_bias = True
            config.method.embedding_stages = (-1,)
            config.method.auxiliary_weight = 0.4
        elif word == "batch":
            config.method.contrast_set = "batch"
        elif word == "cross_entropy":
            config.method.contrast_weight = 0.0
        elif word == "tiny":
            config.total_steps = 2
            config.data = dict(
                name="scenes.Scenes",
                height=32,
                width=64,
                num_train=8,
                num_val=3,
                batch_size=8,
                crop=(32, 64),
                on_error="raise",
                loader="threads",
                num_threads=2,
            )
            if "auxiliary" in config.model:
                config.model.backbone.depth = 50
                config.model.backbone.width = 8
                config.model.head.features = 16
            else:
                config.model.backbone.width = 4
                config.model.backbone.modules = (1, 1, 1)
                config.model.backbone.blocks = 1
                config.model.head.features = 60
            config.model.dtype = "float32"
            config.method.warmup_steps = 1
            config.method.max_views = 2
            config.method.region_size = 8
            config.method.pixel_size = 80
            config.method.class_weights = ()
            config.every = dict(log=1, checkpoint=1, evaluate=2, pictures=2)
        else:
            raise ValueError(
                f"unknown variant {word!r}: use deeplabv3_r101, batch, "
                "cross_entropy or tiny"
            )
    return config
