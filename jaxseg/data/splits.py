"""Which classes are held out of training: the published zero-shot splits and folds.

A data set takes one by name, `unseen="voc12_15_5"`, or as a tuple of class names.
These are splits of classes; those of pictures are called "train" and "val".
"""

from collections.abc import Sequence

from jaxseg.data import labels
from jaxseg.data.labels import LabelSet

_FOLDS = {"pascal5i": "PASCAL-5i", "coco20i": "COCO-20i"}
BENCHMARKS, NUM_FOLDS = tuple(_FOLDS), 4
_CHOOSING = "validation"  # after a split's name and a colon: its stand-ins are unseen
_THINGS = 91  # the first ids of COCO-Stuff are COCO's things, 11 of them in no mask
NEVER_LABELLED = (
    "street sign",
    "hat",
    "shoe",
    "eye glasses",
    "plate",
    "mirror",
    "window",
    "desk",
    "door",
    "blender",
    "hair brush",
)  # ids that COCO set aside and no picture of COCO or COCO-Stuff holds


def names() -> tuple[str, ...]:
    """The names that `unseen_classes` knows."""
    folds = [f"{name}_{fold}" for name in _FOLDS for fold in range(NUM_FOLDS)]
    return (*labels.read_json("splits"), *folds)


def unseen_classes(name: str) -> tuple[str, ...]:
    """The classes that a split holds out of training, in its order.

    Args:
        name: "voc12_15_5", "cocostuff_167_15" (Xian et al., SPNet, CVPR 2019),
            "context33_29_4" (Gu et al., CaGNet, ACM MM 2020), "zs3_voc21_K" and
            "zs3_context60_K" with K = 2, 4, 6, 8, 10 (Bucher et al., ZS3Net, NeurIPS
            2019), or a fold: "pascal5i_0" to "coco20i_3".

    Raises:
        ValueError: if there is no such split.
    """
    family, _, number = name.rpartition("_")
    if family in _FOLDS and number.isdecimal():
        return fold(family, int(number))
    return tuple(_published(name)["unseen"])


def validation_classes(name: str) -> tuple[str, ...]:
    """Seen classes on which the authors chose hyperparameters, as if unseen.

    Raises:
        ValueError: if there is no such split.
    """
    if name.rpartition("_")[0] in _FOLDS:
        return ()
    return tuple(_published(name)["validation"])


def fold(name: str, fold: int) -> tuple[str, ...]:
    """The classes that a few-shot fold holds out.

    PASCAL-5i (Shaban et al., BMVC 2017) takes five in a row of VOC's 20 classes;
    COCO-20i (Nguyen and Todorovic, ICCV 2019) every fourth of COCO's 80.

    Args:
        name: "pascal5i" or "coco20i".
        fold: 0 to 3.

    Raises:
        ValueError: if there is no such fold.
    """
    if name not in _FOLDS or not 0 <= fold < NUM_FOLDS:
        raise ValueError(f"folds are 0 to 3 of {' or '.join(_FOLDS)}: {name!r}, {fold}")
    classes = benchmark_classes(name)
    return classes[5 * fold : 5 * fold + 5] if name == "pascal5i" else classes[fold::4]


def benchmark_classes(name: str) -> tuple[str, ...]:
    """The classes of "pascal5i" or "coco20i", of all folds, in the benchmark's order.

    Raises:
        ValueError: if there is no such benchmark.
    """
    if name not in _FOLDS:
        raise ValueError(f"benchmarks are {' and '.join(_FOLDS)}: got {name!r}")
    return labels.VOC.names[1:] if name == "pascal5i" else coco_things()


def coco_things() -> tuple[str, ...]:
    """COCO's 80 classes, in its order."""
    things = labels.read_table("coco_stuff").names[:_THINGS]
    return tuple(name for name in things if name not in NEVER_LABELLED)


def apply(table: LabelSet, unseen: str | Sequence[str]) -> LabelSet:
    """Marks classes as seen and unseen.

    Args:
        table: the classes.
        unseen: the name of a split or class names; empty for none. A name with
            ":validation" behind it, "voc12_15_5:validation", is for choosing
            hyperparameters without a look at the unseen classes: those are unlabelled
            everywhere, and the split's validation classes are unseen in their place.

    Raises:
        ValueError: if there is no such split, or it holds out classes that are not in
            the table.
    """
    if not unseen:
        return table
    if not isinstance(unseen, str):
        return table.with_unseen(unseen)
    name, _, purpose = unseen.partition(":")
    held, validation = unseen_classes(name), validation_classes(name)
    if not purpose:
        return table.with_unseen(held, validation=validation)
    if purpose != _CHOOSING or not validation:
        raise ValueError(
            f"there is no split {unseen!r}: of those with validation classes there is "
            f"also NAME:{_CHOOSING}, as 'voc12_15_5:{_CHOOSING}'"
        )
    return table.without(held).with_unseen(validation)


def is_for_validation(unseen: str | Sequence[str]) -> bool:
    """Whether a split's validation classes are unseen in place of its unseen ones."""
    return isinstance(unseen, str) and unseen.endswith(f":{_CHOOSING}")


def check_split(labels: LabelSet) -> None:
    """Refuses classes of which none is unseen, for methods that learn to name such.

    Raises:
        ValueError: saying what to set.
    """
    if not labels.unseen:
        raise ValueError(
            "this method is for classes without labelled pictures, and none of the "
            f"{labels.num_classes} classes is unseen: set config.data.unseen to the "
            "name of a split, such as 'voc12_15_5', or to names of classes"
        )


def _published(name: str) -> dict[str, list[str]]:
    table = labels.read_json("splits")
    if name not in table:
        raise ValueError(
            f"there is no split {name!r}: choose one of {', '.join(names())}, or give "
            "the names of the unseen classes as a tuple"
        )
    return table[name]
