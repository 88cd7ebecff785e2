"""CaGNet with MobileNetV2 on 320 pictures of PASCAL VOC, sized for a CPU.

    export JAXSEG_DATA=<folder that holds voc_mini/, word_vectors/ and weights/>
    python -m jaxseg.tools.run_stages --config configs/cagnet_voc_mini.py \
        --workdir runs/cagnet --stages step1,mixed

trains on seen classes (`:step1`), then also on synthesised features (`:mixed`); `:st`
goes on with pseudo labels, `:st_mixed` as `:mixed`. A stage by itself is

    python -m jaxseg.main --config configs/cagnet_voc_mini.py:mixed \
        --workdir runs/cagnet/mixed --config.init_from=runs/cagnet/step1

15 classes are seen and 5 unseen, background is ignored, and the backbone starts from
ImageNet weights. With `:patch`, patch-wise as CaGNet v2; with `:no_context`,
`:no_selector`, `:no_discriminator`, `:no_content`, `:no_divergence`, the paper's
ablation; with `:patch,pixelcnn`, patches drawn from a network over labels; with
`:tiny`, a few steps on embedded scenes, offline. Words join by commas.
The measured results are in docs/results.md.
"""

import ml_collections

STAGES = ("step1", "mixed", "st", "st_mixed")


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
        head=dict(
            name="heads.context.ContextHead",
            # Maps are of 12 pixels: the published rates would look beyond them.
            head=dict(
                name="heads.deeplabv2.DeepLabV2", features=256, rates=(1, 2, 4, 6)
            ),
            context=dict(
                name="heads.context.ContextModule",
                width=64,
                dilations=(1, 2, 5),
                kind="dilated",
                selector=True,
                parity_relu=False,
            ),
        ),
        decoder=dict(
            name="heads.feature_classifier.FeatureClassifier",
            hidden=512,
            dropout=0.5,
            window=1,
            extra_background_logit=False,
        ),
        mean=(127.5, 127.5, 127.5),
        std=(127.5, 127.5, 127.5),
        dtype="float32",
    )
    config.method = dict(
        name="cagnet.method.CaGNet",
        generator=dict(
            name="jaxseg.models.generator:Generator",
            features=256,
            hidden=(512,),
            dropout=(0.1,),
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
        content=dict(name="cagnet.losses.Content", kind="mmd_per_class", slots=128),
        critic_optimizer=adam(1e-3),
        generator_optimizer=adam(1e-3),
    )
    # Of the encoder.
    config.optimizer = dict(
        name="adamw",
        weight_decay=0.01,
        clip_norm=0.0,
        multipliers=(("norm", 0.0), ("^backbone", 0.1)),
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
    unknown = words - set(WORDS)
    if unknown or len(words & set(STAGES)) > 1:
        raise ValueError(
            f"variant {variant!r}: use words of {', '.join(WORDS)}, of which one is a "
            f"stage, {', '.join(STAGES)}"
        )
    for word in filter(words.__contains__, WORDS):  # in this order
        apply(config, word)
    return config


WORDS = (
    *STAGES,
    *("patch", "pixelcnn", "no_context", "no_selector", "no_discriminator"),
    *("no_content", "no_divergence", "tiny"),
)


def adam(peak: float) -> dict:
    """Torch's Adam at a constant rate."""
    return dict(
        name="jaxseg.optimizers:adam",
        schedule=dict(name="jaxseg.optimizers:constant", peak=peak),
        weight_decay=0.0,
    )


def apply(config: ml_collections.ConfigDict, word: str) -> None:
    """Changes the config as a word of its variant says."""
    method = config.method
    if word in ("mixed", "st_mixed"):
        config.total_steps = 100
        method.trains_encoder = False
        method.weights.critic_real = 0.75
        method.weights.critic_generated = 0.25
        method.critic_optimizer = adam(3e-4)
        method.generator_optimizer = adam(3e-4)
        method.synthesis = dict(
            name="cagnet.synthesis.Synthesis",
            interval=(10, 50),
            features_per_step=2048,
            unseen_rate=9.0 if word == "mixed" else 5.0,
            critic_weight=0.125,
            generator_weight=0.0,
            patch=1,
        )
        config.init_from = "runs/cagnet/step1" if word == "mixed" else "runs/cagnet/st"
    elif word == "st":
        config.total_steps = 150
        method.pseudo_labels = dict(
            name="jaxseg.ops.pseudo_labels:PseudoLabels",
            top_p=1,
            min_probability=0.0,
            calibration=0.0,
            consistency=False,
        )
        method.weights.critic_real = 0.75
        method.weights.critic_generated = 0.25
        config.schedule.peak = 2e-4
        method.critic_optimizer = adam(3e-4)
        method.generator_optimizer = adam(3e-4)
        config.init_from = "runs/cagnet/mixed"
    elif word == "patch":
        config.model.decoder.window = 3
        if "synthesis" in method:
            method.synthesis.patch = 3
            method.synthesis.patch_prior = "empirical"
            method.synthesis.pure_share = 0.1
    elif word == "no_context":
        config.model.head.context.kind = "none"
    elif word == "no_selector":
        config.model.head.context.selector = False
    elif word == "no_discriminator":
        method.weights.critic_adversarial = 0.0
        method.weights.generator_adversarial = 0.0
    elif word == "no_content":
        method.weights.generator_content = 0.0
    elif word == "no_divergence":
        method.weights.encoder_divergence = 0.0
    elif word == "pixelcnn":
        method.patch_network = dict(
            name="cagnet.patch_network.PatchNetwork",
            model=dict(
                name="cagnet.pixelcnn.PixelCNN", width=64, depth=8, kernel_size=7
            ),
            optimizer=adam(1e-3),
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
    config.evals.val = dict(split="val", batch_size=2, metrics=("mean_iou",))
