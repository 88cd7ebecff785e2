"""Checks against PiCo's own code: the contrast, its anchors, its memory, the whole.

Arrays named `*_official` hold what the authors' code computes; where that is a defect,
`jaxseg.methods.pico.official` reproduces it, and the unsuffixed array is ours.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxseg import sharding
from jaxseg.data.labels import IGNORE
from jaxseg.losses.cross_entropy import segmentation_loss
from jaxseg.memory.queue import Queue
from jaxseg.methods.pico import memory as memories
from jaxseg.methods.pico import official, sampling
from jaxseg.methods.pico.loss import Contrast, pixel_contrast
from jaxseg.methods.pico.memory import Memory
from jaxseg.ops.resize import resize_bilinear, resize_nearest
from tests.golden.case import Case

_NOT_FINITE = "the authors' code divides by zero or takes the logarithm of zero here"

# What a sampler case says about the anchors themselves.
_CHOICE = (
    *("n_view", "num_hard_keep", "num_easy_keep"),
    *("selected_pos", "y", "feats", "X"),
)


def contrast_batch(case: Case) -> None:
    """Anchors of one group against each other, and the authors' value where finite."""
    labels = _labels_of_anchors(case)

    def contrast(x: jax.Array) -> Contrast:
        return pixel_contrast(_one_group(x), labels, **_temperatures(case))

    ours, grad = _with_gradient(contrast, case["X"])
    is_unit = np.linalg.norm(case["X"], axis=-1).max() < 1.01
    tolerance = dict(rtol=1e-4, atol=1e-5) if is_unit else dict(rtol=1e-3, atol=1e-3)
    case.close("loss", ours.loss, rtol=1e-5)
    case.close("grad_X", grad, **tolerance)
    case.equal("n_valid_anchors", ours.num_anchors)
    # Theirs subtracts in float32, which costs a small loss its relative precision.
    _close_where_finite(case, "loss_official", ours.loss, rtol=1e-5, atol=1e-6)
    _close_where_finite(case, "grad_X_official", grad, **tolerance)


def contrast_mem(case: Case) -> None:
    """Anchors against a memory: alone, beside each other, and as the authors do."""
    labels = _labels_of_anchors(case)
    bank = jnp.asarray(case["queue"]), jnp.asarray(case["queue_valid"] > 0)

    def alone(x: jax.Array) -> Contrast:
        return pixel_contrast(
            _one_group(x), labels, [bank], with_batch=False, **_temperatures(case)
        )

    def both(x: jax.Array) -> Contrast:
        return pixel_contrast(_one_group(x), labels, [bank], **_temperatures(case))

    def theirs(x: jax.Array) -> Contrast:
        views, memory = jnp.full(1, x.shape[1]), _full_memory(case["queue"])
        return official.contrast(
            _one_group(x), labels, views, memory, **_temperatures(case)
        )

    tolerance = dict(rtol=1e-4, atol=1e-5)
    ours, grad = _with_gradient(alone, case["X"])
    case.close("loss", ours.loss, rtol=1e-5)
    case.close("grad_X", grad, **tolerance)
    case.equal("n_valid_anchors", ours.num_anchors)

    ours, grad = _with_gradient(both, case["X"])
    case.close("loss_batch_plus_memory", ours.loss, rtol=1e-5)
    case.close("grad_X_batch_plus_memory", grad, **tolerance)

    ours, grad = _with_gradient(theirs, case["X"])
    _close_where_finite(case, "loss_official", ours.loss, rtol=1e-5, atol=1e-6)
    _close_where_finite(case, "grad_X_official", grad, **tolerance)


def sampler(case: Case) -> None:
    """Which pixels become anchors: all integers, and the embeddings bit for bit."""
    ignored = case["labels"] == case["ignore_label"]
    labels = np.where(ignored, -1, case["labels"])
    max_samples = case.number("max_samples")
    anchors, pairs = sampling.choose_anchors(
        jnp.asarray(labels),
        jnp.asarray(case["preds"]),
        jnp.asarray(case["priority"]),
        num_classes=int(max(labels.max(), case["preds"].max())) + 1,
        max_samples=max_samples,
        max_views=case.number("max_views"),
        group_size=0,
    )
    num_pairs = _sampler_pairs(case, pairs)
    num_anchors = min(num_pairs * int(pairs.views[0]), max_samples)
    if num_pairs > max_samples:
        _sampler_beyond_the_slots(case, anchors, labels)
    elif num_pairs:
        _sampler_within_the_slots(case, anchors, pairs)
    else:
        case.reference_only(*_CHOICE, reason="without a pair there is no choice")
    # What the pairs do not use stays empty.
    filled = np.arange(max_samples) < num_anchors
    np.testing.assert_array_equal(np.asarray(anchors.labels[0]) >= 0, filled)


