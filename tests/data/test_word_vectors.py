"""Rows find their classes by name, and what does not fit is said before training."""

import json

import numpy as np
import pytest

from jaxseg.data import labels as labels_lib
from jaxseg.data import word_vectors
from jaxseg.data.word_vectors import WordVectorError

FILES = {
    "voc12": ("fasttext", "word2vec"),
    "context33": ("fasttext", "word2vec"),
    "cocostuff": ("fasttext", "word2vec"),
    "zs3_voc21": ("word2vec",),
    "zs3_context60": ("word2vec",),
}
DRAWN_CAT = (0.42074037, -0.83599436, 0.35226548)  # three numbers
CLASSES = {
    "voc12": labels_lib.VOC.without(("background",)),
    "context33": labels_lib.read_table("pascal_context_33").without(("background",)),
    "cocostuff": labels_lib.read_table("coco_stuff"),
    "zs3_voc21": labels_lib.VOC,
    "zs3_context60": labels_lib.read_table("pascal_context_59"),
}


def shared(data_root, name):
    return data_root / "word_vectors" / f"{name}.npz"


@pytest.fixture
def write(tmp_path):
    """Writes a file of two parts, cat and dog in it unless told otherwise."""

    def save(**changes):
        vectors = np.array([[3.0, 0.0], [0.0, 2.0]], np.float32)
        arrays = dict(names=["cat", "dog"], fasttext=vectors, word2vec=vectors[:, ::-1])
        path = tmp_path / "made.npz"
        np.savez(path, **{k: v for k, v in (arrays | changes).items() if v is not None})
        return str(path)

    return save


@pytest.mark.parametrize("name", ["voc12", "context33", "cocostuff"])
def test_both_parts_normalised_are_the_authors_vectors(data_root, name):
    with np.load(shared(data_root, name)) as file:
        names, expected = file["names"].tolist(), file["fastnvec_unit"]
    path = str(shared(data_root, name))
    found = word_vectors.read(names, path=path)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=2e-7)


@pytest.mark.parametrize("name", FILES)
def test_the_published_class_lists_find_the_row_of_their_label_id(data_root, name):
    labels, parts = CLASSES[name], FILES[name]
    path = str(shared(data_root, name))
    found = word_vectors.read(labels.names, path=path, parts=parts, normalise=False)
    with np.load(path) as file:
        rows = np.concatenate([file[part] for part in parts], axis=1)
        spelt = file["names"]
    ids = np.array(labels.class_raw_ids)
    if name == "zs3_context60":  # ours are alphabetical, the authors' VOC's first
        order = labels_lib.read_table(
            "pascal_context_59", layout="59_context_labels"
        ).class_raw_ids
        ids = np.array(order)
        assert spelt[ids].tolist() == list(labels.names)
    np.testing.assert_array_equal(found, rows[ids])


@pytest.mark.parametrize("name", FILES)
def test_a_cat_is_nearer_to_a_dog_than_to_a_train(data_root, name):
    given = ("cat", "dog", "train", "cow", "sheep", "bus")
    path = str(shared(data_root, name))
    cat, dog, train, cow, sheep, bus = word_vectors.read(
        given, path=path, parts=FILES[name]
    )
    assert cat @ dog > cat @ train
    assert cow @ sheep > max(cow @ train, cow @ bus)


def test_rows_are_found_by_name_whatever_their_order_and_spelling(write):
    rows = np.arange(1, 11, dtype=np.float32).reshape(5, 2)
    names = ["dining table", "tv", "Potted_Plant", "wall-other", "unused"]
    path = write(names=names, fasttext=rows, word2vec=None)
    given = ("pottedplant", "tvmonitor", "wall other", "diningtable")
    found = word_vectors.read(given, path=path, parts=("fasttext",), normalise=False)
    np.testing.assert_array_equal(found, rows[[2, 1, 3, 0]])


def test_a_synonym_steps_back_where_the_file_has_the_name_itself(write):
    path = write(names=["table", "dining table"])
    found = word_vectors.read(("dining table", "table"), path=path, normalise=False)
    with np.load(path) as file:
        np.testing.assert_array_equal(found[:, :2], file["fasttext"][[1, 0]])


def test_parts_join_in_the_order_given(write):
    found = word_vectors.read(
        ("cat",), path=write(), parts=("word2vec", "fasttext"), normalise=False
    )
    assert found.tolist() == [[0.0, 3.0, 3.0, 0.0]]
    unit = word_vectors.read(("dog",), path=write())
    np.testing.assert_allclose(unit, [[0, np.sqrt(0.5), np.sqrt(0.5), 0]], rtol=1e-6)


