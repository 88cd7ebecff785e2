"""Variants that SAZS's configs have in common: `multiclass`, `decoder` and `tiny`."""

from typing import Any

from jaxseg.config import ConfigError, suggest

WORDS = ("multiclass", "decoder", "tiny")
_EPISODES = (
    "base",
    "benchmark",
    "fold",
    "lists",
    "train_split",
    "val_split",
    "test_episodes",
    "whole_masks",
)


def apply(config: Any, variant: str) -> Any:
    """Changes a config as the words of its variant say.

    Args:
        config: of episodes.
        variant: of `WORDS`, joined by commas; "" for none.

    Returns:
        The config.

    Raises:
        ConfigError: for an unknown word.
    """
    words = variant.split(",") if variant else []
    for word in words:
        if word not in WORDS:
            raise ConfigError(f"unknown variant {word!r}{suggest(word, WORDS)}")
    if "decoder" in words:
        add_decoder(config)
    if "tiny" in words:
        shrink(config)
    if "multiclass" in words:
        search_for_all(config)
    return config


def add_decoder(config: Any) -> None:
    """The whole of DPT, as LSeg trains it: four taps, fused up to stride 2.

    Raises:
        ConfigError: if the encoder is no transformer.
    """
    if config.model.head.name != "heads.dpt.Reassemble":
        raise ConfigError("the variant 'decoder' is of configs with the encoder 'dpt'")
    config.model.backbone.update(depth=24, taps=(5, 11, 17, 23))
    config.model.head = dict(name="heads.dpt.DPT", refine=False, embedding=512)
    config.init_allow = ("backbone/readouts_*", "backbone/norm/*")


def search_for_all(config: Any) -> None:
    """Whole pictures instead of episodes, and all their classes at once.

    Published figures are of the binary setting; there are none of this one, which is
    harder.
    """
    given = config.data.to_dict()
    config.method.setting = "multiclass"
    unseen = f"{given['benchmark']}_{given['fold']}"
    kept = {key: value for key, value in given.items() if key not in _EPISODES}
    split = given.get("train_split", "train")
    # Unseen classes among the others would be trained against where they are known.
    kept["train_images"] = "ignore_unseen"
    config.data = kept | given["base"] | dict(split=split, unseen=unseen)
    fold = config.evals.fold.to_dict()
    del fold["measures"]
    metrics = ("mean_iou", "seen_iou", "unseen_iou", "harmonic_iou")
    del config.evals["fold"]
    config.evals.val = fold | dict(split=given.get("val_split", "val"), metrics=metrics)


def shrink(config: Any) -> None:
    """Two steps of a miniature on made-up shapes, offline."""
    data = config.data
    classes = "coco" if data.benchmark == "coco20i" else "voc"
    shapes = dict(height=32, width=32, num_train=80, num_val=48, most=4)
    config.total_steps = 2
    config.data = dict(
        name="episodes.FewShot",
        base=dict(name="shapes.Shapes", classes=classes, **shapes),
        benchmark=data.benchmark,
        fold=data.fold,
        train_images=data.train_images,
        test_episodes=6,
        whole_masks=True,
        batch_size=8,
        crop=(32, 32),
        on_error="raise",
        loader="threads",
        num_threads=2,
    )
    config.word_vectors = dict(name="word_vectors.drawn", size=16)
    head = config.model.head.name
    if head.startswith("heads.dpt"):
        taps = range(len(config.model.backbone.taps))
        config.model.backbone.update(width=32, num_heads=2, image_grid=(2, 2))
        config.model.backbone.update(depth=len(taps), taps=tuple(taps))
        config.model.head.update(features=16)
    if head == "heads.dpt.DPT":
        config.model.head.update(reassembled=(8, 8, 8, 8), embedding=16)
    elif head == "heads.psp.PSP":
        config.model.backbone = dict(name="backbones.tiny.Tiny")
        config.model.head = dict(name="heads.psp.PSP", features=16, pool_features=4)
    config.model.dtype = "float32"
    config.model.guide = None
    config.model.guide_stage = -1
    config.method.segments.long_side = 0
    config.init_from = ""
    config.guide_from = ""
    config.every = dict(log=1, checkpoint=1, evaluate=2, pictures=2)
    config.evals.fold.batch_size = 4
    config.evals.fold.canvas = (32, 32)
    config.evals.fold.protocol = dict(name="resized.Resized", short_side=32)
