"""Vectors of a user's own classes, from small made files of two forms."""

import json
import subprocess
import sys

import numpy as np
import pytest

from jaxseg.data import word_vectors as reader
from jaxseg.tools import word_vectors
from tests.data import test_vector_files as made

WORDS = ("potted", "plant", "tv", "other", "wall", "Monet")
CLASSES = "potted plant,TV,wall-other,monet painting=Monet"


@pytest.fixture
def files(tmp_path):
    """A text file of all words, and a binary one without "other"."""
    (tmp_path / "one.vec").write_bytes(made.text(WORDS))
    keep = [i for i, word in enumerate(WORDS) if word != "other"]
    content = made.binary([WORDS[i] for i in keep], 2 * made.ROWS[keep])
    (tmp_path / "two.bin").write_bytes(content)
    return f"{tmp_path}/one.vec,{tmp_path}/two.bin"


def job(files, tmp_path, classes=CLASSES, *more):
    out = str(tmp_path / "words.npz")
    given = ("--classes", classes, "--vectors", files, "--out", out, *more)
    return word_vectors.main(given), out


def by_loops(words, scale):
    """The rule, number by number: sum of raw vectors over its length."""
    total = [0.0] * made.SIZE
    for word in words:
        for i in range(made.SIZE):
            total[i] += float(scale * made.ROWS[WORDS.index(word)][i])
    length = sum(number * number for number in total) ** 0.5
    return np.array([number / length for number in total]).astype(np.float32)


def test_a_class_is_the_unit_sum_of_its_words_bit_for_bit(files, tmp_path):
    code, out = job(files, tmp_path)
    assert code == 0
    with np.load(out, allow_pickle=False) as file:
        assert file.files == ["names", "label_id", "one", "two"]
        names = ["potted plant", "TV", "wall-other", "monet painting"]
        assert file["names"].tolist() == names and file["label_id"].tolist() == [
            *range(4)
        ]
        words = (("potted", "plant"), ("tv",), ("wall", "other"), ("Monet",))
        expected = np.array([by_loops(w, np.float32(1)) for w in words])
        np.testing.assert_array_equal(file["one"], expected)
        assert file["one"].dtype == np.float32
        words = (("potted", "plant"), ("tv",), ("wall",), ("Monet",))
        expected = np.array([by_loops(w, np.float32(2)) for w in words])
        np.testing.assert_array_equal(file["two"], expected)


def test_the_config_it_prints_reads_the_file(files, tmp_path, capsys):
    _, out = job(files, tmp_path, CLASSES, "--parts", "fasttext,word2vec")
    line = capsys.readouterr().out.splitlines()[-1]
    assert f"path=\"{out}\", parts=('fasttext', 'word2vec')" in line
    found = reader.read(("tv", "wall_other"), path=out)
    assert found.shape == (2, 2 * made.SIZE)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-6)


def test_words_that_a_file_has_not_are_printed(files, tmp_path, capsys):
    job(files, tmp_path)
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "not found" in line] == [
        "  not found for 'wall-other': not 'other'"
    ]


def test_a_class_without_a_word_ends_the_job_with_what_there_is(
    files, tmp_path, capsys
):
    code, out = job(files, tmp_path, "pottedplant,tvs,wal,tv")
    printed = capsys.readouterr()
    assert code == 1 and not (tmp_path / "words.npz").exists()
    assert (
        "'pottedplant': none of its words 'pottedplant'; there is 'potted plant'"
        in (printed.out)
    )
    assert "'wal': none of its words 'wal'; there is 'wall'" in printed.out
    assert "'pottedplant', 'tvs', 'wal'" in printed.err
    assert "--skip_missing" in printed.err


def test_such_a_class_can_be_left_out_or_given_other_words(files, tmp_path, capsys):
    code, out = job(files, tmp_path, "cow,tv,x=other", "--skip_missing")
    assert code == 0 and "wrote 1 classes, 2 left out" in capsys.readouterr().out
    with np.load(out) as file:  # "other" is in one file only
        assert file["names"].tolist() == ["tv"]
    code, _ = job(files, tmp_path, "pottedplant=potted plant,tv")
    assert code == 0


