"""The regression network of SAZS's shape constraint, on scenes made up in the step.

    python -m jaxseg.main --config configs/sazs_inverseform.py --workdir runs/theta
    python -m jaxseg.tools.inverse_transform --workdir runs/theta --out x.safetensors

The second command scores the run on 4,096 pairs that it has not seen and writes the
file that `jaxseg.pretrained.inverse_transform.read` reads. To outline the masks of a
data set instead, name it in config.data and set config.method.tiles="labels".

The file that comes with jaxseg is of two runs on 21 November 2026, on two cores of an
AMD EPYC that other work shared, 14 minutes in all. The first had 4,500 steps with
method.coarse_sides=() and method.still_share=0.2; the second began from it
(init_from), with seed=1, total_steps=4000, schedule.peak=7e-4 and
schedule.warmup_steps=100. One run of the steps below is as much work; it was not
measured by itself. Scored by the second command:

    tiles                scale R^2  shift R^2  rank correlation  still  still, clean
    asked of 56 x 56       >= 0.55    >= 0.75           >= 0.75  <= 0.1        <= 0.1
    56 x 56                  0.579      0.768             0.774   0.081         0.032
    21 x 21, enlarged        0.591      0.752             0.816   0.042         0.010
    11 x 11, enlarged        0.587      0.769             0.817   0.047         0.016

R^2 where something was moved, Spearman's correlation of |theta_hat| and |theta| over
all pairs, and the mean |theta_hat| where nothing was. With `:tiny`, two steps.
"""

import ml_collections


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    config.seed = 0
    config.total_steps = 8_500
    config.num_devices = 0  # all

    config.data = dict(
        name="blank.Blank",
        side=8,
        num_train=64,
        batch_size=16,  # times `tiles_per_picture`, pairs of a step
        crop=(8, 8),
        scale=(1.0, 1.0),
        aspect=(1.0, 1.0),
        flip=0.0,
        brightness=0,
        on_error="raise",
        loader="threads",
        num_threads=1,
    )
    config.model = dict(
        name="inverse_transform.regression",
        tile=56,
        hidden=(256, 32),
        dtype="float32",
    )
    config.method = dict(
        name="inverse_transform.InverseTransformPretraining",
        tiles="drawn",  # or "labels", windows of the label maps of another config.data
        tiles_per_picture=8,
        coarse_sides=(10, 21),
        still_share=0.3,
    )
    config.optimizer = dict(name="adam", weight_decay=0.0, clip_norm=0.0)
    config.schedule = dict(name="cosine", peak=1e-3, warmup_steps=0, end=0.0)
    config.sharding = ()  # all replicated

    config.init_from = ""
    config.every = dict(log=100, checkpoint=1_000, evaluate=0, pictures=0, profile=0)
    config.evals = dict()  # its network predicts no classes

    if variant == "tiny":
        config.total_steps = 2
        config.data.batch_size = 8
        config.model.tile = 14
        config.model.hidden = (8, 6)
        config.method.coarse_sides = (7,)
        config.every = dict(log=1, checkpoint=1, evaluate=0, pictures=0, profile=0)
    return config
