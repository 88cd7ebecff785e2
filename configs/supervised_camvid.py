"""MobileNetV2 + DeepLabV3 with a stride-8 skip, cross entropy, on CamVid.

    export JAXSEG_DATA=<folder that holds camvid/ and weights/>
    python -m jaxseg.main --config configs/supervised_camvid.py --workdir runs/camvid

Sized for a CPU: 180x240 crops of full-resolution pictures. The measured result is in
docs/results.md. With `:full`, 360x480 crops, batch 16, as on a GPU; with `:tiny`, two
steps on embedded scenes, offline.
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
    config.method = dict(name="supervised.Supervised", class_weights=())
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
        if word == "full":
            config.data.batch_size = 16
            config.data.crop = (360, 480)
            config.model.dtype = "bfloat16"
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
            config.init_from = ""
            config.every = dict(log=1, checkpoint=1, evaluate=2, pictures=2)
        else:
            raise ValueError(f"unknown variant {word!r}: use full or tiny")
    return config
