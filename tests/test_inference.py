import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg import inference, sharding
from jaxseg.metrics import iou
from jaxseg.metrics.confusion import confusion_matrix
from jaxseg.protocols.multiscale import MultiScale
from jaxseg.protocols.resized import Resized
from jaxseg.protocols.sliding import Sliding
from jaxseg.protocols.whole import Whole
from tests.test_train import build, make_config

SIZES = [(40, 50), (24, 30), (33, 21), (16, 20), (1, 1), (7, 50), (40, 8), (20, 20)]
PROTOCOLS = (
    Whole(),
    Sliding(window=(16, 16), stride=(10, 12)),
    MultiScale(inner=Sliding(window=(24, 24)), scales=(0.5, 1.25)),
    Resized(short_side=24, inner=Sliding(window=(24, 24), stride=(16, 16)), step=8),
)


def mixed_batch(canvas=(40, 50), seed=0):
    rng = np.random.default_rng(seed)
    b = len(SIZES)
    label = np.full((b, *canvas), 255, np.int32)
    for place, (h, w) in zip(label, SIZES, strict=True):
        place[:h, :w] = rng.integers(0, 5, (h, w))
    return {
        "image": rng.integers(0, 256, (b, *canvas, 3)).astype(np.uint8),
        "label": label,
        "valid": np.arange(b) != 3,
        "size": np.array(SIZES, np.int32),
    }


@pytest.fixture(scope="module")
def method():
    return build(make_config())[0]


@pytest.fixture(scope="module")
def state(method):
    state = method.init(jax.random.key(0), {"image": jnp.zeros((1, 32, 64, 3))})
    noise = np.random.default_rng(0)
    return inference.predicting(
        state.replace(
            params=jax.tree.map(
                lambda leaf: leaf + noise.normal(size=leaf.shape, scale=0.3),
                state.params,
            )
        )
    )


def count_on(devices, method, state, batch, protocol, measures=()):
    mesh = sharding.make_mesh(devices)
    state = jax.device_put(state, sharding.replicated(mesh))
    count = inference.make_count(method, mesh, measures)
    protocol = inference.fitted(protocol, batch)
    return count(state, sharding.to_devices(batch, mesh), protocol)


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda p: type(p).__name__)
def test_one_and_eight_devices_count_the_same(method, state, protocol):
    batch = mixed_batch()
    one, eight = (count_on(n, method, state, batch, protocol) for n in (1, 8))
    labelled = batch["label"][batch["valid"]] != 255
    assert int(one.confusion.sum()) == labelled.sum()
    # A pixel between two classes may go either way: batches of another size round
    # otherwise.
    difference = np.asarray(one.confusion) - np.asarray(eight.confusion)
    assert np.abs(difference).sum() <= 4
    assert (np.asarray(one.prediction) != np.asarray(eight.prediction)).mean() < 1e-3


def test_devices_say_nothing_to_each_other_but_their_counts(method, state):
    mesh = sharding.make_mesh(8)
    batch = sharding.to_devices(mixed_batch(), mesh)
    placed = jax.device_put(state, sharding.replicated(mesh))
    count = inference.make_count(method, mesh)
    program = count.lower(placed, batch, PROTOCOLS[1]).compile().as_text()
    assert "all-reduce" in program
    assert "all-gather" not in program and "collective-permute" not in program


def test_the_confusion_is_that_of_the_class_ids(method, state):
    batch = mixed_batch()
    counts = count_on(1, method, state, batch, PROTOCOLS[1])
    truth = np.where(batch["valid"][:, None, None], batch["label"], 255)
    expected = confusion_matrix(
        truth, np.asarray(counts.prediction), num_classes=method.labels.num_classes
    )
    np.testing.assert_array_equal(counts.confusion, expected)


def test_each_picture_has_the_mean_iou_of_its_own_confusion(method, state):
    batch = mixed_batch()
    counts = count_on(1, method, state, batch, Whole())
    for i, score in enumerate(np.asarray(counts.scores)):
        alone = confusion_matrix(
            batch["label"][i],
            np.asarray(counts.prediction)[i],
            num_classes=method.labels.num_classes,
        )
        expected = iou.scores(np.asarray(alone))["mean_iou"]
        if not batch["valid"][i]:
            expected = np.nan
        np.testing.assert_allclose(score, expected, rtol=1e-6)


