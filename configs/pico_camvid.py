"""PiCo with MobileNetV2 + DeepLabV3 on CamVid.

    export JAXSEG_DATA=<folder that holds camvid/ and weights/>
    python -m jaxseg.main --config configs/pico_camvid.py --workdir runs/pico

Network, data and schedule are those of supervised_camvid.py, sized for a CPU. With
`:batch` anchors are compared within their batch only, with `:cross_entropy` there is no
contrast at all; the measured results of the three are in docs/results.md. With `:full`,
360x480 crops, batch 16 and the whole memory, as on a GPU; with `:tiny`, two steps on
embedded scenes, offline. Variants join by commas.
"""

import ml_collections


def get_config(variant: str = "") -> ml_collections.ConfigDict:
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
        temperature=0.1,
        base_temperature=0.07,
        group_size=2,
        max_samples=192,
        # 15 of the 23 x 30 positions: 4.3 classes of a crop have more; of the usual
        # 100, 2.0 would.
        max_views=15,
        embedding_dim=256,
        embedding_stages=(),  # the head's features, the finest map it reads (stride 8)
        region_size=367,  # one for every training picture
        pixel_size=1_000,
        pixel_picks=10,
        memory_dtype="float32",
        official_memory_compat=False,  # the release's memory, for comparison only
        class_weights=(),
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

    words = variant.split(",") if variant else []
    for word in sorted(words, key="tiny".__eq__):  # tiny last, wherever it stands
        if word == "batch":
            config.method.contrast_set = "batch"
        elif word == "cross_entropy":
            config.method.contrast_weight = 0.0
        elif word == "full":
            config.data.batch_size = 16
            config.data.crop = (360, 480)
            config.model.dtype = "bfloat16"
            config.method.max_samples = 1_024
            config.method.max_views = 50
            config.method.pixel_size = 3_670
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
            config.method.warmup_steps = 1
            config.method.max_views = 2
            config.method.region_size = 8
            config.method.pixel_size = 80
            config.init_from = ""
            config.every = dict(log=1, checkpoint=1, evaluate=2, pictures=2)
        else:
            raise ValueError(
                f"unknown variant {word!r}: use batch, cross_entropy, full or tiny"
            )
    return config
