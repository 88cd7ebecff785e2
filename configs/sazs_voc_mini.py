"""SAZS with MobileNetV2 on 320 pictures of PASCAL VOC, sized for a CPU.

    export JAXSEG_DATA=<folder that holds voc_mini/, clip_text/ and weights/>
    python -m jaxseg.main --config configs/sazs_voc_mini.py --workdir runs/sazs_0 \
        --config.data.fold=0

Episodes of PASCAL-5i made of all pairs that the masks hold; the five classes of the
fold are held out, and unlabelled in training. The backbone starts from ImageNet
weights, and the same weights, as they are, group the patches of the eigensegments.
Texts are stored ones of ViT-B/16, `a photo of a NAME`; none of `others` is among them,
and "background" stands for everything else. With `:align`, no shape constraint; with
`:multiclass`, all classes are searched for at once; with `:tiny`, two steps on made-up
shapes, offline. Variants join by commas.

Compare what fusion does to one checkpoint with

    python -m jaxseg.tools.score_fusion --workdir runs/sazs_0
"""

import ml_collections

from jaxseg.methods.sazs import variants


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    config.seed = 0
    config.total_steps = 200
    config.num_devices = 0  # all

    config.data = dict(
        name="episodes.FewShot",
        base=dict(name="voc.VOC", root="$JAXSEG_DATA/voc_mini", form="folder"),
        benchmark="pascal5i",
        fold=0,
        lists="",  # all pairs that the masks hold
        train_split="train",
        val_split="val",
        train_images="ignore_unseen",
        test_episodes=0,  # each pair once
        whole_masks=True,
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
        name="clip_text.read",
        path="$JAXSEG_DATA/clip_text/voc21_vitb16_photo.npz",
        model="ViT-B/16",
        background="background",
    )
    config.model = dict(
        name="guided.GuidedSegmentor",
        backbone=dict(name="backbones.mobilenet_v2.MobileNetV2", output_stride=16),
        head=dict(name="heads.psp.PSP", features=512, pool_features=128),
        decoder=dict(
            name="heads.text_anchors.TextAnchors",
            similarity="cosine",
            scale=1 / 0.07,
            learn_scale=False,
            center_text=False,
        ),
        guide=dict(name="backbones.mobilenet_v2.MobileNetV2", output_stride=8),
        guide_stage=-2,  # the last one groups less well
        guide_mean=(127.5, 127.5, 127.5),
        guide_std=(127.5, 127.5, 127.5),
        mean=(127.5, 127.5, 127.5),
        std=(127.5, 127.5, 127.5),
        dtype="float32",
    )
    config.method = dict(
        name="sazs.SAZS",
        setting="binary",
        void_as_others=False,
        label_mode="subsample",
        edge_stage=None,
        shape=dict(
            name="sazs.shape.Shape",
            edge_weight=0.3,
            attention_weight=0.1,
            transform_weight=0.3,
            void_growth=4,
        ),
        transform=dict(name="jaxseg.pretrained.inverse_transform:read"),
        segments=dict(
            name="sazs.segments.Segments",
            number=5,
            long_side=256,
            colour_weight=0.0,
            enlargement="bilinear",
            solver="auto",
        ),
        fusion=dict(name="sazs.segments.Fusion", rule="label_free", threshold=0.5),
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
    config.guide_from = "$JAXSEG_DATA/weights/mobilenet_v2_1.0_224.safetensors"
    # Steps between; pictures: how many an evaluation shows; profile: the step to
    # trace from, 0 for never. An evaluation also saves a checkpoint.
    config.every = dict(log=20, checkpoint=100, evaluate=0, pictures=4, profile=0)
    # `metrics` are those TensorBoard shows; metrics.jsonl has all.
    config.evals = dict(
        fold=dict(
            split="val",
            batch_size=4,
            canvas=(513, 513),
            protocol=dict(name="resized.Resized", short_side=256),
            measures=(dict(name="fold.FoldIoU"),),
            metrics=("fold_mean_iou", "fb_iou"),
        )
    )

    words = variant.split(",") if variant else []
    if "align" in words:
        words.remove("align")
        config.method.transform = None
        config.method.shape.update(
            edge_weight=0.0, attention_weight=0.0, transform_weight=0.0
        )
    return variants.apply(config, ",".join(words))
