"""ZS3Net and ZS5Net with DeepLabV3+ and ResNet-101 on COCO-Stuff 164k.

    export JAXSEG_DATA=<folder that holds coco_stuff164k/ and word_vectors/>
    python -m jaxseg.tools.run_stages --config configs/zs3net_coco_stuff.py \
        --workdir runs/zs3_coco

runs the stages `:segmentation`, `:generator` and `:self_training`, each from the folder
of the one before (`init_from`).

ZS3Net's authors have no COCO-Stuff: split, word vectors, pictures and protocol are
those of CaGNet's comparison (167 classes seen, 15 unseen), steps and rates those of
CaGNet and of ZS3Net on other data. With `:graph`, graph context in the generator's
stage; with `:tiny`, two steps of a miniature on embedded scenes, offline. Words join by
commas: `:generator,graph`. Not measured here: no machine of ours has the photographs.

Weights trained on COCO have seen the unseen classes: start from ImageNet's.
"""

import ml_collections

from jaxseg.models import NETS

STAGES = ("segmentation", "generator", "self_training")
WORDS = (*STAGES, "graph", "tiny")


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    config.seed = 0
    config.total_steps = 40_000
    config.num_devices = 0  # all

    config.data = dict(
        name="coco_stuff.CocoStuff164k",
        split="train",
        root="$JAXSEG_DATA/coco_stuff164k",
        form="tfds",  # "folder" reads the pictures themselves, without preparation
        tfds_dir="",
        classes=182,  # with the eleven that are in no picture
        unseen="cocostuff_167_15",
        train_images="ignore_unseen",
        batch_size=8,
        crop=(368, 368),
        warp=(513, 513),
        scale=(0.5, 1.5),
        aspect=(1.0, 1.0),
        flip=0.5,
        brightness=0,
        on_error="raise",
        loader="threads",
        num_threads=16,
        num_workers=0,
    )
    config.word_vectors = dict(
        name="word_vectors.read",
        path="$JAXSEG_DATA/word_vectors/cocostuff.npz",
        parts=("fasttext", "word2vec"),
        normalise=True,
    )
    config.model = dict(NETS["deeplabv3plus_r101"].spec, dtype="bfloat16")
    config.method = dict(
        name="zs3net.ZS3Net",
        stage="segmentation",
        layout="sampled",  # "gt": the authors', with data.train_images="keep_unseen"
        region_share=0.03,
        noise="normal",  # "uniform": the authors' code
        generator_rate=2e-4,
        generator_updates="pair",
        samples=128,
        max_classes=8,
        unseen_weight=100.0,
        restart_classifier=True,
        graph_context=False,
        node_weight=0.1,
        pseudo_percent=75,
    )
    config.optimizer = dict(
        name="sgd",
        momentum=0.9,
        weight_decay=5e-4,
        clip_norm=0.0,
        multipliers=(("^backbone", 1.0), ("", 10.0)),
    )
    config.schedule = dict(
        name="poly", peak=0.007, power=0.9, warmup_steps=0, warmup_power=1.0
    )
    config.sharding = ()  # all replicated

    config.init_from = ""  # ImageNet weights of the backbone: see docs/models.md
    config.init_allow = ()  # what a file of weights may lack or have too much
    # Steps between; pictures: how many an evaluation shows; profile: the step to
    # trace from, 0 for never. An evaluation also saves a checkpoint.
    config.every = dict(log=50, checkpoint=2_000, evaluate=5_000, pictures=4, profile=0)
    # `metrics` are those TensorBoard shows; metrics.jsonl has all.
    config.evals = dict(
        val=dict(
            split="val",
            batch_size=8,
            canvas=(640, 640),
            # compare_at: "resized" as SPNet's authors score, "map" as CaGNet's.
            protocol=dict(
                name="resized.Resized", size=(513, 513), compare_at="picture"
            ),
            metrics=("mean_iou", "seen_iou", "unseen_iou", "harmonic_iou"),
        )
    )

    words = set(filter(None, variant.split(",")))
    if words - set(WORDS) or len(words & set(STAGES)) > 1:
        raise ValueError(
            f"variant {variant!r}: use words of {', '.join(WORDS)}, of which one is a "
            f"stage, {', '.join(STAGES)}"
        )
    for word in filter(words.__contains__, WORDS):  # in this order
        apply(config, word)
    return config


def apply(config: ml_collections.ConfigDict, word: str) -> None:
    """Changes the config as a word of its variant says."""
    if word == "generator":
        config.method.stage = "generator"
        config.total_steps = 12_000
        config.schedule.peak = 0.07  # of the classifier, the only part that SGD moves
        config.optimizer.multipliers = ()
        config.init_from = "runs/zs3_coco/segmentation"
    elif word == "self_training":
        config.method.stage = "self_training"
        config.total_steps = 10_000  # as CaGNet's
        config.init_from = "runs/zs3_coco/generator"
    elif word == "graph":
        if config.method.stage == "generator":
            config.method.graph_context = True
    elif word == "tiny":
        shrink(config)


def shrink(config: ml_collections.ConfigDict) -> None:
    """Two steps of a miniature on embedded scenes."""
    config.total_steps = 2
    config.data = dict(
        name="scenes.Scenes",
        unseen=("car", "person"),
        train_images="ignore_unseen",  # few scenes have neither
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
    config.word_vectors = dict(name="word_vectors.drawn", size=16)
    config.model.backbone = dict(
        name="backbones.tiny.Tiny", widths=(8, 16), depths=(0, 1)
    )
    config.model.head = dict(name="heads.fcn.FCN", features=16)
    config.model.dtype = "float32"
    config.method.samples = 4
    config.method.max_classes = 3
    config.init_from = ""
    config.every = dict(log=1, checkpoint=1, evaluate=2, pictures=2)
    config.evals.val = dict(split="val", batch_size=2, metrics=("mean_iou",))
