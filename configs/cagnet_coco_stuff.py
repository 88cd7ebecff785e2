"""CaGNet with DeepLabV2-ResNet-101 on COCO-Stuff 164k, 167 classes seen, 15 unseen.

    export JAXSEG_DATA=<folder that holds coco_stuff164k/ and word_vectors/>
    python -m jaxseg.tools.run_stages --config configs/cagnet_coco_stuff.py \
        --workdir runs/cagnet_coco

runs the stages one after the other: `:step1` on seen classes, `:mixed` also on
synthesised features, `:st` with pseudo labels, `:st_mixed` as `:mixed`. A stage by
itself is

    python -m jaxseg.main --config configs/cagnet_coco_stuff.py:mixed \
        --workdir runs/cagnet_coco/mixed --config.init_from=runs/cagnet_coco/step1

The authors' recipe. Their numbers of steps count those on pictures and those on
synthesised features, which alternate; `total_steps` here counts the former. With
`:patch`, patch-wise as CaGNet v2, and with `:patch,pixelcnn` the patches come from the
network over labels; with `:tiny`, a few steps of a miniature on embedded scenes.
Words join by commas. Not measured here: no machine of ours has the photographs.

The backbone's ImageNet weights are to be named in `init_from`; weights trained on
COCO have seen the unseen classes. (The authors start from a run of SPNet here, and say
that ImageNet weights and more steps do as well.)
"""

import ml_collections

STAGES = ("step1", "mixed", "st", "st_mixed")
WORDS = (*STAGES, "patch", "pixelcnn", "tiny")


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
        head=dict(
            name="heads.context.ContextHead",
            head=dict(name="heads.deeplabv2.DeepLabV2", features=600),
            context=dict(
                name="heads.context.ContextModule",
                width=256,
                dilations=(1, 2, 5),
                kind="dilated",
                selector=True,
                parity_relu=False,
            ),
        ),
        decoder=dict(
            name="heads.feature_classifier.FeatureClassifier",
            hidden=1024,
            dropout=0.5,
            window=1,
            extra_background_logit=False,
        ),
        channel_order="bgr",
        mean=(104.008, 116.669, 122.675),
        std=(1.0, 1.0, 1.0),
        dtype="bfloat16",
    )
    config.method = dict(
        name="cagnet.method.CaGNet",
        generator=dict(
            name="jaxseg.models.generator:Generator",
            features=600,
            hidden=(1024, 960, 864, 784, 720),
            dropout=(0.1, 0.1, 0.3, 0.5, 0.5),
            dtype="bfloat16",
        ),
        scales=(1.0, 0.5, 0.75),
        gan="l1",
        update="simultaneous",
        trains_encoder=True,
        weights=dict(
            name="cagnet.losses.Weights",
            critic_real=1.0,
            critic_generated=0.0,
            critic_adversarial=1.0,
            critic_penalty=10.0,  # read with gan="wgan_gp"
            encoder_divergence=100.0,
            encoder_real=0.5,
            generator_adversarial=1.0,
            generator_content=50.0,
            generator_generated=0.0,
        ),
        content=dict(name="cagnet.losses.Content", kind="mmd_per_class", slots=64),
        critic_optimizer=adam(5e-4, 10_000, 10_000, 0.3, weight_decay=5e-4),
        generator_optimizer=adam(2e-4, 10_000, 5_000, 0.3),
    )
    # Of the encoder. Normalisation stays as it was trained on ImageNet.
    config.optimizer = dict(
        name="sgd",
        momentum=0.9,
        weight_decay=5e-4,
        undecayed=("^head/head/.*bias",),
        multipliers=(
            ("norm", 0.0),
            ("^head/context", 5.0),
            ("^head/head/.*kernel", 10.0),
            ("^head/head/.*bias", 20.0),
        ),
    )
    config.schedule = dict(name="poly", peak=2.5e-4, power=0.9, refresh_every=100)
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
            canvas=(640, 640),
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


def adam(
    peak: float, start: int, every: int, factor: float, weight_decay: float = 0.0
) -> dict:
    """Torch's Adam, its rate cut by a factor at a step and every so many after."""
    return dict(
        name="jaxseg.optimizers:adam",
        schedule=dict(
            name="jaxseg.optimizers:step_decay",
            peak=peak,
            start=start,
            every=every,
            factor=factor,
        ),
        weight_decay=weight_decay,
    )


