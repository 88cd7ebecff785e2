"""SAZS with ViT-L/16 on COCO-20i, as its authors' code has it.

    export JAXSEG_DATA=<folder that holds COCO2014/ and weights/>
    python -m jaxseg.main --config configs/sazs_coco20i_reference.py \
        --workdir runs/sazs_0 --config.data.fold=0 --config.data.lists=<fold lists>

Not measured here: no machine of ours has the photographs or the weights. Needed are the
backbone's ImageNet weights in `init_from`, CLIP's in `config.word_vectors.weights`
(stored texts serve as well: `clip_text.read`) and DINO's in `guide_from`; without the
latter set `config.model.guide=None` and `config.model.guide_stage=-1`, and the trained
backbone groups the patches. docs/methods/sazs.md has the form of the lists.

The authors' choices, and what is not theirs, are as in sazs_pascal5i_reference.py.
Their fusion reads the labels of the test: score it, named so, with
`python -m jaxseg.tools.score_fusion --workdir runs/sazs_0`.
With `:multiclass`, all classes are searched for at once, and seen, unseen and harmonic
IoU are scored; with `:tiny`, two steps of a miniature on made-up shapes, offline.
Variants join by commas.
"""

import ml_collections

from jaxseg.methods.sazs import variants


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    config.seed = 0
    config.total_steps = 233_000
    config.num_devices = 0  # all

    config.data = dict(
        name="episodes.FewShot",
        base=dict(name="coco.COCO", root="$JAXSEG_DATA/COCO2014", form="tfds"),
        benchmark="coco20i",
        fold=0,
        lists="",  # published ones leave small things out; "" for all pairs there are
        train_split="train",
        val_split="val",
        train_images="keep_unseen",  # unseen classes are others
        test_episodes=1000,
        whole_masks=True,
        batch_size=6,
        crop=(512, 512),
        scale=(0.5, 2.0),
        aspect=(1.0, 1.0),
        flip=0.5,
        brightness=0,
        on_error="raise",
        loader="threads",
        num_threads=16,
        num_workers=0,
    )
    config.word_vectors = dict(
        name="jaxseg.pretrained.text_table:encode",
        weights="$JAXSEG_DATA/weights/ViT-B-32.pt",
        tower="ViT-B/32",
        templates=("{}",),  # the bare name
        prompt_names="lseg",
        background="others",
    )
    config.model = dict(
        name="guided.GuidedSegmentor",
        backbone=dict(
            name="backbones.vit.ViT",
            width=1024,
            depth=12,  # of 24: the authors' code reads no further
            num_heads=16,
            taps=(11,),
            image_grid=(24, 24),
            position_resize="bilinear",
            final_norm=False,
            readout="project",
        ),
        head=dict(name="heads.dpt.Reassemble", features=512, scale=2),
        decoder=dict(
            name="heads.text_anchors.TextAnchors",
            similarity="dot",
            scale=1.0,
            learn_scale=False,
            center_text=False,
        ),
        guide=dict(name="backbones.vit.ViT"),  # DINO's ViT-S/16
        guide_stage=None,  # the keys of its last block
        mean=(73.98, 83.67, 73.19),  # of Cityscapes, as in the authors' code
        std=(46.67, 47.58, 47.10),
        dtype="float32",
    )
    config.method = dict(
        name="sazs.SAZS",
        setting="binary",
        void_as_others=True,
        label_mode="subsample",
        edge_stage=None,
        shape=dict(
            name="sazs.shape.Shape",
            edge_weight=0.3,
            attention_weight=0.1,
            transform_weight=0.3,
            target="band",
            attention_sum=True,
            activation="log_softmax",
            rows=3,
            columns=6,
            least_edges=0,
            void_growth=0,
        ),
        transform=dict(name="jaxseg.pretrained.inverse_transform:read"),
        segments=dict(
            name="sazs.segments.Segments",
            number=5,
            long_side=512,
            colour_weight=0.0,
            include_trivial=True,
            enlargement="nearest",
            solver="auto",
        ),
        fusion=dict(name="sazs.segments.Fusion", rule="none", threshold=0.5),
    )
    config.optimizer = dict(
        name="sgd",
        momentum=0.9,
        weight_decay=1e-4,
        clip_norm=0.0,
        multipliers=(),
    )
    config.schedule = dict(
        name="poly", peak=0.0002, power=0.9, warmup_steps=0, warmup_power=1.0
    )
    config.sharding = ()  # all replicated

    config.init_from = ""  # the backbone's ImageNet weights: see docs/models.md
    config.init_allow = (  # what a file of an ImageNet ViT lacks, and has too much
        "backbone/readouts_*",
        "backbone/blocks_1[2-9]/*",
        "backbone/blocks_2?/*",
        "backbone/norm/*",
    )
    config.guide_from = "$JAXSEG_DATA/weights/dino_deitsmall16_pretrain.pth"
    # Steps between; pictures: how many an evaluation shows; profile: the step to
    # trace from, 0 for never. An evaluation also saves a checkpoint.
    config.every = dict(log=50, checkpoint=1_000, evaluate=0, pictures=4, profile=0)
    # `metrics` are those TensorBoard shows; metrics.jsonl has all.
    config.evals = dict(
        fold=dict(
            split="val",
            batch_size=8,
            canvas=(640, 640),
            protocol=dict(name="resized.Resized", size=(512, 512)),
            measures=(dict(name="fold.FoldIoU", void_predictions=True),),
            metrics=("fold_mean_iou", "fb_iou"),
        )
    )
    return variants.apply(config, variant)
