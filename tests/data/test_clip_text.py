"""Rows are found by name, and never those of another CLIP model."""

import numpy as np
import pytest

from jaxseg.data import clip_text, inputs, splits
from jaxseg.data.labels import VOC
from jaxseg.data.word_vectors import WordVectorError


def shared(data_root, name):
    return str(data_root / "clip_text" / f"{name}.npz")


@pytest.fixture
def write(tmp_path):
    """Writes a file of three rows, of ViT-B/32 unless told otherwise."""

    def save(file="made.npz", **changes):
        arrays = dict(
            names=["background", "tv", "traffic light"],
            prompts=["a background", "a tv", "a traffic light"],
            embeddings=np.diag([3, 4, 5, *[0] * 509])[:3].astype(np.float32),
            model="ViT-B/32",
        )
        path = tmp_path / file
        np.savez(path, **{k: v for k, v in (arrays | changes).items() if v is not None})
        return str(path)

    return save


def test_rows_come_in_class_order(data_root):
    path = shared(data_root, "voc21_vitb16_photo")
    with np.load(path) as file:
        stored = file["embeddings"]
    found = clip_text.read(VOC.names, path=path, model="ViT-B/16")
    assert found.dtype == np.float32 and not found.flags.writeable
    np.testing.assert_array_equal(found, stored)
    reverse = clip_text.read(VOC.names[::-1], path=path)
    np.testing.assert_array_equal(reverse, stored[::-1])


@pytest.mark.parametrize("name", ["coco80_vitb32_a", "coco81_vitb16_photo"])
def test_coco_and_voc_find_their_rows_in_each_others_files(data_root, name):
    path = shared(data_root, name)
    voc = clip_text.read(VOC.names[1:], path=path)
    with np.load(path) as file:
        names = file["names"].tolist()
        plane, screen = (file["embeddings"][names.index(n)] for n in ("airplane", "tv"))
    np.testing.assert_array_equal(voc[0], plane)
    np.testing.assert_array_equal(voc[19], screen)
    assert clip_text.read(splits.coco_things(), path=path).shape == (80, 512)


def test_a_synonym_steps_back_where_the_file_has_the_name_itself(write):
    path = write(names=["tv", "tvmonitor", "sofa"])
    found = clip_text.read(["tvmonitor", "tv", "couch"], path=path)
    assert found.max(axis=1).tolist() == [4, 3, 5]


def test_the_background_has_the_row_that_is_named(write):
    path = write(names=["others", "tv", "background"])
    found = [
        clip_text.read(["background", "tv"], path=path, **given)[0].max()
        for given in ({}, dict(background="others"))
    ]
    assert found == [5, 3]


def test_rows_may_be_made_unit_vectors(write):
    found = clip_text.read(["tv", "traffic_light"], path=write(), normalise=True)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-6)


def test_the_model_is_in_the_file_or_in_its_name(write):
    assert clip_text.read(["tv"], path=write(), model="ViT-B/32").any()
    path = write("my_vitb16_photo.npz", model=None)
    assert clip_text.read(["tv"], path=path, model="ViT-B/16").any()
    path = write("a_vitb16.npz")  # the array counts
    assert clip_text.read(["tv"], path=path, model="ViT-B/32").any()


