"""Cross entropy on the street scenes that come with jaxseg: minutes on a laptop.

    python -m jaxseg.main --config configs/quickstart.py --workdir runs/quickstart

The measured result and time are in docs/results.md; with `:tiny`, two steps.
"""

import ml_collections


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    config.seed = 0
    config.total_steps = 600
    config.num_devices = 0  # all

    config.data = dict(
        name="scenes.Scenes",
        split="train",
        height=96,
        width=128,
        num_train=3_000,
        num_val=100,
        batch_size=8,
        crop=(96, 128),
        scale=(1.0, 1.0),
        aspect=(1.0, 1.0),
        flip=0.5,
        brightness=0,
        on_error="raise",
        loader="threads",
        num_threads=2,
    )
    config.model = dict(
        name="segmentor.Segmentor",
        backbone=dict(
            name="backbones.tiny.Tiny", widths=(16, 32, 64, 96), depths=(1, 1, 2, 2)
        ),
        head=dict(name="heads.fpn.FPN", features=32),
        mean=(123.675, 116.28, 103.53),
        std=(58.395, 57.12, 57.375),
        dtype="float32",
    )
    config.method = dict(name="supervised.Supervised", class_weights=())
    config.optimizer = dict(name="adamw", weight_decay=1e-3, clip_norm=0.0)
    config.schedule = dict(
        name="poly", peak=4e-3, power=0.9, warmup_steps=50, warmup_power=1.0
    )
    config.sharding = ()  # all replicated

    config.init_from = ""
    # Steps between; pictures: how many an evaluation shows; profile: the step to
    # trace from, 0 for never. An evaluation also saves a checkpoint.
    config.every = dict(log=50, checkpoint=200, evaluate=200, pictures=4, profile=0)
    # `metrics` are those TensorBoard shows; metrics.jsonl has all.
    config.evals = dict(
        val=dict(split="val", batch_size=20, metrics=("mean_iou", "pixel_accuracy"))
    )

    if variant == "tiny":
        config.total_steps = 2
        config.data.height = 32
        config.data.width = 64
        config.data.num_train = 8
        config.data.num_val = 3
        config.data.crop = (32, 64)
        config.every = dict(log=1, checkpoint=1, evaluate=2, pictures=2)
        config.evals.val.batch_size = 2
    elif variant:
        raise ValueError(f"unknown variant {variant!r}: use tiny")
    return config
