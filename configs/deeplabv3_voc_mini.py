"""DeepLabV3 on MobileNetV2 as published for PASCAL VOC: its scores, or more training.

    export JAXSEG_DATA=<folder that holds voc_mini/ and weights/>
    python -m jaxseg.main --config configs/deeplabv3_voc_mini.py --mode=eval \
        --workdir runs/voc

scores the published weights; `--mode=train` goes on from them. With `:dm05`, the same
network with half the channels; with `:tiny`, two steps on embedded scenes, offline. The
measured results are in docs/results.md.
"""

import ml_collections


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    config.seed = 0
    config.total_steps = 400
    config.num_devices = 0  # all

    config.data = dict(
        name="voc.VOC",
        split="train",
        root="$JAXSEG_DATA/voc_mini",
        form="folder",  # "tfds" reads ArrayRecord files, made on first use
        tfds_dir="",
        batch_size=8,
        crop=(321, 321),
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
        backbone=dict(
            name="backbones.mobilenet_v2.MobileNetV2",
            output_stride=16,
            width=1.0,
            divisor=8,
        ),
        head=dict(name="heads.image_pooling.ImagePooling", features=256, dropout=0.0),
        align_corners=True,
        mean=(128.0, 128.0, 128.0),
        std=(128.0, 128.0, 128.0),
        dtype="float32",
    )
    config.method = dict(name="supervised.Supervised", class_weights=())
    config.optimizer = dict(
        name="adamw", weight_decay=0.01, clip_norm=0.0, multipliers=(("backbone", 0.3),)
    )
    config.schedule = dict(
        name="poly", peak=1e-4, power=0.9, warmup_steps=20, warmup_power=1.0
    )
    config.sharding = ()  # all replicated

    config.init_from = "$JAXSEG_DATA/weights/deeplabv3_mnv2_voc.safetensors"
    config.init_allow = ()  # what a file of weights may lack or have too much
    # Steps between; pictures: how many an evaluation shows; profile: the step to
    # trace from, 0 for never. An evaluation also saves a checkpoint.
    config.every = dict(log=20, checkpoint=100, evaluate=200, pictures=4, profile=0)
    # `metrics` are those TensorBoard shows; metrics.jsonl has all.
    config.evals = dict(
        val=dict(
            split="val",
            batch_size=4,
            # Photographs of all sizes at the top left of one, the rest in the mean
            # colour: what the published network was trained on.
            canvas=(513, 513),
            metrics=("mean_iou", "pixel_accuracy"),
        )
    )

    words = variant.split(",") if variant else []
    for word in sorted(words, key="tiny".__eq__):  # tiny last, wherever it stands
        if word == "dm05":
            config.model.backbone.width = 0.5
            config.model.backbone.divisor = 4
            config.init_from = (
                "$JAXSEG_DATA/weights/deeplabv3_mnv2_dm05_voc.safetensors"
            )
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
            config.evals.val.canvas = (48, 64)
        else:
            raise ValueError(f"unknown variant {word!r}: use dm05 or tiny")
    return config
