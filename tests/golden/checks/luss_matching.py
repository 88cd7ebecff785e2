"""LUSS's ways from clusters, scores or features to classes."""

import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxseg.data.labels import LabelSet
from jaxseg.metrics.distance_matching import instance_embeddings, nearest_votes
from jaxseg.metrics.matching import MatchedIoU, cooccurrence, match, relabel
from jaxseg.metrics.threshold_curve import ThresholdCurve, background_below
from jaxseg.ops.resize import resize_bilinear, resize_nearest
from tests.golden.case import Case
from tests.golden.checks import luss_metrics


def hungarian(case: Case) -> None:
    """Clusters and classes by the pictures that hold both, with and without ties."""
    case.reference_only(
        "returned_cost_num_classes_plus_total",
        reason="K + total, the odd way in which their function returns the total",
    )
    num_classes = case.number("num_classes")
    shared = _presence(case, num_classes)
    case.equal("cooccurrence_generated_by_class", shared)
    classes = match(shared)
    case.equal("match_generated_to_class", classes)
    case.equal("total", _total(shared, classes))
    ties = case["tie_cooccurrence"]
    case.equal("tie_total", _total(ties, match(ties)))
    case.close("cluster_accuracy", _cluster_accuracy(case), atol=1e-6)


def _presence(case: Case, num_classes: int) -> np.ndarray:
    """The presence matrices as pictures: pixel i of one row holds i, if it is there."""
    ids = np.arange(num_classes)
    truth, clusters = (
        jnp.where(case[name][:, None] > 0, ids, -1)
        for name in ("gt_presence", "generated_presence")
    )
    return np.asarray(
        cooccurrence(truth, clusters, num_classes=num_classes, num_clusters=num_classes)
    )


def _total(shared: np.ndarray, classes: np.ndarray) -> int:
    return int(shared[np.arange(len(classes)), classes].sum())


def _cluster_accuracy(case: Case) -> float:
    """A picture with one id is a pixel: the accuracy is that of pixels."""
    truth, clusters = case["cluster_gt"], case["cluster_pred"]
    number = int(max(truth.max(), clusters.max())) + 1
    names = tuple(f"class {i}" for i in range(number))
    measure = MatchedIoU(LabelSet(names, tuple((0, 0, 0) for _ in names)))
    counts = measure.count(truth[:, None, None], clusters[:, None, None])
    totals = type(counts)(*(np.asarray(each, np.int64) for each in counts))
    return measure.scores(totals)["matched_pixel_accuracy"]


def threshold_curve(case: Case) -> None:
    """Matching and mean IoU from one pass, then every score with the file's matching.

    Matchings are not unique, as some classes never occur: ours must be as good.
    """
    number = sum(name.startswith("logit") for name in case.names)
    truth, clusters, size = luss_metrics.pictures(case, number)
    score = luss_metrics.pad([case[f"logit{i}"] for i in range(number)], 0.0)
    labels, thresholds = luss_metrics.labels_of(case), case["thresholds"]
    curve = ThresholdCurve(
        labels, thresholds=tuple(thresholds.tolist()), absent_as_zero=True
    )
    counts = curve.count(truth, clusters, score)
    totals = type(counts)(*(np.asarray(each, np.int64) for each in counts))
    ours = curve.scores(totals)
    case.equal("cooccurrence_generated_by_class", totals.pictures[:, 1:, 1:])
    best = int(case["best_index"])
    case.close_to(thresholds[best], ours["best_threshold"], "best_index")

    theirs = np.pad(case["match"], ((0, 0), (1, 0)))  # the background stays
    for shared, classes, matching in zip(
        totals.pictures[:, 1:, 1:], ours["curve_match"], theirs, strict=True
    ):
        found, best_total = (_total(shared, m[1:] - 1) for m in (classes, matching))
        case.close_to(best_total, found, "match")
    _compare_curve(case, labels, (truth, clusters, score, size), theirs)


def _compare_curve(case: Case, labels: LabelSet, maps, matchings: np.ndarray) -> None:
    truth, clusters, score, size = maps
    names = {k: v for k, v in luss_metrics.SCORE_NAMES.items() if k in case}
    rows = []
    for threshold, classes in zip(case["thresholds"], matchings, strict=True):
        prediction = relabel(background_below(clusters, score, threshold), classes)
        scores = {}
        for measure in luss_metrics.measures(labels).values():
            counts = luss_metrics.per_picture(measure, truth, prediction, size)
            scores |= measure.scores(luss_metrics.add_up(counts))
        rows.append([100 * scores[ours] for ours in names.values()])
    for name, values in zip(names, np.transpose(rows), strict=True):
        case.close(name, values, atol=2e-3)


def distance_matching(case: Case) -> None:
    """The bank of instances, votes on given vectors, and a whole prediction."""
    num_classes = case.number("num_classes") + 1
    bank, labels = _bank(case, num_classes)
    case.close("train_embeddings", bank, atol=1e-5)
    case.equal("train_labels", labels)

    def votes(queries):
        return nearest_votes(
            queries,
            case["train_embeddings"],
            jnp.asarray(case["train_labels"]),
            num_classes=num_classes,
            num_neighbours=case.number("knn_k"),
            temperature=case.number("knn_temperature"),
        )

    ours = votes(jnp.asarray(case["knn_queries"]))
    case.close("knn_votes", ours, rtol=1e-4)
    _compare_winners(case, "knn_top1", ours, np.asarray(jnp.argmax(ours, axis=1)))

    features = _features(case, case["query_image_nchw"])
    _, h, w, d = features.shape
    ids = jnp.argmax(votes(features.reshape(-1, d)), axis=1).reshape(1, h, w)
    height, width = case["query_size"].tolist()
    red, green, blue = np.moveaxis(case["query_prediction_rgb"].astype(int), -1, 0)
    assert not blue.any()
    ids = resize_nearest(ids, (height, width))[0]
    case.close_to(red + 256 * green, ids, "query_prediction_rgb")


def _compare_winners(case: Case, name: str, votes, ids: np.ndarray) -> None:
    """Only where the two best differ by more than rounding."""
    best = np.sort(np.asarray(votes), axis=1)
    clear = best[:, -1] - best[:, -2] > 1e-4 * best[:, -1]
    assert clear.any()
    case.close_to(case[name][clear], ids[clear], name)


def _bank(case: Case, num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings of all instances, in the order of pictures and ids."""
    embeddings, labels = [], []
    number = sum(name.startswith("mask") for name in case.names)
    for index in range(number):
        features = _features(case, case[f"image{index}_nchw"])
        mask = jnp.asarray(case[f"mask{index}"], jnp.int32)[None]
        mask = resize_nearest(mask, features.shape[1:3])
        found, present = instance_embeddings(features, mask, num_classes=num_classes)
        embeddings.append(np.asarray(found)[np.asarray(present)])
        labels.append(np.nonzero(np.asarray(present))[1])
    return np.concatenate(embeddings), np.concatenate(labels)


def _features(case: Case, image: np.ndarray):
    """Their stand-in for a network, 4 x 4 patches, enlarged four times."""
    kernel = case["conv_weight_oihw"].transpose(2, 3, 1, 0)
    features = lax.conv_general_dilated(
        jnp.asarray(image.transpose(0, 2, 3, 1)),
        jnp.asarray(kernel),
        window_strides=kernel.shape[:2],
        padding="VALID",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    _, h, w, _ = features.shape
    return resize_bilinear(features, (4 * h, 4 * w), align_corners=False)
