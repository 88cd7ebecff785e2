"""Encodes class names by a published CLIP once, and stores what it says.

    python -m jaxseg.tools.text_table --weights ViT-B-32.pt --config configs/x.py \
        --out voc21_others.npz
    python -m jaxseg.tools.text_table --weights ViT-B-16.pt --templates photo \
        --classes "cat,traffic light,tvmonitor=tv" --out mine.npz

`data.clip_text.read` reads the file, so that runs need no weights of CLIP. Classes are
those of a config's data set, or a class table (.json), a text file with a name a line,
or names separated by commas; "tvmonitor=tv" asks for other words than the name. A
template has {} in the place of the name; `--template`, as often as need be, gives one,
and of several a class has the mean. The class "background" is asked for, and stored, as
`--background`.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence

from jaxseg import config as config_lib
from jaxseg.data import clip_text, inputs, prompts
from jaxseg.data.word_vectors import BACKGROUND
from jaxseg.pretrained import text_table
from jaxseg.tools import word_vectors


def run(
    names: Sequence[str],
    weights: str,
    out: str,
    *,
    tower: str = "",
    templates: str | Sequence[str] = "name",
    prompt_names: str | Mapping[str, str] = "own",
    background: str = "others",
    truncate: bool = False,
) -> None:
    """Makes the file; prints of which model it is, and what was asked.

    Args:
        names: of the classes.
        weights: of CLIP, and all else, as for `text_table.encode`.
        out: path of the file to write.
        tower: needed where the file has a text tower alone.
        templates: as for `encode`.
        prompt_names: as for `encode`.
        background: as for `encode`.
        truncate: as for `encode`.

    Raises:
        ValueError: if the file does not tell of which model it is, or `encode` fails.
    """
    forms = prompts.choose_templates(templates)
    spelt = prompts.spell(names, spelling=prompt_names, background=background)
    texts = prompts.fill(spelt, forms)
    clip = text_table.load_tower(weights, tower=tower)
    if not clip.model:
        raise ValueError(
            f"{weights} does not tell of which CLIP it is: say it by --tower, one of "
            f"{', '.join(text_table.SHAPES)}"
        )
    table = text_table.embed(clip, texts, truncate=truncate)
    rows = [background if name == BACKGROUND else name for name in names]
    clip_text.write(out, rows, texts, table, model=clip.model, templates=forms)
    print(f"CLIP {clip.model}: {len(rows)} classes, {len(forms)} template(s)")
    print("\n".join(f"  {name}: {text[0]!r}" for name, text in _some(rows, texts)))
    print(f"wrote {list(table.shape)} to {out}; in a config:")
    spec = f'name="clip_text.read", path="{out}", model="{clip.model}"'
    also = f', background="{background}"' if BACKGROUND in names else ""
    print(f"  config.word_vectors = dict({spec}{also})")


def _some(rows: Sequence[str], texts: Sequence[Sequence[str]]) -> list:
    return list(zip(rows, texts, strict=True))[:5]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the job; 1 and a message if it cannot be done."""
    parser = argparse.ArgumentParser(
        prog="python -m jaxseg.tools.text_table",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--weights", required=True, help="OpenAI's or Hugging Face's")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--classes", help="a file, or names and commas")
    which.add_argument("--config", help="whose data set has the classes")
    parser.add_argument("--out", required=True, help="the .npz file to write")
    parser.add_argument("--tower", default="", help="ViT-B/32, ViT-B/16 or ViT-L/14")
    forms = parser.add_mutually_exclusive_group()
    forms.add_argument("--templates", default="name", choices=prompts.TEMPLATES)
    forms.add_argument("--template", action="append", help='such as "a photo of a {}"')
    parser.add_argument("--prompt_names", default="own", choices=prompts.SPELLINGS)
    parser.add_argument("--background", default="others")
    parser.add_argument("--truncate", action="store_true", help="cut long prompts")
    given = parser.parse_args(arguments)
    try:
        if not given.out.endswith(".npz"):
            raise ValueError(f"--out must end in .npz: {given.out}")
        names, words = _classes(given.classes, given.config)
        if words and given.prompt_names != "own":
            raise ValueError(
                "--classes gives words for some classes and --prompt_names for all: "
                "give one of the two"
            )
        run(
            names,
            given.weights,
            given.out,
            tower=given.tower,
            templates=given.template or given.templates,
            prompt_names=words or given.prompt_names,
            background=given.background,
            truncate=given.truncate,
        )
    except (ValueError, OSError) as error:
        print(f"text_table: {error}", file=sys.stderr)
        return 1
    return 0


def _classes(listed: str | None, path: str | None) -> tuple[list[str], dict[str, str]]:
    """The names of the classes, and words for some."""
    if listed:
        texts = word_vectors.read_texts(listed)
        return list(texts), {name: text for name, text in texts.items() if text}
    file, _, variant = str(path).partition(":")
    data = config_lib.load(file, variant)["data"]
    return list(inputs.make_dataset({"data": data}).labels.names), {}


if __name__ == "__main__":
    sys.exit(main())
