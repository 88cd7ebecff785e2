"""A config of two stages, on scenes of 32 x 64 pixels, for tests/tools."""

import ml_collections

STAGES = ("first", "second")


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    config.seed = 0
    config.total_steps = 4
    config.num_devices = 1
    config.data = dict(
        name="scenes.Scenes",
        height=32,
        width=64,
        num_train=8,
        num_val=3,
        batch_size=8,
        crop=(32, 64),
    )
    config.model = dict(
        name="segmentor.Segmentor",
        backbone=dict(name="backbones.tiny.Tiny", widths=(8, 16), depths=(0, 1)),
        head=dict(name="heads.fcn.FCN", features=16),
    )
    config.method = dict(name="supervised.Supervised")
    config.optimizer = dict(name="sgd", momentum=0.9)
    config.schedule = dict(name="poly", peak=0.1)
    config.init_from = ""
    config.every = dict(log=1, checkpoint=2, evaluate=0, pictures=0)
    config.evals = dict(val=dict(split="val", batch_size=3, metrics=("mean_iou",)))
    for word in filter(None, variant.split(",")):
        if word == "second":
            config.total_steps = 2
            config.schedule.peak = 0.0
        elif word == "long":
            config.total_steps = 100_000
        elif word != "first":
            raise ValueError(f"unknown variant {word!r}")
    return config
