"""PiCo on the street scenes that come with jaxseg: minutes on a laptop.

    python -m jaxseg.main --config configs/quickstart.py --workdir runs/quickstart

The measured result and time are in docs/results.md. With `:cross_entropy`, the same
without contrast; with `:batch`, `:pixel`, `:region`, `:both` (as it is without a word)
or `:semi_hard`, another row of the ablation (`jaxseg.methods.pico.variants`); with
`:tiny`, two steps. Variants join by commas.
"""

import ml_collections

from jaxseg.methods.pico import variants


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    _, words = variants.split(variant, networks=())

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
    config.method = dict(
        name="pico.PiCo",
        contrast_weight=0.1,  # 0: plain cross entropy, the network without projection
        warmup_steps=75,
        contrast_set="both",
        temperature=0.1,
        base_temperature=0.07,
        group_size=2,
        max_samples=128,
        max_views=24,  # of 48 x 64 positions: 8.9 classes of a scene have more
        embedding_dim=32,
        embedding_stages=(),  # the head's features, at half the size of the picture
        region_size=100,
        pixel_size=500,
        pixel_picks=10,
        memory_dtype="float32",
        example_mode="all",  # of the memory; the paper's "semi_hard" and mixes of
        num_mixed_negatives=0,  # negatives are for larger ones
        num_anchor_mixes=0,
        class_weights=(),
    )
    config.optimizer = dict(name="adamw", weight_decay=1e-3, clip_norm=0.0)
    config.schedule = dict(
        name="poly", peak=4e-3, power=0.9, warmup_steps=50, warmup_power=1.0
    )
    config.sharding = ()  # all replicated

    config.init_from = ""
    config.init_allow = ()  # what a file of weights may lack or have too much
    # Steps between; pictures: how many an evaluation shows; profile: the step to
    # trace from, 0 for never. An evaluation also saves a checkpoint.
    config.every = dict(log=50, checkpoint=200, evaluate=200, pictures=4, profile=0)
    # `metrics` are those TensorBoard shows; metrics.jsonl has all.
    config.evals = dict(
        val=dict(split="val", batch_size=20, metrics=("mean_iou", "pixel_accuracy"))
    )

    variants.apply(config, (word for word in words if word != "tiny"))
    if "tiny" in words:
        config.total_steps = 2
        config.data.height = 32
        config.data.width = 64
        config.data.num_train = 8
        config.data.num_val = 3
        config.data.crop = (32, 64)
        config.method.warmup_steps = 1
        config.method.max_views = 2
        config.every = dict(log=1, checkpoint=1, evaluate=2, pictures=2)
        config.evals.val.batch_size = 2
    return config