BAD = {
    "another model": (
        dict(),
        dict(model="ViT-B/16"),
        r"made\.npz holds embeddings of CLIP ViT-B/32, .* asks for ViT-B/16",
    ),
    "by its name": (
        dict(file="x_vitb16_y.npz", model=None),
        dict(model="ViT-B/32"),
        "holds embeddings of CLIP ViT-B/16",
    ),
    "no model": (dict(model=None), dict(model="ViT-B/32"), "does not say of which"),
    "no such model": (dict(), dict(model="vitb32"), "is no model of CLIP"),
    "size": (
        dict(embeddings=np.ones((3, 500))),
        dict(),
        "500 numbers, and CLIP ViT-B/32 has 512",
    ),
    "no row": (dict(), dict(names=["tv", "sofa"]), "'sofa'.*jaxseg.tools.text_table"),
    "one row for two": (dict(), dict(names=["tv", "tvmonitor"]), "would both have"),
    "background": (
        dict(),
        dict(background="others"),
        "no row 'others'.* one that it has: 'background'",
    ),
    "no background": (
        dict(names=["a", "tv", "b"]),
        dict(),
        "no row 'background'.*data.background=False",
    ),
    "other arrays": (dict(embeddings=None), dict(), "no array 'embeddings'"),
    "zero": (dict(embeddings=np.zeros((3, 512))), dict(), "'tv' is zero"),
    "twice": (dict(names=["tv", "TV", "b"]), dict(names=["b"]), "two rows of one"),
}


@pytest.mark.parametrize("file, given, message", BAD.values(), ids=BAD)
def test_what_does_not_fit_is_said(write, file, given, message):
    given = dict(names=["background", "tv"]) | given
    if message.startswith("'tv'"):
        given["names"] = ["tv"]
    with pytest.raises(WordVectorError, match=message):
        clip_text.read(path=write(**file), **given)


def test_files_that_are_none_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file of CLIP embeddings"):
        clip_text.read(["tv"], path=str(tmp_path / "none.npz"))
    (tmp_path / "text.npz").write_text("tv 1 2 3")
    with pytest.raises(WordVectorError, match="cannot read CLIP embeddings"):
        clip_text.read(["tv"], path=str(tmp_path / "text.npz"))


def test_what_is_written_is_read_again(tmp_path):
    rows = np.random.default_rng(0).normal(size=(2, 768)).astype(np.float32)
    path = tmp_path / "own.npz"
    texts, forms = [["a cat", "the cat"], ["a tv", "the tv"]], ["a {}", "the {}"]
    given = dict(model="ViT-L/14", templates=forms)
    clip_text.write(path, ["cat", "tv"], texts, rows, **given)
    found = clip_text.read(["tv", "cat"], path=str(path), model="ViT-L/14")
    np.testing.assert_array_equal(found, rows[::-1])
    with np.load(path) as file:
        assert file["prompts"].tolist() == ["a cat | the cat", "a tv | the tv"]
        assert file["template"].tolist() == forms


def test_a_file_of_ones_own_says_its_model(tmp_path):
    given = dict(names=["a"], texts=[["a"]], embeddings=np.ones((1, 5)), templates=[])
    for model, message in (("", "must say"), ("ViT-B/16", "5 numbers")):
        with pytest.raises(WordVectorError, match=message):
            clip_text.write(tmp_path / "own.npz", **given, model=model)
    assert not list(tmp_path.iterdir())


def test_a_config_names_them(data_root):
    path = "$JAXSEG_DATA/clip_text/voc21_vitb16_photo.npz"
    config = dict(
        data=dict(name="voc.VOC", root=str(data_root / "voc_mini"), batch_size=2),
        word_vectors=dict(name="clip_text.read", path=path, model="ViT-B/16"),
    )
    assert inputs.make_dataset(config).labels.word_vectors.shape == (21, 512)
    config["word_vectors"]["model"] = "ViT-B/32"
    with pytest.raises(WordVectorError, match="embeddings of CLIP ViT-B/16"):
        inputs.make_dataset(config)


def test_classes_of_a_fold_have_them(data_root):
    base = dict(name="voc.VOC", root=str(data_root / "voc_mini"))
    config = dict(
        data=dict(name="episodes.FewShot", base=base, fold=3, batch_size=2),
        word_vectors=dict(
            name="clip_text.read", path=shared(data_root, "coco81_vitb16_photo")
        ),
    )
    labels = inputs.make_dataset(config).labels
    assert labels.unseen == (16, 17, 18, 19, 20)
    assert labels.word_vectors.shape == (21, 512)
