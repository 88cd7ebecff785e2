"""SPNet with MobileNetV2 on 320 pictures of PASCAL VOC, sized for a CPU.

    export JAXSEG_DATA=<folder that holds voc_mini/, word_vectors/ and weights/>
    python -m jaxseg.main --config configs/spnet_voc_mini.py --workdir runs/spnet

15 classes are seen and 5 unseen, background is ignored, and the backbone starts from
ImageNet weights. To choose gamma without a look at the unseen classes, train
`:validation` (the validation classes stand in for them, the last 64 training pictures
for the test) and let `python -m jaxseg.tools.sweep_calibration` score it. With
`:zero_label`, predictions are over the unseen classes only; with `:tiny`, two steps on
embedded scenes, offline. Variants join by commas. With self-training, first `:seen`,
then `:st`:

    python -m jaxseg.tools.run_stages --config configs/spnet_voc_mini.py \
        --workdir runs/spnet
"""

import ml_collections

STAGES = ("seen", "st")
WORDS = ("seen", "st", "validation", "zero_label", "tiny")


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
        # Maps are of 12 pixels: the published rates would look beyond them.
        head=dict(name="heads.deeplabv2.DeepLabV2", features=600, rates=(1, 2, 4, 6)),
        decoder=dict(name="heads.word_vectors.WordVectorClassifier"),
        mean=(127.5, 127.5, 127.5),
        std=(127.5, 127.5, 127.5),
        dtype="float32",
    )
    config.method = dict(
        name="spnet.SPNet",
        scales=(1.0, 0.5, 0.75),
        predict_scales=(1.0,),
        gamma=0.0,
        zero_label=False,
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

    words = {word for word in variant.split(",") if word}
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
    if word == "st":
        config.total_steps = 150
        config.schedule.peak = 3e-4
        config.method.pseudo_labels = dict(
            name="jaxseg.ops.pseudo_labels:PseudoLabels",
            top_p=1,
            min_probability=0.0,
            calibration=0.6,
            consistency=False,
        )
        config.init_from = "runs/spnet/seen"
    elif word == "validation":
        config.data.unseen = "voc12_15_5:validation"
        config.data.split = "train[:-64]"
        config.evals.val.split = "train[-64:]"
    elif word == "zero_label":
        config.method.zero_label = True
    elif word == "tiny":
        shrink(config)


def shrink(config: ml_collections.ConfigDict) -> None:
    """Two steps on embedded scenes."""
    config.total_steps = 2
    config.data = dict(
        name="scenes.Scenes",
        height=32,
        width=64,
        num_train=8,
        num_val=3,
        unseen=("car", "tree"),
        train_images="ignore_unseen",
        batch_size=8,
        crop=(32, 64),
        on_error="raise",
        loader="threads",
        num_threads=2,
    )
    config.word_vectors = dict(name="word_vectors.drawn", size=16)
    config.model.head.features = 16
    config.init_from = ""
    config.every = dict(log=1, checkpoint=1, evaluate=2, pictures=2)
    config.evals.val.split = "val"
    config.evals.val.canvas = (32, 64)
    config.evals.val.protocol.short_side = 32