@pytest.mark.parametrize("compare_at", ["resized", "map"])
def test_scores_may_compare_where_the_authors_of_spnet_and_cagnet_do(
    method, state, compare_at
):
    torch = pytest.importorskip("torch")
    batch, side = mixed_batch(), 24
    protocol = Resized(size=(side, side), compare_at=compare_at)
    counted = count_on(1, method, state, batch, protocol)

    def shown(image):
        planes = torch.from_numpy(image.astype(np.float32)).permute(2, 0, 1)[None]
        resize = torch.nn.functional.interpolate
        warped = resize(planes, (side, side), mode="bilinear", align_corners=False)
        variables = dict(
            params=state.params["segmentor"],
            batch_stats=state.batch_stats["segmentor"],
        )
        warped = jnp.asarray(warped.permute(0, 2, 3, 1).numpy())
        outputs = method.segmentor.apply(variables, warped, train=False)
        return (outputs.coarse if compare_at == "map" else outputs.logits)[0]

    wanted = np.zeros((10, 10), int)
    for i, (height, width) in enumerate(SIZES):
        ids = np.argmax(shown(batch["image"][i, :height, :width]), -1)
        truth = batch["label"][i, :height, :width]
        cells = len(ids)
        assert cells == (side if compare_at == "resized" else side // 4)
        mine = np.empty((height, width), int)
        for y, x in np.ndindex(mine.shape):
            mine[y, x] = ids[
                int((y + 0.5) * cells / height), int((x + 0.5) * cells / width)
            ]
        given = np.asarray(counted.prediction)[i, :height, :width]
        assert (given != mine).mean() < 0.01
        if not batch["valid"][i]:
            continue
        for r, c in np.ndindex(ids.shape):
            # By OpenCV's rule from the warped mask, which has it from the picture's.
            y, x = (r * side // cells, c * side // cells)
            label = truth[y * height // side, x * width // side]
            if label != 255:
                wanted[label, ids[r, c]] += 1
    assert counted.confusion.sum() == wanted.sum() > 100
    assert np.abs(np.asarray(counted.confusion) - wanted).sum() <= 4


def test_measures_are_given_what_is_compared(method, state):
    class Shapes:
        def count(self, truth, prediction, size):
            assert truth.shape == prediction.shape == (8, 6, 6)
            return size

    protocol = Resized(size=(24, 24), compare_at="map")
    batch = mixed_batch()
    (sizes,) = count_on(1, method, state, batch, protocol, (Shapes(),)).measures
    np.testing.assert_array_equal(
        sizes, [[0, 0] if i == 3 else [6, 6] for i in range(8)]
    )


def test_a_map_is_compared_only_where_there_is_one(method):
    protocol = Resized(size=(24, 24), compare_at="map")
    padded = dataclasses.replace(
        method, segmentor=method.segmentor.clone(size_divisor=8)
    )
    with pytest.raises(ValueError, match="compare_at='picture'"):
        inference.check_protocol(padded, protocol)
    inference.check_protocol(padded, Resized(size=(24, 24), compare_at="resized"))

    @dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
    class Refining(type(method)):
        def refine(self, state, batch, class_ids):
            return class_ids

    fields = {f.name: getattr(method, f.name) for f in dataclasses.fields(method)}
    refining = Refining(**fields)
    with pytest.raises(ValueError, match="refines the classes"):
        inference.check_protocol(refining, protocol)
    inference.check_protocol(refining, Resized(size=(24, 24)))


def test_further_measures_are_counted_with_the_step(method, state):
    class Pixels:
        def count(self, truth, prediction, size=None):
            return {
                "labelled": jnp.sum(truth >= 0, dtype=jnp.int32)
                - jnp.sum(truth == 255, dtype=jnp.int32),
                "area": jnp.sum(size[:, 0] * size[:, 1]),
            }

    batch = mixed_batch()
    for devices in (1, 8):
        counts = count_on(devices, method, state, batch, Whole(), (Pixels(),))
        (pixels,) = counts.measures
        assert int(pixels["labelled"]) == int(counts.confusion.sum())
        shown = zip(SIZES, batch["valid"], strict=True)
        assert int(pixels["area"]) == sum(h * w for (h, w), valid in shown if valid)


def test_mixed_sizes_compile_once_for_each_canvas(method, state):
    traces = []

    class Watched(type(method)):
        def predict(self, state, batch):
            traces.append(batch["image"].shape)
            return super().predict(state, batch)

    watched = Watched(
        **{f.name: getattr(method, f.name) for f in dataclasses.fields(method)}
    )
    mesh = sharding.make_mesh(1)
    predict = inference.make_predict(watched, mesh)
    rng = np.random.default_rng(0)
    canvases = set()
    for _ in range(30):
        size = rng.integers(17, 65, 2)
        canvas = inference.canvas_for(tuple(size))
        canvases.add(canvas)
        image = jnp.zeros((1, *canvas, 3), jnp.uint8)
        predict(state, {"image": image, "size": jnp.asarray(size[None])}, Whole())
    assert len(traces) == len(canvases) <= 16


def test_the_method_never_sees_the_labels(method):
    class Peeking:
        labels = method.labels
        segmentor = method.segmentor

        def predict(self, state, batch):
            assert "label" not in batch
            return jnp.zeros((*batch["image"].shape[:3], self.labels.num_classes))

        def refine(self, state, batch, class_ids):
            assert "label" not in batch and "size" in batch
            return class_ids

    batch = dict(mixed_batch(), label=np.zeros((8, 40, 50), np.int32))
    counts = count_on(1, Peeking(), None, batch, Whole())
    assert int(counts.confusion[0, 0]) == 7 * 40 * 50
    assert counts.prediction.dtype == jnp.uint8


def test_ids_have_room_for_all_classes_and_one_more():
    assert inference.id_dtype(255) == jnp.uint8
    assert inference.id_dtype(256) == inference.id_dtype(65535) == jnp.uint16
    assert inference.id_dtype(65536) == jnp.uint32


def test_many_classes_keep_their_ids(method):
    class Many:
        labels = type("Labels", (), dict(num_classes=919))
        segmentor = method.segmentor

        def predict(self, state, batch):
            b, h, w, _ = batch["image"].shape
            return jax.nn.one_hot(jnp.full((b, h, w), 900), 919)

        def refine(self, state, batch, class_ids):
            return class_ids

    label = np.full((1, 2, 3), 900, np.int32)
    label[0, 0] = 65535
    batch = {
        "image": np.zeros((1, 2, 3, 3), np.uint8),
        "label": label,
        "valid": np.ones(1, bool),
    }
    counts = count_on(1, Many(), None, batch, Whole())
    assert counts.prediction.dtype == jnp.uint16
    assert int(counts.confusion[900, 900]) == int(counts.confusion.sum()) == 3


def test_a_picture_without_labels_has_no_score():
    assert np.isnan(inference.mean_ious(jnp.zeros((1, 3, 3), jnp.int32))).all()


@pytest.mark.parametrize(
    ("size", "canvas"),
    [
        ((375, 500), (384, 512)),
        ((384, 384), (384, 384)),
        ((385, 1), (512, 1)),
        ((2, 3), (2, 3)),
        ((12000, 9000), (12288, 12288)),
    ],
)
def test_without_buckets_sides_go_up_a_ladder(size, canvas):
    assert inference.canvas_for(size) == canvas


def test_the_smallest_bucket_that_holds_a_picture_is_taken():
    buckets = ((512, 512), (384, 512), (512, 384))
    assert inference.canvas_for((375, 500), buckets) == (384, 512)
    assert inference.canvas_for((500, 375), buckets) == (512, 384)
    assert inference.canvas_for((400, 400), buckets) == (512, 512)
    assert inference.canvas_for((600, 400), buckets) == (768, 512)


def test_networks_with_aligned_corners_get_sides_of_one_more():
    wanted = {1: 1, 2: 2, 375: 385, 385: 385, 386: 513, 513: 513, 514: 769}
    for side, canvas in wanted.items():
        found = inference.canvas_for((side, side), align_corners=True)
        assert found == (canvas, canvas)


def test_a_batch_too_large_to_count_in_is_refused():
    inference.check_countable((8, 9000, 12000))
    for shape in ((2001, 1, 1), (20, 9000, 12000)):
        with pytest.raises(ValueError, match="lower config.evals"):
            inference.check_countable(shape)
