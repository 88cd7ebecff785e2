"""DeepLabV3 on MobileNetV2 on your own folder of pictures and masks.

    python -m jaxseg.tools.check_data DIR
    python -m jaxseg.main --config configs/folder.py --config.data.root=DIR \
        --workdir runs/mine

DIR holds train/images, train/masks, val/images and val/masks; docs/your_own_data.md
says more. The number of classes comes from the folder. Training starts from nothing
unless `--config.init_from` names a file of MobileNetV2's weights, which is worth more
than any other setting. With `:tiny`, two steps on embedded scenes, offline.
"""

import ml_collections


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    config.seed = 0
    config.total_steps = 4_000
    config.num_devices = 0  # all

    config.data = dict(
        name="folder.Folder",
        split="train",
        root="",  # your folder
        class_ids=(),  # ids of the classes in the masks; empty: classes.json, or found
        ignore_id=(),  # ids that are unlabelled besides that of classes.json, or 255
        unknown="raise",  # "ignore" leaves ids that are no class unlabelled
        masks="ids",  # "rgb" reads colours, as classes.json explains them
        form="folder",  # "tfds" reads ArrayRecord files, made on first use
        tfds_dir="",
        batch_size=8,
        crop=(320, 320),
        scale=(0.5, 2.0),
        aspect=(0.9, 1.1),
        flip=0.5,
        brightness=10,
        on_error="raise",  # "skip" passes over files that cannot be read
        loader="threads",
        num_threads=2,
        num_workers=0,
    )
    config.model = dict(
        name="segmentor.Segmentor",
        backbone=dict(name="backbones.mobilenet_v2.MobileNetV2", output_stride=16),
        head=dict(name="heads.deeplabv3.DeepLabV3", features=128, skip_stage=-3),
        mean=(127.5, 127.5, 127.5),
        std=(127.5, 127.5, 127.5),
        dtype="float32",
    )
    config.method = dict(name="supervised.Supervised", class_weights=())
    config.optimizer = dict(
        name="adamw", weight_decay=0.01, clip_norm=1.0, multipliers=()
    )
    config.schedule = dict(
        name="poly", peak=1e-3, power=0.9, warmup_steps=100, warmup_power=1.0
    )
    config.sharding = ()  # all replicated

    config.init_from = ""
    config.init_allow = ()  # what a file of weights may lack or have too much
    # Steps between; pictures: how many an evaluation shows; profile: the step to
    # trace from, 0 for never. An evaluation also saves a checkpoint.
    config.every = dict(log=20, checkpoint=200, evaluate=400, pictures=4, profile=0)
    # `metrics` are those TensorBoard shows; metrics.jsonl has all.
    config.evals = dict(
        val=dict(
            split="val",
            batch_size=4,
            buckets=4,  # canvases at most, for pictures of several sizes
            metrics=("mean_iou", "pixel_accuracy"),
        )
    )

    words = variant.split(",") if variant else []
    for word in words:
        if word != "tiny":
            raise ValueError(f"unknown variant {word!r}: use tiny")
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
        config.schedule.warmup_steps = 0
        config.every = dict(log=1, checkpoint=1, evaluate=2, pictures=2)
    return config
