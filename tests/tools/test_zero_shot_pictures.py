"""What a zero-shot run has learnt as pictures; of a CaGNet that has learnt nothing."""

import dataclasses
import importlib.util
import pathlib

import jax
import numpy as np
import pytest
from PIL import Image

from jaxseg import config as config_lib
from jaxseg import inference, initialization, sharding, train, workfolder
from jaxseg.checkpoints import Checkpoints
from jaxseg.data import inputs
from jaxseg.methods import base
from jaxseg.ops.scales import labels_at
from jaxseg.protocols.resized import Resized
from jaxseg.tools import zero_shot_pictures as pictures

ROOT = pathlib.Path(__file__).parent.parent.parent
CONFIG = ROOT / "configs" / "cagnet_voc_mini.py"
AREAS = np.array([[9, 0, 5], [9, 3, 0], [9, 0, 0], [9, 4, 1], [9, 0, 7]])


def save_untrained(config, workdir):
    """Makes a run's folder of a state as it is drawn; no step is compiled."""
    dataset = inputs.make_dataset(config)
    method = base.from_config(config, dataset.labels)
    target = initialization.describe(config, method, sharding.make_mesh(1))
    protocol = train.zero_shot_protocol(config, method)
    workfolder.claim(config, str(workdir), dataset.labels, protocol=protocol)
    with Checkpoints(str(workdir), metadata=protocol) as checkpoints:
        checkpoints.save(initialization.fresh(config, method, target))
    return str(workdir)


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    config = config_lib.load(CONFIG, "mixed", "tiny")
    return save_untrained(config, tmp_path_factory.mktemp("cagnet"))


@pytest.fixture(scope="module")
def trained(workdir):
    return pictures.load(workdir)


@pytest.fixture(scope="module")
def looks(trained):
    return pictures.look_at_unseen(trained, num=2)


def test_pictures_of_each_unseen_class_come_in_turn_the_largest_first():
    assert pictures.choose(AREAS, (1, 2), 3) == [3, 4, 1]
    assert pictures.choose(AREAS, (1, 2), 9) == [3, 4, 1, 0]
    assert pictures.choose(AREAS, (2,), 2) == [4, 0]


def test_without_a_picture_of_an_unseen_class_the_first_ones_are_shown():
    assert pictures.choose(AREAS * [1, 0, 0], (1, 2), 2) == [0, 1]


def test_areas_are_counted_of_every_mask(trained):
    areas = pictures.class_areas(trained.source, trained.labels.num_classes)
    for index, row in enumerate(areas):
        label = trained.source[index]["label"]
        np.testing.assert_array_equal(row, [(label == c).sum() for c in range(10)])


def test_the_error_is_the_distance_to_what_is_generated_of_the_same_code(
    trained, looks
):
    method, state = trained.method, trained.state
    first = looks[0]
    canvas = np.zeros((1, 32, 64, 3), np.uint8)
    canvas[0] = first.image  # scenes of :tiny fill their canvas
    context = method.describe(state, {"image": canvas})
    ids = np.asarray(first.label)[None]
    made = method.synthesise(state, jax.random.key(1), ids, context.latent)
    distance = np.abs(np.asarray(context.features) - np.asarray(made)).mean(-1)[0]
    expected = np.where(ids[0] < 10, distance, np.nan)
    np.testing.assert_allclose(first.error, expected, rtol=1e-5)
    nothing = np.full((1, 32, 64), 255, np.int32)
    found = pictures.describe(state, canvas, nothing, method=method)
    assert np.isnan(found["error"]).all() and np.isfinite(first.error).any()


def test_a_picture_smaller_than_its_canvas_has_maps_of_its_own_part(trained, looks):
    size = looks[0].image[:20, :40]
    label = looks[0].truth[:20, :40]
    found = pictures._look(trained._replace(canvases=((32, 64),)), size, label)
    h, w = found.label.shape
    assert (h, w) == tuple(np.ceil(np.array([20, 40]) / 32 * looks[0].label.shape[0]))
    assert found.features.shape[:2] == found.scale_weights.shape[:2] == (h, w)
    assert found.prediction.shape == (20, 40)


def test_pixels_are_drawn_of_every_class_and_no_other(looks):
    features, ids = pictures.sample(looks, num_classes=10, seed=0, most=4)
    every = np.concatenate([x.features.reshape(-1, 16) for x in looks])
    labels = np.concatenate([x.label.ravel() for x in looks])
    counts = np.bincount(labels[labels < 10], minlength=10)
    np.testing.assert_array_equal(np.bincount(ids, minlength=10), np.minimum(counts, 4))
    for vector, c in zip(features, ids, strict=True):
        assert (every[labels == c] == vector).all(-1).any()


def test_scales_are_named_by_what_they_see(trained):
    context = trained.method.segmentor.head.context
    assert pictures.fields(context) == ["3 x 3", "7 x 7", "17 x 17"]
    assert pictures.fields(context.clone(kind="none")) == ["1 x 1"] * 3


