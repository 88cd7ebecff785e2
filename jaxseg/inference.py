"""From a trained state to class ids and counts, compiled and spread over the devices.

`make_predict` gives class ids, `make_count` scores them as well. Each device works on
its own rows of the batch, with no word to the others until the counts are added up.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh

from jaxseg import sharding
from jaxseg.methods.base import Batch, Method
from jaxseg.metrics.confusion import confusion_matrix
from jaxseg.models.segmentor import Segmentor, in_order
from jaxseg.ops.backward import compiler_options
from jaxseg.protocols.base import Colour, Protocol
from jaxseg.state import TrainState

UNLABELLED = -1  # no class, however many there are
TRUTH = ("label", "image_labels")  # keys of a batch that prediction never sees
MOST_PICTURES = 2000  # in a batch, so that sums over its pictures and pixels fit int32


class Counts(NamedTuple):
    """What an evaluation counts in a batch.

    Attributes:
        confusion: int32 [C, C], rows truth, of the whole batch.
        measures: of each further measure, a PyTree of int32 arrays, likewise.
        scores: float32 [B], the mean IoU of each picture alone; NaN where nothing is
            labelled.
        prediction: [B, H, W] class ids of `id_dtype`.
    """

    confusion: Any
    measures: Any
    scores: Any
    prediction: Any


def predicting(state: TrainState) -> TrainState:
    """Returns the part of a state that prediction reads."""
    return state.replace(opt_state=None, memory=None)


def make_predict(method: Method, mesh: Mesh) -> Callable[..., jax.Array]:
    """Compiles `(state, batch, protocol) -> class ids` [B, H, W] of `id_dtype`.

    The protocol is static, and fitted (`fit`) where that matters. A batch has `image`
    [B, H, W, 3] and, where pictures do not fill it, `size` int32 [B, 2]. The method
    never sees the labels of the batch.
    """

    def predict(state: TrainState, batch: Batch, protocol: Protocol) -> jax.Array:
        of_rows = functools.partial(class_ids, method, protocol=protocol)
        return by_device(of_rows, mesh)(state, batch)

    return jax.jit(
        predict,
        static_argnames="protocol",
        out_shardings=sharding.batched(mesh),
        compiler_options=compiler_options(),
    )


def make_count(
    method: Method, mesh: Mesh, measures: Sequence[Any] = ()
) -> Callable[..., Counts]:
    """Compiles `(state, batch, protocol) -> Counts`; see `make_predict`.

    Unlabelled pixels and the examples that pad a batch, where `valid` is false, do not
    count.

    Args:
        method: predicts.
        mesh: the devices.
        measures: objects whose `count(truth, prediction, size)` gives a PyTree of
            integer arrays that add up over pictures.
    """

    def of_rows(state: TrainState, batch: Batch, protocol: Protocol) -> Any:
        compared, prediction = answers(method, state, batch, protocol=protocol)
        valid, size = batch["valid"][:, None, None], true_size(batch)
        _, height, width = compared.shape
        truth = protocol.truth(batch["label"], size, (height, width))
        truth = jnp.where(valid, truth.astype(jnp.int32), UNLABELLED)
        confusion = functools.partial(
            confusion_matrix, num_classes=method.labels.num_classes
        )
        confusions = jax.vmap(confusion)(truth, compared)  # [B, C, C]
        ids = compared.astype(jnp.int32)
        if not protocol.compares_pixels:
            size = jnp.broadcast_to(jnp.array([height, width], jnp.int32), size.shape)
        size = jnp.where(batch["valid"][:, None], size, 0)
        further = tuple(measure.count(truth, ids, size) for measure in measures)
        totals = jnp.sum(confusions, axis=0), further
        per_device = jax.tree.map(lambda total: total[None], totals)
        return *per_device, mean_ious(confusions), prediction

    def count(state: TrainState, batch: Batch, protocol: Protocol) -> Counts:
        check_countable(batch["label"].shape)
        rows = by_device(functools.partial(of_rows, protocol=protocol), mesh)
        confusion, further, scores, prediction = rows(state, batch)
        totals = jax.tree.map(lambda x: jnp.sum(x, axis=0), (confusion, further))
        return Counts(totals[0], totals[1], scores, prediction)

    one, many = sharding.replicated(mesh), sharding.batched(mesh)
    return jax.jit(
        count,
        static_argnames="protocol",
        out_shardings=Counts(one, one, many, many),
        compiler_options=compiler_options(),
    )


def check_countable(shape: Sequence[int]) -> None:
    """Refuses a batch whose counts might not fit int32.

    Args:
        shape: B, H, W of the labels.

    Raises:
        ValueError: saying what to lower.
    """
    b, height, width = shape
    if b > MOST_PICTURES or b * height * width >= 2**31:
        raise ValueError(
            f"an evaluation batch of {b} pictures of {height}x{width} is too large to "
            f"count in: at most {MOST_PICTURES} pictures and 2^31 pixels; lower "
            "config.evals.<name>.batch_size"
        )


def by_device(function: Callable[..., Any], mesh: Mesh) -> Callable[..., Any]:
    """Runs `(state, rows of the batch) -> rows` on every device by itself.

    Left to the compiler, windows cut out at places that differ from picture to picture
    would make it gather the whole batch on every device.
    """
    rows = sharding.batched(mesh).spec
    return jax.shard_map(
        function,
        mesh=mesh,
        in_specs=(sharding.replicated(mesh).spec, rows),
        out_specs=rows,
        check_vma=False,
    )


def class_ids(
    method: Method, state: TrainState, batch: Batch, *, protocol: Protocol
) -> jax.Array:
    """Class ids [B, H, W] of a batch; see `make_predict`, which compiles this."""
    return answers(method, state, batch, protocol=protocol)[1]


def answers(
    method: Method, state: TrainState, batch: Batch, *, protocol: Protocol
) -> tuple[jax.Array, jax.Array]:
    """Class ids of a batch where they are compared, [B, h, w], and at all pixels.

    Raises:
        ValueError: of `check_protocol`.
    """
    check_protocol(method, protocol)
    unlabelled = {key: value for key, value in batch.items() if key not in TRUTH}
    shown = unenlarged(method) if protocol.reads_maps else method

    def network(image: jax.Array) -> jax.Array:
        return shown.predict(state, {**unlabelled, "image": image})

    size, (_, height, width, _) = true_size(batch), batch["image"].shape
    dtype = id_dtype(method.labels.num_classes)
    ids = protocol.class_ids(network, batch["image"], size, fill=fill_colour(method))
    own = protocol.at_pixels(ids, size, (height, width))
    own = method.refine(state, {**unlabelled, "size": size}, own).astype(dtype)
    return (own if protocol.compares_pixels else ids.astype(dtype)), own


def check_protocol(method: Method, protocol: Protocol) -> None:
    """Refuses to compare elsewhere than at pixels what has classes there alone.

    Raises:
        ValueError: if the method goes on from the pixels' classes, or its network's map
            is asked for and there is none.
    """
    if protocol.compares_pixels:
        return
    if type(method).refine is not Method.refine:
        raise ValueError(
            f"{type(method).__name__} refines the classes of a picture's own pixels: "
            "set the protocol's compare_at='picture'"
        )
    if protocol.reads_maps:
        unenlarged(method)


def unenlarged(method: Method) -> Method:
    """The method with a network whose logits stay at the size of its map.

    Raises:
        ValueError: if its network is no plain segmentor.
    """
    if type(method.segmentor) is not Segmentor:
        raise ValueError(
            f"{type(method.segmentor).__name__} is no Segmentor, whose map could be "
            "compared: set the protocol's compare_at='picture'"
        )
    return dataclasses.replace(method, segmentor=method.segmentor.unenlarged())


def true_size(batch: Mapping[str, Any]) -> jax.Array:
    """Heights and widths of the pictures, int32 [B, 2], at least 1."""
    b, height, width, _ = batch["image"].shape
    if "size" not in batch:
        return jnp.broadcast_to(jnp.array([height, width], jnp.int32), (b, 2))
    return jnp.maximum(batch["size"].astype(jnp.int32), 1)


def fill_colour(method: Method) -> Colour:
    """The RGB colour of padding: what the segmentor subtracts, so all but 0 to it."""
    segmentor = method.segmentor
    red, green, blue = in_order(np.asarray(segmentor.mean), segmentor.channel_order)
    return round(red), round(green), round(blue)


def id_dtype(num_classes: int) -> Any:
    """The smallest unsigned type that holds all class ids and one more."""
    for dtype in (jnp.uint8, jnp.uint16):
        if num_classes <= jnp.iinfo(dtype).max:
            return dtype
    return jnp.uint32


def mean_ious(confusions: jax.Array) -> jax.Array:
    """Mean IoU of each picture, over the classes in its truth or prediction.

    Args:
        confusions: int [B, C, C], rows truth.

    Returns:
        float32 [B]; NaN where nothing is labelled.
    """
    right = jnp.diagonal(confusions, axis1=1, axis2=2)
    union = jnp.sum(confusions, axis=1) + jnp.sum(confusions, axis=2) - right
    iou = jnp.where(union > 0, right / jnp.maximum(union, 1), 0)
    present = jnp.sum(union > 0, axis=1)
    return jnp.where(present > 0, jnp.sum(iou, axis=1) / present, jnp.nan)


def fitted(protocol: Protocol, batch: Mapping[str, np.ndarray]) -> Protocol:
    """The protocol with canvases for this host batch, the same on all hosts."""
    if protocol.keeps_size:
        return protocol
    b, *shape, _ = batch["image"].shape
    sizes = np.maximum(batch.get("size", np.broadcast_to(shape, (b, 2))), 1)
    if "valid" in batch:
        sizes = np.where(batch["valid"][:, None], sizes, 1)
    if jax.process_count() > 1:
        sizes = multihost_utils.process_allgather(sizes).reshape(-1, 2)
    return protocol.fit(sizes)


def canvas_for(
    size: tuple[int, int],
    buckets: Sequence[tuple[int, int]] = (),
    *,
    align_corners: bool = False,
) -> tuple[int, int]:
    """The canvas that a picture is laid on, so that few shapes have to be compiled.

    Args:
        size: height and width.
        buckets: canvases to take the smallest of that holds the picture. If none does,
            each side becomes the next power of two, or one and a half of one.
        align_corners: of the network. If so, sides are one more than that: the corners
            of its map are then those of a grid of whole strides, as in its training.

    Returns:
        Height and width.
    """
    holding = [b for b in buckets if b[0] >= size[0] and b[1] >= size[1]]
    if holding:
        height, width = min(holding, key=lambda bucket: bucket[0] * bucket[1])
        return height, width
    more = int(align_corners)
    return _ladder(size[0] - more) + more, _ladder(size[1] - more) + more


def _ladder(side: int) -> int:
    """The next power of two, or three quarters of it."""
    power = 1 << (max(int(side), 1) - 1).bit_length()
    return power * 3 // 4 if power * 3 >= side * 4 else power


def local_rows(array: jax.Array) -> np.ndarray:
    """Returns the rows of a batch that this process holds, in order."""
    shards: dict[Any, np.ndarray] = {
        shard.index[0].start or 0: np.asarray(shard.data)
        for shard in array.addressable_shards
    }
    return np.concatenate([shards[start] for start in sorted(shards)])
