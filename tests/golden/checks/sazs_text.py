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
    ours = clip_tokenizer.tokenize(texts, context_length=context_length, truncate=True)
    case.close_to(expected, ours, "ids")
    case.equal("ids_without_ftfy", ours)
    # Lengths of the others are those of repaired texts.
    kept = ~case["needs_ftfy"]
    lengths = np.array([2 + len(clip_tokenizer.encode(text)) for text in texts])[kept]
    too_long = case["too_long_without_truncate"][kept]
    case.close_to(too_long, lengths > context_length, "too_long_without_truncate")
    counted = np.minimum(lengths, context_length)
    case.close_to(case["length"][kept], counted, "length")
