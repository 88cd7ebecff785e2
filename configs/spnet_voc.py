"""SPNet with DeepLabV2-ResNet-101 on PASCAL VOC, 15 classes seen and 5 unseen.

    export JAXSEG_DATA=<folder that holds VOCdevkit/VOC2012/ and word_vectors/>
    python -m jaxseg.main --config configs/spnet_voc.py --workdir runs/spnet

The authors' recipe. With `--mode=eval` and `--config.method.gamma=0.6`, their
calibration, is SPNet-c. To choose gamma without a look at the unseen classes, train
`:validation` (the validation classes stand in for them, the last 500 training pictures
for the test) and let `python -m jaxseg.tools.sweep_calibration` score it. With
`:zero_label`, predictions are over the unseen classes only; with `:tiny`, two steps of
a miniature on embedded scenes, offline. Variants join by commas. Not measured here: no
machine of ours has the photographs. The backbone's ImageNet weights are to be named in
`init_from`; weights trained on COCO or VOC have seen the unseen classes.

With self-training, which its authors have not, after it (`:seen`, then `:st`, with the
steps and the rate of the encoder in CaGNet's):

    python -m jaxseg.tools.run_stages --config configs/spnet_voc.py --workdir runs/spnet
"""

import ml_collections

STAGES = ("seen", "st")
WORDS = ("seen", "st", "validation", "zero_label", "tiny")


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    config.seed = 0
    config.total_steps = 20_000
    config.num_devices = 0  # all

    config.data = dict(
        name="voc.VOC",
        split="train_aug",
        root="$JAXSEG_DATA/VOCdevkit/VOC2012",
        form="tfds",  # "folder" reads the pictures themselves, without preparation
        tfds_dir="",
        background=False,
        unseen="voc12_15_5",
        train_images="ignore_unseen",
        batch_size=10,
        crop=(321, 321),
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
        path="$JAXSEG_DATA/word_vectors/voc12.npz",
        parts=("fasttext", "word2vec"),
        normalise=True,
    )
    config.model = dict(
        name="segmentor.Segmentor",
        backbone=dict(
            name="backbones.resnet.ResNet",
            depth=101,
            output_stride=8,
            dilations=(1, 1, 2, 4),
            stride_in="1x1",
            pool_ceil_mode=True,
            width=64,
            epsilon=1e-5,
        ),
        head=dict(name="heads.deeplabv2.DeepLabV2", features=600),
        decoder=dict(name="heads.word_vectors.WordVectorClassifier"),
        channel_order="bgr",
        mean=(104.008, 116.669, 122.675),
        std=(1.0, 1.0, 1.0),
        dtype="bfloat16",
    )
    config.method = dict(
        name="spnet.SPNet",
        scales=(1.0, 0.5, 0.75),
        predict_scales=(1.0, 0.5, 0.75),
        gamma=0.0,
        zero_label=False,
    )
    config.optimizer = dict(
        name="sgd",
        momentum=0.9,
        weight_decay=5e-4,
        undecayed=("^head/.*bias",),
        multipliers=(("^head/.*kernel", 10.0), ("^head/.*bias", 20.0)),
    )
    config.schedule = dict(name="poly", peak=2.5e-4, power=0.9, refresh_every=10)
    config.sharding = ()  # all replicated

    config.init_from = ""  # ImageNet weights of the backbone: see docs/models.md
    config.init_allow = ()  # what a file of weights may lack or have too much
    # Steps between; pictures: how many an evaluation shows; profile: the step to
    # trace from, 0 for never. An evaluation also saves a checkpoint.
    config.every = dict(log=50, checkpoint=1_000, evaluate=2_000, pictures=4, profile=0)
    # `metrics` are those TensorBoard shows; metrics.jsonl has all.
    config.evals = dict(
        val=dict(
            split="val",
            batch_size=8,
            canvas=(513, 513),
            # compare_at: "resized" as SPNet's authors score, "map" as CaGNet's.
            protocol=dict(
                name="resized.Resized", size=(513, 513), compare_at="picture"
            ),
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
        config.total_steps = 10_000
        config.schedule.peak = 5e-5
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
        config.data.split = "train_aug[:-500]"
        config.evals.val.split = "train_aug[-500:]"
    elif word == "zero_label":
        config.method.zero_label = True
    elif word == "tiny":
        shrink(config)


def shrink(config: ml_collections.ConfigDict) -> None:
    """Two steps of a miniature on embedded scenes."""
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
    config.model.backbone = dict(
        name="backbones.tiny.Tiny", widths=(8, 16), depths=(0, 1)
    )
    config.model.std = (64.0, 64.0, 64.0)  # random weights explode on 0..255
    config.model.head.features = 16
    config.model.dtype = "float32"
    config.init_from = ""
    config.every = dict(log=1, checkpoint=1, evaluate=2, pictures=2)
    config.evals.val.split = "val"
    config.evals.val.canvas = (32, 64)
    config.evals.val.protocol.size = (48, 48)