def _sampler_pairs(case: Case, pairs: sampling.Pairs) -> int:
    """Compares the pairs of enough pixels, and returns how many there are."""
    num_hard, num_easy = np.asarray(pairs.num_hard[0]), np.asarray(pairs.num_easy[0])
    has_enough = num_hard + num_easy > case.number("max_views")
    num_pairs = int(has_enough.sum())
    images, class_ids = np.nonzero(has_enough)
    case.equal("total_pairs", num_pairs)
    for name, ours in (
        ("pair_image", images),
        ("pair_class", class_ids),
        ("num_hard", num_hard[has_enough]),
        ("num_easy", num_easy[has_enough]),
    ):
        if num_pairs or name in case:  # without a pair the authors' code breaks down
            case.equal(name, ours)
    qualified = np.asarray(pairs.qualified[0])
    fits = np.arange(num_pairs) < case.number("max_samples")
    np.testing.assert_array_equal(qualified[has_enough], fits)
    assert not np.any(qualified[~has_enough])
    return num_pairs


def _sampler_within_the_slots(
    case: Case, anchors: sampling.Anchors, pairs: sampling.Pairs
) -> None:
    """Compares the choice where the authors' code can make one."""
    _, h, w, d = case["feats"].shape
    shape = len(case["y"]), case.number("n_view")
    used = shape[0] * shape[1]
    qualified = np.asarray(pairs.qualified[0])
    positions = np.asarray(anchors.positions[0, :used]).reshape(shape)
    labels = np.asarray(anchors.labels[0, :used]).reshape(shape)
    hard = np.asarray(anchors.hard[0, :used]).reshape(shape)

    case.equal("n_view", pairs.views[0])
    case.equal("num_hard_keep", np.asarray(pairs.keep_hard[0])[qualified])
    case.equal("num_easy_keep", np.asarray(pairs.keep_easy[0])[qualified])
    case.equal("selected_pos", positions % (h * w))
    case.equal("y", labels[:, 0])
    case.equal("X", jnp.asarray(case["feats"]).reshape(-1, d)[positions])
    for theirs, ours in (
        (case["pair_image"], positions // (h * w)),
        (case["y"], labels),
    ):
        np.testing.assert_array_equal(ours, np.repeat(theirs, shape[1]).reshape(shape))
    first_hard = np.arange(shape[1]) < case["num_hard_keep"][:, None]
    np.testing.assert_array_equal(hard, first_hard)


def _sampler_beyond_the_slots(
    case: Case, anchors: sampling.Anchors, labels: np.ndarray
) -> None:
    """Compares with our definition: the first pairs give one anchor each."""
    case.reference_only(
        *_CHOICE,
        reason="of more pairs than slots the authors' code chooses no anchor at all; "
        "ours takes one of each of the first pairs, an easy one if there is any",
    )
    used = case.number("max_samples")
    pixels = labels[0].size
    for slot, image, class_id in zip(
        range(used), case["pair_image"], case["pair_class"], strict=False
    ):
        inside = labels[image].ravel() == class_id
        easy = inside & (case["preds"][image].ravel() == class_id)
        among = easy if easy.any() else inside
        priority = np.where(among, case["priority"][image].ravel(), np.inf)
        expected = image * pixels + np.argmin(priority), class_id, not easy.any()
        ours = (anchors.positions, anchors.labels, anchors.hard)
        assert tuple(array[0, slot].item() for array in ours) == expected


def enqueue(case: Case) -> None:
    """What is remembered of a batch, on any number of devices; and by the authors."""
    embeddings, labels = jnp.asarray(case["keys"]), jnp.asarray(case["labels"])
    num_classes, num_picks = case["pick_pos"].shape[1:]
    full = resize_nearest(jnp.asarray(case["labels_full"]), labels.shape[1:])
    case.equal("labels", full)
    stride = case.number("stride")
    case.equal("labels", case["labels_full"][:, ::stride, ::stride])
    case.equal("views", num_picks)

    before = Memory(region=_queue_in(case, "region"), pixel=_queue_in(case, "pixel"))
    for queue in (before.region, before.pixel):
        case.equal("memory_size", queue.values.shape[1])
    update = jax.jit(memories.update)
    after = update(before, embeddings, labels, jnp.asarray(case["pick_pos"]))
    for name, queue in (("region", after.region), ("pixel", after.pixel)):
        case.close(f"{name}_queue", queue.values, atol=1e-6)
        case.equal(f"{name}_ptr", queue.pointer)
        case.equal(f"{name}_fill", queue.fill)
    _same_on_several_devices(case, before, after)

    picks = jnp.asarray(case["official_pick_pos"])
    theirs = jax.jit(official.update)(before, embeddings, labels, picks)
    for name, queue in (("region", theirs.region), ("pixel", theirs.pixel)):
        case.close(f"{name}_queue_official", queue.values, atol=1e-6)
        case.equal(f"{name}_ptr_official", queue.pointer)

    # Another random order finds other pixels, but as many of them.
    priority = sampling.draw_priority(jax.random.key(0), labels.shape)
    options = dict(num_classes=num_classes, num_picks=num_picks)
    ours = sampling.pick_pixels(labels, priority, **options)
    case.equal("pick_count", jnp.sum(ours >= 0, axis=-1))
    ours = official.pick_pixels(labels, priority, **options)
    num_official = np.sum(case["official_pick_pos"] >= 0, axis=-1)
    np.testing.assert_array_equal(jnp.sum(ours >= 0, axis=-1), num_official)


def _same_on_several_devices(case: Case, before: Memory, after: Memory) -> None:
    """Requires the same bits when the batch is split over devices, if there are any."""
    num_devices, batch = case.number("shards"), len(case["keys"])
    if num_devices > len(jax.devices()) or batch % num_devices:
        return
    mesh = sharding.make_mesh(num_devices)
    whole, split = sharding.replicated(mesh), sharding.batched(mesh)
    update = jax.jit(
        memories.update,
        in_shardings=(whole, split, split, split),
        out_shardings=whole,
    )
    with jax.set_mesh(mesh):
        sharded = update(before, case["keys"], case["labels"], case["pick_pos"])
    jax.tree.map(np.testing.assert_array_equal, sharded, after)
    case.num_comparisons += 1


def joint(case: Case) -> None:
    """The whole training loss on given outputs of the network, with its gradients."""
    anchors, pairs = _anchors_of_outputs(case)
    has_enough = pairs.num_hard + pairs.num_easy > case.number("max_views")
    case.equal("n_pairs", jnp.sum(has_enough))

    def at_anchors(embed: jax.Array) -> jax.Array:
        return embed.reshape(-1, embed.shape[-1])[anchors.positions]  # [1, A, D]

    def in_batch(embed: jax.Array) -> Contrast:
        return pixel_contrast(at_anchors(embed), anchors.labels, **_temperatures(case))

    def with_memory(embed: jax.Array) -> Contrast:
        return pixel_contrast(
            at_anchors(embed),
            anchors.labels,
            memories.banks(_full_memory(case["region_queue"], case["pixel_queue"])),
            with_batch=False,
            **_temperatures(case),
        )

    def as_the_authors(embed: jax.Array) -> Contrast:
        return official.contrast(
            at_anchors(embed),
            anchors.labels,
            pairs.views,
            _full_memory(case["region_queue"], case["pixel_queue"]),
            **_temperatures(case),
        )

    kind = str(case["kind"])
    losses, grads = _joint_loss(case, as_the_authors if kind == "mem" else in_batch)
    expected = {name: case[name] for name in losses}
    if kind != "mem" and not np.isfinite(expected["loss_contrast"]):
        value = _contrast_by_definition(
            at_anchors(case["embed"])[0], anchors.labels[0], **_temperatures(case)
        )
        expected["loss_contrast"] = value
        expected["loss_total"] = case["loss_seg"] + case["loss_weight"] * value
    # Theirs may be off zero by a rounding error, where ours is zero.
    for name, loss in losses.items():
        case.close_to(expected[name], loss, name, rtol=1e-4, atol=1e-6)
    for name, grad in grads.items():
        _close_where_finite(case, f"grad_{name}", grad, rtol=1e-3, atol=1e-6)
    if kind == "mem":
        losses, grads = _joint_loss(case, with_memory)
        case.close("contrast_spec", losses["loss_contrast"], rtol=1e-4, atol=1e-6)
        case.close("total_spec", losses["loss_total"], rtol=1e-4, atol=1e-6)
        case.close("grad_embed_spec", grads["embed"], rtol=1e-3, atol=1e-6)


def _anchors_of_outputs(case: Case) -> tuple[sampling.Anchors, sampling.Pairs]:
    """The anchors that logits and labels of a joint case lead to."""
    return sampling.choose_anchors(
        resize_nearest(_target(case), case["seg"].shape[1:3]),
        jnp.argmax(jnp.asarray(case["seg"]), axis=-1),
        jnp.asarray(case["priority"]),
        num_classes=case["seg"].shape[-1],
        max_samples=case.number("max_samples"),
        max_views=case.number("max_views"),
        group_size=0,
    )


def _joint_loss(
    case: Case, contrast: Callable[[jax.Array], Contrast]
) -> tuple[dict[str, jax.Array], dict[str, jax.Array]]:
    """The losses by their names in the file, and the gradient of each input."""
    target = _target(case)

    def enlarged(logits: jax.Array) -> jax.Array:
        return resize_bilinear(logits, target.shape[1:], align_corners=True)

    def total(inputs: dict[str, jax.Array]) -> tuple[jax.Array, dict[str, jax.Array]]:
        entropy = segmentation_loss(
            enlarged(inputs["seg"]),
            enlarged(inputs["seg_aux"]) if "seg_aux" in inputs else None,
            target,
            class_weights=case["class_weights"],
            auxiliary_weight=case.number("aux_weight"),
        )
        value = contrast(inputs["embed"]).loss
        loss = entropy + case.number("loss_weight") * value
        return loss, {
            "loss_seg": entropy,
            "loss_contrast": value,
            "loss_total": loss,
            "loss_total_warmup": entropy,
        }

    names = [name for name in ("seg", "seg_aux", "embed") if name in case]
    inputs = {name: jnp.asarray(case[name]) for name in names}
    grads, losses = jax.jit(jax.grad(total, has_aux=True))(inputs)
    return losses, grads


def _contrast_by_definition(
    anchors: jax.Array, labels: jax.Array, temperature: float, base_temperature: float
) -> float:
    """The contrast of one group in float64, where the authors' code gives NaN."""
    x, labels = np.asarray(anchors, np.float64), np.asarray(labels)
    scores, losses = x @ x.T / temperature, []
    for i in np.flatnonzero(labels >= 0):
        same = labels == labels[i]
        positives = same & (np.arange(len(x)) != i)
        others = np.exp(scores[i, ~same & (labels >= 0)]).sum()
        terms = np.log(np.exp(scores[i, positives]) + others) - scores[i, positives]
        losses.extend([terms.mean()] if terms.size else [])
    mean = np.mean(losses) if losses else 0.0
    return float(mean * temperature / base_temperature)


def _target(case: Case) -> jax.Array:
    ignored = case["target"] == case["ignore_label"]
    return jnp.asarray(np.where(ignored, IGNORE, case["target"]))


def _one_group(anchors: jax.Array) -> jax.Array:
    """Anchors [P, V, D] of pairs as one group [1, P V, D]."""
    return anchors.reshape(1, -1, anchors.shape[-1])


def _labels_of_anchors(case: Case) -> jax.Array:
    return jnp.repeat(jnp.asarray(case["y"]), case["X"].shape[1])[None]


def _temperatures(case: Case) -> dict[str, float]:
    return {name: case.number(name) for name in ("temperature", "base_temperature")}


def _full_memory(region: np.ndarray, pixel: np.ndarray | None = None) -> Memory:
    """A memory of which every slot holds an entry; without pixels if there are none."""

    def full(values: np.ndarray) -> Queue:
        num_classes, length, _ = values.shape
        return Queue(
            values=jnp.asarray(values),
            pointer=jnp.zeros(num_classes, jnp.int32),
            fill=jnp.full(num_classes, length, jnp.int32),
        )

    return Memory(region=full(region), pixel=None if pixel is None else full(pixel))


def _queue_in(case: Case, name: str) -> Queue:
    """The queue of an enqueue case before the update."""
    return Queue(
        values=jnp.asarray(case[f"{name}_queue_in"]),
        pointer=jnp.asarray(case[f"{name}_ptr_in"]),
        fill=jnp.asarray(case[f"{name}_fill_in"]),
    )


def _with_gradient(
    contrast: Callable[[jax.Array], Contrast], anchors: np.ndarray
) -> tuple[Contrast, jax.Array]:
    """The contrast, and the gradient of its loss by the anchors."""

    def loss(x: jax.Array) -> tuple[jax.Array, Contrast]:
        value = contrast(x)
        return value.loss, value

    grad, value = jax.jit(jax.grad(loss, has_aux=True))(jnp.asarray(anchors))
    return value, grad


def _close_where_finite(
    case: Case, name: str, ours: jax.Array, *, rtol: float, atol: float = 0.0
) -> None:
    """Compares with the authors' array unless their code breaks down and ours not."""
    if np.all(np.isfinite(case[name])):
        case.close(name, ours, rtol=rtol, atol=atol)
    else:
        case.reference_only(name, reason=_NOT_FINITE)
        assert np.all(np.isfinite(ours)), f"{name}: ours is not finite either"