def test_principal_components_are_those_of_the_covariance():
    vectors = np.random.default_rng(0).normal(size=(50, 5)) * [1, 9, 1, 4, 1]
    places, name = pictures.flatten(vectors, "pca")
    eigenvalues = np.linalg.eigvalsh(np.cov(vectors.T))[::-1]
    np.testing.assert_allclose(np.var(places, axis=0, ddof=1), eigenvalues[:2])
    assert name == "principal components"


def test_without_scikit_learn_it_is_principal_components(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    _, name = pictures.flatten(np.random.default_rng(0).normal(size=(9, 5)))
    assert name == "principal components"


def test_a_projection_that_there_is_not_is_refused():
    with pytest.raises(ValueError, match="tsne.*umap.*got 'som'"):
        pictures.flatten(np.zeros((9, 2)), "som")


def test_one_command_draws_all(trained, workdir, tmp_path, monkeypatch, capsys):
    # The fixture's, whose programs are compiled.
    monkeypatch.setattr(pictures, "load", lambda workdir, **given: trained)
    out = tmp_path / "out"
    pictures.main(
        [*("--workdir", workdir, "--out", str(out)), *("--num", "2")]
        + ["--projection", "pca"]
    )
    names = {"predictions", "scales", "reconstruction", "features"}
    assert {path.stem for path in out.iterdir()} == names
    assert capsys.readouterr().out.count("wrote") == 4
    sizes = [Image.open(path).size for path in out.iterdir()]
    assert all(min(size) > 50 for size in sizes)


def test_a_method_without_a_generator_has_predictions_only(tmp_path):
    config = config_lib.load(CONFIG, "tiny")
    config["method"] = dict(name="supervised.Supervised")
    workdir = save_untrained(config, tmp_path)
    trained = pictures.load(workdir)
    looks = pictures.look_at_unseen(trained, num=1)
    assert [name for name, _ in pictures.draw(trained, looks)] == ["predictions"]


def test_a_run_without_unseen_classes_is_refused(tmp_path):
    config = config_lib.load(ROOT / "configs" / "quickstart.py", "tiny")
    workfolder.claim(config, str(tmp_path), inputs.make_dataset(config).labels)
    with pytest.raises(SystemExit, match="is no zero-shot run"):
        pictures.main(["--workdir", str(tmp_path), "--out", str(tmp_path / "out")])


def test_a_config_of_another_model_is_refused(workdir, tmp_path):
    other = f"{CONFIG}:mixed,tiny,patch"
    arguments = ("--workdir", workdir, "--out", str(tmp_path), "--config", other)
    with pytest.raises(SystemExit, match="another model.*\n.*window: 1 -> 3"):
        pictures.main(arguments)


def test_a_projection_without_its_package_is_refused_at_once(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ValueError, match="needs umap-learn"):
        pictures.check_installed("umap")


def test_maps_are_of_what_prediction_shows_the_network(trained, looks):
    protocol = Resized(short_side=16, multiple=8, step=8)
    predictor = dataclasses.replace(trained.predict, protocol=protocol)
    small = pictures._look(
        trained._replace(predict=predictor), looks[0].image, looks[0].truth
    )
    canvas, size = pictures.shown_in_prediction(
        trained._replace(predict=predictor), looks[0].image
    )
    assert canvas.shape == (16, 32, 3) and size == (16, 32)
    context = trained.method.describe(trained.state, {"image": canvas[None]})
    np.testing.assert_allclose(small.features, context.features[0], atol=1e-6)
    np.testing.assert_array_equal(
        small.label, labels_at(looks[0].truth[None, ::2, ::2], small.label.shape)[0]
    )
    assert small.prediction.shape == looks[0].truth.shape


def test_what_surrounds_a_picture_is_what_prediction_paints_there(trained, looks):
    image = looks[0].image[:20, :40]
    whole = trained._replace(canvases=((32, 64),))
    resized = Resized(short_side=9, multiple=8, step=8)
    fill = inference.fill_colour(trained.method)
    for protocol in (whole.predict.protocol, resized):
        seen = []

        def see(state, batch, protocol, seen=seen):
            size = batch["size"]
            protocol(lambda x: seen.append(x) or x, batch["image"], size, fill=fill)
            return np.zeros(batch["image"].shape[:3], np.uint8)

        predictor = dataclasses.replace(
            whole.predict, protocol=protocol, predict=see, buckets=((32, 64),)
        )
        predictor(image)
        canvas, _ = pictures.shown_in_prediction(
            whole._replace(predict=predictor), image
        )
        np.testing.assert_allclose(canvas, seen[0][0], atol=1e-4)


def test_generated_features_of_zs3net_are_drawn(tmp_path):
    config = config_lib.load(ROOT / "configs" / "zs3net_voc.py", "generator", "tiny")
    trained = pictures.load(save_untrained(config, tmp_path))
    looks = pictures.look_at_unseen(trained, num=1)
    drawn = dict(pictures.draw(trained, looks, projection="pca"))
    assert list(drawn) == ["predictions", "features"]
    ids = np.arange(trained.labels.num_classes)
    made = trained.method.synthesise(trained.state, jax.random.key(0), ids)
    assert made.shape == (len(ids), looks[0].features.shape[-1])
