"""ResNet-50 + DeepLabV3, cross entropy, on Cityscapes.

    export JAXSEG_DATA=<folder that holds cityscapes/>
    python -m jaxseg.main --config configs/supervised_cityscapes.py --workdir runs/cs

The schedule is the field's usual one for 512x1024 crops (40 000 steps of 8). Not
measured here: Cityscapes may not be passed on, so no machine of ours has it. With
`:mobilenet`, the smaller network of supervised_camvid.py, from its ImageNet weights;
with `:tiny`, two steps on embedded scenes, offline.
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
        backbone=dict(name="backbones.resnet.ResNet", depth=50, output_stride=8),
        head=dict(name="heads.deeplabv3.DeepLabV3", rates=(12, 24, 36)),
        mean=(123.675, 116.28, 103.53),
        std=(58.395, 57.12, 57.375),
        dtype="bfloat16",
    )
    config.method = dict(name="supervised.Supervised", class_weights=())
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
        if word == "mobilenet":
            config.model.backbone = dict(
                name="backbones.mobilenet_v2.MobileNetV2", output_stride=16
            )
            config.model.head = dict(
                name="heads.deeplabv3.DeepLabV3", rates=(6, 12, 18), skip_stage=-3
            )
            config.model.mean = (127.5, 127.5, 127.5)
            config.model.std = (127.5, 127.5, 127.5)
            config.init_from = "$JAXSEG_DATA/weights/mobilenet_v2_1.0_224.safetensors"
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
            config.model.dtype = "float32"
            config.init_from = ""
            config.every = dict(log=1, checkpoint=1, evaluate=2, pictures=2)
        else:
            raise ValueError(f"unknown variant {word!r}: use mobilenet or tiny")
    return config