def test_a_word_is_looked_up_as_spelt_first(tmp_path):
    (tmp_path / "v.txt").write_bytes(made.text(("tv", "TV"), made.ROWS[:2]))
    rows, _ = word_vectors.make({"TV": ("TV",)}, str(tmp_path / "v.txt"))
    expected = made.ROWS[1] / np.linalg.norm(made.ROWS[1].astype(np.float64))
    np.testing.assert_array_equal(rows["TV"], expected.astype(np.float32))


def test_classes_come_from_a_list_a_text_file_or_a_class_table(tmp_path):
    expected = {"hot dog": ("hot", "dog"), "sky-other": ("sky", "other")}
    assert word_vectors.read_classes("hot dog, sky-other") == expected
    (tmp_path / "names.txt").write_text("hot dog\n\nsky-other\n")
    assert word_vectors.read_classes(str(tmp_path / "names.txt")) == expected
    many = word_vectors.read_classes(",".join(f"class {i}" for i in range(999)))
    assert len(many) == 999
    table = [{"id": i, "name": n} for i, n in enumerate(expected)]
    (tmp_path / "classes.json").write_text(json.dumps({"classes": table}))
    assert word_vectors.read_classes(str(tmp_path / "classes.json")) == expected


BAD = {
    "no class": (" , ", (), "holds no class"),
    "no words": ("cat=-", (), "'cat=-' has no words"),
    "twice": ("tv monitor,tv-monitor", (), "are one name"),
    "parts": ("tv", ("--parts", "a"), "each of the 2 files once"),
    "parts twice": ("tv", ("--parts", "a,a"), "each of the 2 files once"),
    "reserved": ("tv", ("--parts", "a,names"), "none names or label_id"),
    "no file": ("tv", ("--vectors", "none.vec"), "none.vec"),
    "no list": ("none.txt", (), "No such file or directory: 'none.txt'"),
    "no table": ("none.json", (), "no class table at none.json"),
    "suffix": ("tv", ("--out", "words.txt"), "must end in .npz"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_done_is_one_line(files, tmp_path, capsys, case):
    classes, more, message = BAD[case]
    assert job(files, tmp_path, classes, *more)[0] == 1
    error = capsys.readouterr().err
    assert message in error and error.startswith("word_vectors: ")


def test_words_that_cancel_are_no_vector(tmp_path):
    rows = np.stack([made.ROWS[0], -made.ROWS[0]])
    (tmp_path / "v.txt").write_bytes(made.text(("to", "fro"), rows))
    with pytest.raises(ValueError, match="'to and fro' add up to zero: .*=WORDS"):
        word_vectors.make({"to and fro": ("to", "fro")}, str(tmp_path / "v.txt"))


@pytest.mark.parametrize("part", ["fasttext", "word2vec"])
def test_the_rule_gives_the_published_vectors_of_several_words(
    data_root, tmp_path, part
):
    """COCO-Stuff's X-other from raw X, of the Context file, and a raw "other".

    Two rows tell what "other" is, since k1 r1 - x1 = o = k2 r2 - x2; five are left.
    """
    raw, published = (
        dict(zip(file["names"].tolist(), file[part], strict=True))
        for file in (
            np.load(data_root / "word_vectors" / f"{name}.npz")
            for name in ("context33", "cocostuff")
        )
    )
    words = [word for word in raw if f"{word}-other" in published]
    first, second = (published[f"{word}-other"] for word in words[:2])
    plane = np.stack([first, -second], axis=1)
    scales = np.linalg.lstsq(plane, raw[words[0]] - raw[words[1]])[0]
    rows = {**{word: raw[word] for word in words}}
    rows["other"] = scales[0] * first - raw[words[0]]
    lines = (" ".join([w, *map(str, row.tolist())]) for w, row in rows.items())
    (tmp_path / "raw.vec").write_text("\n".join(lines))
    classes = {f"{word}-other": (word, "other") for word in words[2:]}
    found, _ = word_vectors.make(classes, str(tmp_path / "raw.vec"))
    assert len(found) == 5
    for name, vector in found.items():
        np.testing.assert_allclose(vector, published[name], atol=2e-6)


def test_the_command_runs(files, tmp_path):
    out = tmp_path / "words.npz"
    command = (sys.executable, "-m", "jaxseg.tools.word_vectors", "--classes", "tv")
    subprocess.run([*command, "--vectors", files, "--out", str(out)], check=True)
    assert reader.read(("tv",), path=str(out), parts=("one", "two")).shape == (1, 10)
