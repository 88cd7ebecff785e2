"""Check of the tokenizer against CLIP's."""

import json

import numpy as np

from jaxseg.data import clip_tokenizer
from tests.golden.case import Case


def clip_bpe(case: Case) -> None:
    """Rows of ids, with and without cutting; texts are not repaired, as ours."""
    texts = [json.loads(text) for text in case["strings"]]
    expected = np.where(
        case["needs_ftfy"][:, None], case["ids_without_ftfy"], case["ids"]
    )
    context_length = expected.shape[1]
    given = dict(context_length=context_length)
    ours = clip_tokenizer.tokenize(texts, truncate=True, **given)
    case.close_to(expected, ours, "ids")
    case.equal("ids_without_ftfy", ours)
    lengths = [2 + len(clip_tokenizer.encode(text)) for text in texts]
    case.equal("too_long_without_truncate", np.array(lengths) > context_length)
    unrepaired = ~case["needs_ftfy"]
    counted = np.minimum(lengths, context_length)
    case.close_to(case["length"][unrepaired], counted[unrepaired], "length")
