"""Every published form of a file of vectors gives the same rows."""

import gzip
import struct

import numpy as np
import pytest

from jaxseg.data import vector_files
from jaxseg.data.vector_files import VectorFileError, find

WORDS = ("the", "cat", "dög", "potted", "plant", "Tree")
SIZE = 5
ROWS = np.random.default_rng(3).normal(size=(6, SIZE)).astype(np.float32)
EXPECTED = dict(zip(WORDS, ROWS, strict=True))


def text(words=WORDS, rows=ROWS, *, header=True, end="\n"):
    lines = [f"{len(rows)} {SIZE}"] if header else []
    for word, row in zip(words, rows, strict=True):
        lines.append(" ".join([word, *(repr(float(v)) for v in row)]))
    return "".join(line + end for line in lines).encode()


def binary(words=WORDS, rows=ROWS, *, end=b"\n"):
    entries = (
        word.encode() + b" " + struct.pack(f"<{SIZE}f", *row) + end
        for word, row in zip(words, rows, strict=True)
    )
    return f"{len(rows)} {SIZE}\n".encode() + b"".join(entries)


FORMS = {
    "fasttext.vec": text(end=" \n"),
    "word2vec.txt": text(),
    "glove.txt": text(header=False),
    "windows.txt": text(end="\r\n"),
    "word2vec.bin": binary(),
    "google.bin": binary(end=b""),
    "packed.vec.gz": gzip.compress(text()),
    "packed.bin.gz": gzip.compress(binary()),
}


@pytest.fixture
def file(tmp_path):
    def write(content, name="vectors"):
        (tmp_path / name).write_bytes(content)
        return str(tmp_path / name)

    return write


@pytest.mark.parametrize("name", FORMS)
def test_each_form_gives_the_rows_as_they_were_written(file, name):
    seen = []
    found = find(file(FORMS[name], name), [*WORDS, "cow"], look=seen.append)
    assert found.keys() == EXPECTED.keys()
    for word, row in found.items():
        assert row.dtype == np.float32
        np.testing.assert_array_equal(row, EXPECTED[word])
    assert [word.decode() for word in seen] == list(WORDS)


@pytest.mark.parametrize("name", FORMS)
def test_reading_ends_at_the_last_word_asked_for(file, name):
    seen = []
    assert find(file(FORMS[name], name), ["cat"], look=seen.append).keys() == {"cat"}
    assert seen == [b"the", b"cat"]


def test_rows_of_a_binary_file_may_lie_across_chunks(file, monkeypatch):
    for chunk in range(SIZE * 4 + 9, 70):
        monkeypatch.setattr(vector_files, "_CHUNK", chunk)
        assert find(file(binary()), [*WORDS, "cow"]).keys() == EXPECTED.keys()


def test_the_first_row_of_a_word_counts(file):
    content = text(("cat", "dog", "cat"), ROWS[:3])
    found = find(file(content), ("cat", "cow"))
    np.testing.assert_array_equal(found["cat"], ROWS[0])


def test_words_of_several_tokens_are_other_words(file):
    content = text(("cat", ". . .", "at name@x"), ROWS[:3], header=False)
    assert find(file(content), ("cat", ".", "at")).keys() == {"cat"}


ROW = "cat 1 2 3 4 5\n"
BAD = {
    "longer": (f"{ROW}dog 1 2 3 4 5 6\n".encode(), "row 2 has 6 numbers, the first"),
    "shorter": (f"{ROW}dog 1 2 3\n".encode(), "row 2 has 3 numbers"),
    "no numbers": (f"{ROW}dog\n".encode(), "row 2 has 0 numbers"),
    "no number": (f"{ROW}dog 1 2 x 4 5\n".encode(), "row 2 holds what is no"),
    "not finite": (f"{ROW}dog 1 2 nan 4 5\n".encode(), "row 2 holds what is no"),
    "lines left out": (text().replace(b"6 5", b"9 5"), "has 6 rows, .* says 9"),
    "cut": (binary()[:-30], "has 4 rows, .* says 6"),
    "packed and cut": (gzip.compress(text())[:-30], "damaged"),
    "a model": (struct.pack("<ii", 793712314, 12) + b"...", "take the .vec"),
    "words only": (b"cat\ndog\n", "no file of word vectors"),
    "empty": (b"", "no file of word vectors"),
    "a picture": (b"\x89PNG\r\n\x1a\n\0\0", "no file of word vectors"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_whole_table_is_refused(file, case):
    content, message = BAD[case]
    path = file(content, "bad.vec")
    with pytest.raises(VectorFileError, match=message) as error:
        find(path, ("dog", "cow"))
    assert path in str(error.value)


def test_a_row_that_is_not_asked_for_may_be_anything(file):
    assert find(file(f"{ROW}dog 1 x\n".encode()), ("cat", "cow")).keys() == {"cat"}