def apply(config: ml_collections.ConfigDict, word: str) -> None:
    """Changes the config as a word of its variant says."""
    method = config.method
    if word in ("mixed", "st_mixed"):
        is_first = word == "mixed"
        config.every.evaluate = 500  # unseen classes come within few steps
        config.total_steps = 3_000 if is_first else 5_000
        method.trains_encoder = False
        method.weights.critic_real = 0.75
        method.weights.critic_generated = 0.25
        # The generator moves on pictures alone in the last stage, where its cuts
        # come in half as many steps.
        method.critic_optimizer = (
            adam(1e-5, 3_000, 2_000, 0.3, weight_decay=5e-4)
            if is_first
            else adam(5e-5, 3_000, 1_000, 0.5, weight_decay=5e-4)
        )
        method.generator_optimizer = (
            adam(1e-5, 3_000, 2_000, 0.3) if is_first else adam(5e-5, 1_500, 500, 0.5)
        )
        method.synthesis = dict(
            name="cagnet.synthesis.Synthesis",
            interval=(100, 100),
            features_per_step=17_672,
            unseen_rate=59.0 if is_first else 25.0,
            critic_weight=1.0 if is_first else 0.125,
            generator_weight=1.0 if is_first else 0.0,
            patch=1,
        )
        config.init_from = f"runs/cagnet_coco/{'step1' if is_first else 'st'}"
    elif word == "st":
        config.total_steps = 10_000
        config.data.batch_size = 4
        config.data.crop = (368, 368)
        method.pseudo_labels = dict(
            name="jaxseg.ops.pseudo_labels:PseudoLabels",
            top_p=1,
            min_probability=0.0,
            calibration=0.0,
            consistency=False,
        )
        method.weights.critic_real = 0.5
        method.weights.critic_generated = 0.5
        config.schedule.peak = 5e-5
        method.critic_optimizer = adam(5e-5, 5_000, 1_000, 0.3, weight_decay=5e-4)
        method.generator_optimizer = adam(5e-5, 5_000, 1_000, 0.3)
        config.init_from = "runs/cagnet_coco/mixed"
    elif word == "patch":
        config.data.batch_size = 4
        config.data.crop = (376, 376)
        config.model.decoder.window = 3
        if "synthesis" in method:
            method.synthesis.features_per_step = 9_216
            method.synthesis.patch = 3
            method.synthesis.patch_prior = "empirical"
            method.synthesis.pure_share = 0.0
    elif word == "pixelcnn":
        method.patch_network = dict(
            name="cagnet.patch_network.PatchNetwork",
            model=dict(
                name="cagnet.pixelcnn.PixelCNN", width=64, depth=8, kernel_size=7
            ),
            optimizer=adam(1e-6, 0, 1, 1.0),
            side=3,
            patches_per_step=1024,
        )
        if "synthesis" in method:
            method.synthesis.patch_prior = "pixelcnn"
    elif word == "tiny":
        shrink(config)


def shrink(config: ml_collections.ConfigDict) -> None:
    """A few steps of a miniature on embedded scenes."""
    config.total_steps = 2
    config.data = dict(
        name="scenes.Scenes",
        unseen=("car", "tree"),
        train_images="ignore_unseen",
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
    config.model.head.head.features = 16
    config.model.head.context.width = 8
    config.model.decoder.hidden = 32
    config.method.generator.features = 16
    config.method.generator.hidden = (32,)
    config.method.generator.dropout = (0.1,)
    config.method.content.slots = 16
    if "patch_network" in config.method:
        config.method.patch_network.model.width = 8
        config.method.patch_network.model.depth = 2
    if "synthesis" in config.method:
        config.method.synthesis.interval = (2, 2)
        config.method.synthesis.features_per_step = 90
    config.init_from = ""
    config.every = dict(log=1, checkpoint=1, evaluate=2, pictures=2)
    config.evals.val = dict(
        split="val",
        batch_size=2,
        protocol=dict(name="resized.Resized", size=(32, 64), compare_at="picture"),
        metrics=("mean_iou",),
    )
