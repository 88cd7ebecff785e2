"""ZS3Net and ZS5Net with MobileNetV2 on 320 pictures of PASCAL VOC, sized for a CPU.

    export JAXSEG_DATA=<folder that holds voc_mini/, word_vectors/ and weights/>
    python -m jaxseg.tools.run_stages --config configs/zs3net_voc_mini.py \
        --workdir runs/zs3

runs the stages `:segmentation`, `:generator` and `:self_training`, each from the folder
of the one before (`init_from`).

15 classes are seen and 5 unseen, background is ignored, and the backbone starts from
ImageNet weights. With `:graph`, graph context in the generator's stage; with `:zs3`,
ZS3Net's protocol for the same split (background is seen, pictures with unseen classes
are left out); with `:tiny`, two steps on embedded scenes, offline. Variants join by
commas: `:generator,graph`.
"""

import ml_collections

STAGES = ("segmentation", "generator", "self_training")
WORDS = ("zs3", "segmentation", "generator", "self_training", "graph", "tiny")


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
        background=False,
        unseen="voc12_15_5",
        train_images="ignore_unseen",
        batch_size=8,
        crop=(192, 192),
        short_side=192,
        scale=(0.75, 1.5),
        aspect=(0.9, 1.1),
        flip=0.5,
        brightness=10,
        on_error="raise",
        loader="threads",
        num_threads=2,
        num_workers=0,
    )
    config.word_vectors = dict(
        name="word_vectors.read",
        path="$JAXSEG_DATA/word_vectors/voc12.npz",
        parts=("fasttext", "word2vec"),
        normalise=True,
    )
    config.model = dict(
        name="segmentor.Segmentor",
        backbone=dict(name="backbones.mobilenet_v2.MobileNetV2", output_stride=16),
        head=dict(name="heads.deeplabv3.DeepLabV3", features=128, separable=True),
        mean=(127.5, 127.5, 127.5),
        std=(127.5, 127.5, 127.5),
        dtype="float32",
    )
    config.method = dict(
        name="zs3net.ZS3Net",
        stage="segmentation",
        layout="sampled",
        region_share=0.25,
        noise="normal",
        generator_rate=2e-4,
        generator_updates="pair",
        samples=64,
        max_classes=4,
        unseen_weight=10.0,  # with more regions, less chance
        restart_classifier=True,
        graph_context=False,
        node_weight=0.1,
        pseudo_percent=25,
    )
    config.optimizer = dict(
        name="adamw",
        weight_decay=0.01,
        clip_norm=0.0,
        multipliers=(("^backbone", 0.1),),
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
            canvas=(513, 513),
            protocol=dict(name="resized.Resized", short_side=256),
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
        config.total_steps = 300
        # Of the classifier, the only part that it moves.
        config.optimizer = dict(
            name="sgd", momentum=0.9, weight_decay=5e-4, clip_norm=0.0, multipliers=()
        )
        config.schedule.peak = 0.07
        config.init_from = "runs/zs3/segmentation"
    elif word == "self_training":
        config.method.stage = "self_training"
        config.total_steps = 300
        config.data.train_images = "ignore_unseen"
        config.schedule.peak = 3e-4
        config.init_from = "runs/zs3/generator"
    elif word == "graph":
        config.method.graph_context = config.method.stage == "generator"
    elif word == "zs3":
        config.data.background = True
        config.data.train_images = "purge_unseen"
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
    config.method.samples = 4
    config.method.max_classes = 3
    config.init_from = ""
    config.every = dict(log=1, checkpoint=1, evaluate=2, pictures=2)
    config.evals.val = dict(split="val", batch_size=2, metrics=("mean_iou",))
