"""Ids are CLIP's: by hand from its rules, its own regular expression, transformers."""

import hashlib
import html
import random
from importlib import resources

import numpy as np
import pytest

from jaxseg.data import clip_tokenizer
from jaxseg.data.clip_tokenizer import encode, split, tokenize, vocabulary

CLASSES = ["aeroplane", "diningtable", "tvmonitor", "traffic light", "a photo of a cat"]
# The authors' words, for the package `regex`.
WORDS = (
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|"
    r"[^\s\p{L}\p{N}]+"
)


def tokens(text):
    names = {i: token for token, i in vocabulary().ids.items()}
    return [names[i] for i in encode(text)]


def test_the_vocabulary_is_the_published_file():
    file = resources.files("jaxseg.data") / "clip_bpe" / clip_tokenizer.FILE
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert digest == "924691ac288e54409236115652ad4aa250f48203de50a9e4722a6ecd48d6804a"
    notice = (resources.files("jaxseg.data") / "clip_bpe" / "LICENSE").read_text()
    assert "MIT License" in notice and "OpenAI" in notice


def test_ids_go_from_bytes_over_merges_to_start_and_end():
    ids, ranks = vocabulary()
    assert (len(ids), len(ranks)) == (49_408, 48_894)
    assert (ids["!"], ids["!</w>"], ids[chr(256)]) == (0, 256, 188)
    assert ranks["i", "n"] == 0 and ids["in"] == 512
    assert (ids["<|startoftext|>"], ids["<|endoftext|>"]) == (49_406, 49_407)


def test_it_is_read_once():
    assert vocabulary() is vocabulary()


def test_a_row_is_start_tokens_end_and_zeros():
    (row,) = tokenize(["a cat"])
    ids = vocabulary().ids
    assert row[:5].tolist() == [49_406, ids["a</w>"], ids["cat</w>"], 49_407, 0]
    assert row.shape == (77,) and row.dtype == np.int32 and not row[4:].any()
    assert tokenize([""])[0, :3].tolist() == [49_406, 49_407, 0]


def test_written_together_is_split_where_pairs_say():
    assert tokens("trafficlight") == ["traffic", "light</w>"]
    assert tokens("tvmonitor") == ["tv", "monitor</w>"]
    assert tokens("traffic light") == ["traffic</w>", "light</w>"]


def test_case_and_spaces_do_not_count():
    assert encode("  A\tPhoto\n OF a  CAT ") == encode("a photo of a cat")
    assert encode("salt &amp;amp; pepper") == encode("salt & pepper")


def test_words_by_hand():
    assert split("it's 1st!?") == ["it", "'s", "1", "st", "!?"]
    assert split("<|startoftext|>x.<|endoftext|>") == [
        "<|startoftext|>",
        "x",
        ".<|",
        "endoftext",
        "|>",
    ]


def test_words_are_those_of_the_authors_expression(transformers):
    regex = pytest.importorskip("regex")  # comes with transformers
    words = regex.compile(WORDS, regex.IGNORECASE)
    rng = random.Random(0)
    characters = "'strevmld A<|>x029.,!é½日\u0301\x1d\x85\u200b"
    for _ in range(3000):
        text = "".join(rng.choices(characters, k=rng.randint(1, 9)))
        cleaned = html.unescape(html.unescape(text)).strip()
        cleaned = regex.sub(r"\s+", " ", cleaned).strip().lower()
        assert clip_tokenizer.clean(text) == cleaned
        assert split(cleaned) == words.findall(cleaned), text


def test_ids_are_those_of_transformers(transformers):
    ids, ranks = vocabulary()
    theirs = transformers.CLIPTokenizer(vocab=dict(ids), merges=list(ranks))
    texts = [*CLASSES, "it's 1234 naïve cafés!", "日本語 😀", "C++ & C#", "don't"]
    rows = tokenize(texts)
    for text, row in zip(texts, rows, strict=True):
        found = theirs(text)["input_ids"]
        assert row[: len(found)].tolist() == found and not row[len(found) :].any()


def test_a_text_that_is_too_long_is_named():
    longest = " ".join(["cat"] * 75)
    assert tokenize([longest])[0, -1] == 49_407
    with pytest.raises(ValueError, match=r"'cat cat .*\.\.\.' has 78 tokens .* 77: sh"):
        tokenize(["dog", f"{longest} dog"])


def test_or_is_cut_with_the_end_last():
    long, short = tokenize(["cat " * 90, "cat " * 75], truncate=True)
    np.testing.assert_array_equal(long, short)
    assert tokenize(["a cat sat"], context_length=4, truncate=True)[0, -1] == 49_407
