"""Checks of SPNet against its code: loss, calibration, labels at scales, schedules."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxseg.methods import spnet
from jaxseg.models.heads.word_vectors import WordVectorClassifier
from jaxseg.ops.resize import resize_bilinear
from jaxseg.ops.scales import labels_at, largest
from jaxseg.optimizers import poly, sgd, step_decay
from tests.golden.case import Case


def label_resize_nearest(case: Case) -> None:
    """Which pixel of a label image stands for each of a square map."""
    for name in [name for name in case.names if name.startswith("label")]:
        number = name.removeprefix("label")
        size = case.number(f"size{number}")
        ours = labels_at(jnp.asarray(case[name]), (size, size))
        case.equal(f"resized{number}", ours)


def lr_schedules(case: Case) -> None:
    """The rate of each group by steps done, and the cuts of generator and rest."""
    total_steps, peak = case.number("max_iter"), case.number("init_lr")
    # A run has no step `max_iter`; the authors' scheduler keeps the last rate there.
    steps = np.minimum(case["iterations"], total_steps - 1)
    schedule = poly(
        peak=peak,
        total_steps=total_steps,
        power=case.number("power"),
        refresh_every=case.number("decay_every"),
    )
    rates = [_rates_of_groups(schedule, int(step)) for step in steps]
    case.close("poly_lr_groups", np.array(rates), rtol=1e-5)

    cuts = step_decay(
        peak=1.0,
        start=case.number("start_decay"),
        every=case.number("step_size"),
        factor=case.number("gamma"),
    )
    ours = [cuts(int(step)) for step in case["iterations"]]
    case.close("lambda_multiplier", np.array(ours), rtol=1e-5)


def _rates_of_groups(schedule: optax.Schedule, step: int) -> list[float]:
    """How far a gradient of 1 moves backbone, context, head kernels, head biases."""
    optimizer = sgd(
        lambda _: schedule(step),
        multipliers=(("context", 5.0), ("head/.*kernel", 10.0), ("head/.*bias", 20.0)),
    )
    params = {
        "backbone": {"kernel": jnp.zeros(())},
        "context": {"kernel": jnp.zeros(())},
        "head": {"rate_0": {"kernel": jnp.zeros(()), "bias": jnp.zeros(())}},
    }
    ones = jax.tree.map(jnp.ones_like, params)
    moved, _ = optimizer.update(ones, optimizer.init(params), params)
    head = moved["head"]["rate_0"]
    groups = (moved["backbone"]["kernel"], moved["context"]["kernel"])
    return [-float(x) for x in (*groups, head["kernel"], head["bias"])]


def spnet_calibrated_prediction(case: Case) -> None:
    """Logits, probabilities, and the classes for each gamma and among the unseen."""
    case.reference_only("gt", reason="the truth, which prediction does not see")
    seen = tuple(range(case.number("num_seen")))
    logits = _logits(case["features"], case["class_emb"])
    case.close("logits", logits, **case.resolved("logits", 2e-5))
    _, height, width, _ = case["logits_up"].shape
    logits = resize_bilinear(logits, (height, width), align_corners=False)
    case.close("logits_up", logits, **case.resolved("logits_up", 2e-5))

    probabilities = jax.nn.softmax(logits)
    case.close("probs", spnet.calibrated(probabilities, seen, 0.0), atol=2e-5)
    scores = [
        spnet.calibrated(probabilities, seen, float(gamma)) for gamma in case["gammas"]
    ]
    case.equal("pred", jnp.argmax(jnp.stack(scores), axis=-1))
    scores = spnet.unseen_only(logits, seen)
    case.equal("pred_unseen_only", jnp.argmax(scores, axis=-1))


def spnet_multiscale_loss(case: Case) -> None:
    """The sum of the cross entropies, and its gradient by each scale's features."""
    num_classes, _ = case["class_emb"].shape
    labels = jnp.asarray(case["labels"])
    # The first is the size of the maximum, whatever the order of the file.
    scales = sorted(
        (name for name in case.names if name.startswith("feat_")),
        key=lambda name: (name != "feat_100", case.names.index(name)),
    )
    for name in scales:
        _, h, w, _ = case[name].shape
        size = name.removeprefix("feat_")
        case.equal(f"labels_{size}", labels_at(labels, (h, w)))

    def loss(features: list[jax.Array]) -> tuple[jax.Array, list[jax.Array]]:
        maps = [_logits(x, case["class_emb"]) for x in features]
        losses = spnet.multiscale_losses(maps, labels, range(num_classes))
        return jnp.sum(jnp.stack(losses)), maps

    features = [jnp.asarray(case[name]) for name in scales]
    (ours, maps), grads = jax.jit(jax.value_and_grad(loss, has_aux=True))(features)
    case.close("loss", ours, rtol=1e-5, atol=1e-5)
    case.close("logits_max", largest(maps), **case.resolved("logits_max", 1e-5))
    for name, grad in zip(scales, grads, strict=True):
        case.close(f"grad_{name}", grad, atol=1e-5)


def _logits(features: np.ndarray | jax.Array, vectors: np.ndarray) -> jax.Array:
    """What the classifier says of features, rows of `vectors` being the classes."""
    variables = {"params": {"class_vectors": jnp.asarray(vectors.T)}}
    logits, _ = WordVectorClassifier().apply(
        variables, features, (), len(vectors), train=False
    )
    return logits