def test_variables_of_a_path_are_expanded(write, tmp_path, monkeypatch):
    write()
    monkeypatch.setenv("MADE", str(tmp_path))
    assert word_vectors.read(("cat",), path="$MADE/made.npz").shape == (1, 4)


BAD = {
    "no row": (dict(), ("cat", "cow", "dogs"), r"'cow', 'dogs' \(spelt alike: 'dog'\)"),
    "background": (dict(), ("background",), "background=False"),
    "two classes": (dict(), ("cat", "dog", "Cat"), "two classes .* 'cat', 'Cat'"),
    "two rows": (dict(names=["cat", "c_at"]), ("cat",), "two rows .* 'cat', 'c_at'"),
    "one row of two": (dict(names=["tv", "x"]), ("tv", "tv monitor"), "both .* 'tv'"),
    "a part less": (dict(word2vec=None), ("cat",), "no array 'word2vec'"),
    "no names": (dict(names=None), ("cat",), "no array 'names'"),
    "rows": (dict(fasttext=np.ones((3, 2))), ("cat",), r"\[3, 2\], but 2 names"),
    "shape": (dict(fasttext=np.ones(2)), ("cat",), r"'fasttext' .* \[2\], but 2 names"),
    "integers": (dict(fasttext=np.ones((2, 2), int)), ("cat",), "int64"),
    "sizes": (
        dict(fasttext=np.array([np.ones(2), np.ones(3)], object)),
        ("cat",),
        "vectors of one size",
    ),
    "not finite": (
        dict(word2vec=np.array([[1, 2], [np.nan, 1]])),
        ("cat", "dog"),
        "part 'word2vec' .* 'dog' is not finite",
    ),
    "zero": (
        dict(word2vec=np.array([[0, 0], [1, 1.0]])),
        ("dog", "cat"),
        "part 'word2vec' .* 'cat' is zero",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_does_not_fit_names_file_class_and_remedy(write, case):
    changes, names, message = BAD[case]
    path = write(**changes)
    with pytest.raises(WordVectorError, match=message) as error:
        word_vectors.read(names, path=path)
    assert case == "two classes" or path in str(error.value)


def test_a_row_that_no_class_uses_may_be_anything(write):
    path = write(fasttext=np.array([[1, 2], [np.nan, 1]], np.float32))
    assert np.isfinite(word_vectors.read(("cat",), path=path)).all()


@pytest.mark.parametrize("parts", [(), ("fasttext", "fasttext")])
def test_parts_are_each_named_once(write, parts):
    with pytest.raises(WordVectorError, match="each once"):
        word_vectors.read(("cat",), path=write(), parts=parts)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none.npz .*jaxseg.tools"):
        word_vectors.read(("cat",), path=str(tmp_path / "none.npz"))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"cat 0.1 0.2\n"])
def test_a_file_of_another_kind_is_refused(tmp_path, content):
    path = tmp_path / "other.npz"
    path.write_bytes(content)
    with pytest.raises(WordVectorError, match="cannot read .*other.npz"):
        word_vectors.read(("cat",), path=str(path))


def test_drawn_vectors_are_unit_and_depend_on_the_name_alone():
    first = word_vectors.drawn(("cat", "dog", "potted plant"), size=8)
    again = word_vectors.drawn(("potted_plant", "cat"), size=8)
    np.testing.assert_array_equal(again, first[[2, 0]])
    np.testing.assert_allclose(np.linalg.norm(first, axis=1), 1, rtol=1e-6)
    assert abs(first[0] @ first[1]) < 0.99 and first.dtype == np.float32


def test_drawing_does_not_drift():
    """Other vectors are another run of every `:tiny` config."""
    found = word_vectors.drawn(("cat",), size=3)[0]
    np.testing.assert_allclose(found, DRAWN_CAT, atol=1e-6)


@pytest.mark.parametrize("names, size", [(("cat", "CAT"), 4), (("cat",), 0)])
def test_what_cannot_be_drawn_is_refused(names, size):
    with pytest.raises(WordVectorError):
        word_vectors.drawn(names, size=size)


def test_methods_without_vectors_are_told_what_to_set():
    with pytest.raises(WordVectorError, match="set config.word_vectors"):
        word_vectors.of(labels_lib.VOC)


def test_splits_and_files_agree(data_root):
    for name in ("voc12", "cocostuff"):
        split = f"{name}_{'15_5' if name == 'voc12' else '167_15'}"
        names = json.loads((data_root / f"splits/{split}.json").read_text())
        with np.load(shared(data_root, name)) as file:
            assert file["names"].tolist() == names["class_names"]
