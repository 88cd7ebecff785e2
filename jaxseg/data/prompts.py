"""What CLIP is asked of a class: its name in words, `spell`, in templates, `fill`."""

import difflib
from collections.abc import Mapping, Sequence

from jaxseg.data.word_vectors import BACKGROUND, key

SPELLINGS = ("own", "lseg")
# COCO's names of classes that VOC has too, as VOC spells them but for spaces.
VOC_NAMES = {
    "airplane": "aeroplane",
    "motorcycle": "motorbike",
    "couch": "sofa",
    "tv": "tvmonitor",
}
# Chosen for ImageNet by CLIP's authors, in their Prompt_Engineering_for_ImageNet.
IMAGENET_7 = (
    "itap of a {}.",
    "a bad photo of the {}.",
    "a origami {}.",
    "a photo of the large {}.",
    "a {} in a video game.",
    "art of the {}.",
    "a photo of the small {}.",
)
TEMPLATES = {
    "name": ("{}",),
    "a": ("a {}",),
    "photo": ("a photo of a {}",),
    "imagenet_7": IMAGENET_7,
}


def spell(
    names: Sequence[str],
    *,
    spelling: str | Mapping[str, str] = "own",
    background: str = "others",
) -> list[str]:
    """Puts the names of classes as CLIP is asked for them.

    Args:
        names: of the classes.
        spelling: "own", the names as the data set has them; "lseg", without spaces and
            as VOC spells what it has too, which is how LSeg (Li et al. 2022) and SAZS
            (Liu et al. 2023) write COCO's ("aeroplane", "trafficlight"); or other words
            by class name, for some or all of them.
        background: what stands for the class "background", unless `spelling` says.

    Returns:
        A text a class, in the order given.

    Raises:
        ValueError: if a spelling is unknown, is of no class, or a text is empty.
    """
    words = {BACKGROUND: background}
    if isinstance(spelling, Mapping):
        strange = [name for name in spelling if name not in names]
        if strange:
            near = difflib.get_close_matches(strange[0], names, n=1)
            raise ValueError(
                f"prompt_names gives words for {strange[0]!r}, which is no class"
                + (f"; did you mean {near[0]!r}?" if near else "")
            )
        words |= spelling
    elif spelling not in SPELLINGS:
        raise ValueError(
            f"prompt_names is {' or '.join(map(repr, SPELLINGS))}, or words by class "
            f"name: got {spelling!r}"
        )
    written = _as_lseg if spelling == "lseg" else str
    texts = [words.get(name, written(name)) for name in names]
    empty = [name for name, text in zip(names, texts, strict=True) if not text.strip()]
    if empty:
        raise ValueError(f"class {empty[0]!r} has an empty text: give it words")
    return texts


def choose_templates(templates: str | Sequence[str]) -> tuple[str, ...]:
    """The templates of a name of `TEMPLATES`, or those given.

    Raises:
        ValueError: if there are none, one of that name, or one has not one "{}".
    """
    if isinstance(templates, str):
        if templates not in TEMPLATES:
            raise ValueError(
                f"templates is one of {', '.join(TEMPLATES)}, or a tuple of texts with "
                f"{{}} in the place of the name: got {templates!r}"
            )
        return TEMPLATES[templates]
    wrong = [template for template in templates if template.count("{}") != 1]
    if wrong or not templates:
        raise ValueError(
            "a template has {} once, in the place of the name: got "
            f"{wrong[0] if wrong else 'no template'!r}"
        )
    return tuple(templates)


def fill(texts: Sequence[str], templates: Sequence[str]) -> list[list[str]]:
    """Writes each text into each template: a list a text."""
    return [[form.replace("{}", text) for form in templates] for text in texts]


def synonyms() -> tuple[tuple[str, str], ...]:
    """Pairs of names of one class, VOC's and COCO's, as `word_vectors.key` has them."""
    return tuple((key(coco), voc) for coco, voc in VOC_NAMES.items())


def _as_lseg(name: str) -> str:
    return VOC_NAMES.get(name, name).replace(" ", "")
