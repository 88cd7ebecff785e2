"""PiCo's parts beside the network: the contrast with a memory, sampling, remembering.

    pip install 'jaxseg[torch]'
    python -m benchmarks.contrast [--repeats 5] [--no-torch]

Prints one JSON object a line. First forward and backward of the contrast of 1024
anchors with a bank of 19 x 10 000 entries. Every form runs in a process of its own, in
turn with the others, and must find the same loss and gradient. `ratio` is how many
times longer than ours it takes; `peak_memory_mb` is the whole process,
`beyond_inputs_mb` what is added when anchors and bank are there (compiling included). A
line sums up, against the faster of the two torch forms that do as the authors' code; a
third one does less. Then from which size on torch's whole matrix does not fit into
8 GiB (a limit on its process, which is set to find that out), ours with the batch
alone, and ours and the class-grouped scan with 40 000 entries and with 19 x 32 725.
Then the sampler on two label maps of 128 x 256, and the memory's update.
"""

import argparse
import contextlib
import functools
import importlib.util
import statistics
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import contrast_problem as problems
from benchmarks import measure
from benchmarks.contrast_problem import DIM, TEMPERATURE, Problem, Sizes
from jaxseg.memory import queue as queues
from jaxseg.methods.pico import memory as memories
from jaxseg.methods.pico import sampling
from jaxseg.methods.pico.loss import pixel_contrast
from jaxseg.ops.sampling import smallest_in_groups
from jaxseg.reporting.report import peak_memory

OURS = "ours"
NAIVE = "JAX, whole matrix"
GROUPED = "JAX, class-grouped scan"
# The whole matrix to the end, as the authors' code has it.
WHOLE = {"torch, exp and sums": "exp", "torch, log-sum-exp": "logsumexp"}
TORCH = {**WHOLE, "torch, positives picked out": "picked"}
LARGE_SLOTS = 32_725  # 19 x 32 725 = 621 775 entries
COLUMNS = 40_000
MEMORY_LIMIT = 8 * 2**30

Form = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]


def streamed(anchors: jax.Array, labels: jax.Array, bank: jax.Array) -> jax.Array:
    """The loss of anchors [A, D] with a full bank [C, M, D] as PiCo computes it, []."""
    return _contrast(anchors, labels, [(bank, jnp.ones(bank.shape[:2], bool))])


def batch_only(anchors: jax.Array, labels: jax.Array, bank: jax.Array) -> jax.Array:
    """The loss of anchors [A, D] with each other, []."""
    del bank
    return _contrast(anchors, labels, [])


def _contrast(anchors: jax.Array, labels: jax.Array, banks: Any) -> jax.Array:
    found = pixel_contrast(
        anchors[None],
        labels[None],
        banks,
        with_batch=not banks,
        temperature=TEMPERATURE,
        base_temperature=TEMPERATURE,
    )
    return found.loss


def whole_matrix(anchors: jax.Array, labels: jax.Array, bank: jax.Array) -> jax.Array:
    """The same as one would write it down, with scores of [A, C M]."""
    num_classes, num_slots, dim = bank.shape
    scores = anchors @ bank.reshape(-1, dim).T / TEMPERATURE
    positive = labels[:, None] == jnp.repeat(jnp.arange(num_classes), num_slots)
    lse = jax.nn.logsumexp(scores, axis=1, where=~positive, keepdims=True)
    losses = jax.nn.softplus(lse - scores)
    total = jnp.sum(jnp.where(positive, losses, 0.0), axis=1)
    return jnp.mean(total / num_slots)


def class_grouped(anchors: jax.Array, labels: jax.Array, bank: jax.Array) -> jax.Array:
    """The same by a scan over classes that is computed again in the backward pass.

    As many anchors of every class, which `contrast_problem.make` gives but for one.
    """
    num_classes, _, dim = bank.shape
    width = -(-len(anchors) // num_classes)
    order = jnp.argsort(labels, stable=True)
    of_class = labels[order]
    rank = jnp.arange(len(anchors)) - jnp.searchsorted(of_class, of_class)
    grouped = jnp.zeros((num_classes, width, dim))
    grouped = grouped.at[of_class, rank].set(anchors[order], unique_indices=True)
    there = jnp.zeros((num_classes, width), bool).at[of_class, rank].set(True)
    rows = grouped.reshape(-1, dim)
    own = jnp.repeat(jnp.arange(num_classes), width)

    @jax.checkpoint
    def add_class(carry: Any, inputs: Any) -> tuple[Any, None]:
        top, total = carry
        keys, class_id = inputs
        scores = rows @ keys.T / TEMPERATURE
        scores = jnp.where((own != class_id)[:, None], scores, -1e30)
        highest = jnp.maximum(top, jnp.max(scores, axis=1))
        highest = jax.lax.stop_gradient(highest)
        weights = jnp.exp(scores - highest[:, None])
        total = total * jnp.exp(top - highest)
        return (highest, total + jnp.sum(weights, axis=1)), None

    start = jnp.full(len(rows), -1e20), jnp.zeros(len(rows))
    inputs = bank, jnp.arange(num_classes)
    (top, total), _ = jax.lax.scan(add_class, start, inputs)
    lse = (top + jnp.log(total)).reshape(num_classes, width, 1)
    scores = jnp.einsum("cad,cmd->cam", grouped, bank) / TEMPERATURE
    losses = jnp.mean(jax.nn.softplus(lse - scores), axis=-1)
    return jnp.sum(jnp.where(there, losses, 0.0)) / len(anchors)


FORMS = {OURS: streamed, NAIVE: whole_matrix, GROUPED: class_grouped}
BATCH = "ours, the batch alone"


def solver(problem: Problem, form: Form) -> Callable[[], tuple[float, np.ndarray]]:
    """Computes the loss and its gradient to the anchors with every call, compiled."""
    step = jax.jit(jax.value_and_grad(form))
    # A CPU uses them where they lie, so that the bank is there once.
    inputs = [jax.device_put(array, may_alias=True) for array in problem]

    def solve() -> tuple[float, np.ndarray]:
        loss, gradient = step(*inputs)
        return float(loss), np.asarray(gradient)

    return solve


def serve(form: str, sizes: tuple[int, int, int]) -> None:
    """What a process does that measures one form, named as in `FORMS`."""
    forms = {**FORMS, BATCH: batch_only}
    solve = solver(problems.make(Sizes(*sizes)), forms[form])
    problems.serve(solve, peak_memory)


def contrast_lines(
    sizes: Sizes, *, large_slots: int, repeats: int, with_torch: bool
) -> Iterator[dict[str, Any]]:
    """All forms side by side, and ours with the larger bank."""
    forms = {name: ("contrast", name) for name in FORMS}
    if with_torch:
        forms |= {name: ("contrast_torch", form) for name, form in TORCH.items()}
    larger = sizes._replace(slots=large_slots)
    fewer = sizes._replace(slots=-(-COLUMNS // sizes.classes))
    scans = {name: forms[name] for name in (OURS, GROUPED) if name in forms}
    # All of them before this process grows and takes a device.
    answers = _answers(forms, sizes, repeats)
    [of_batch] = _answers({BATCH: ("contrast", BATCH)}, sizes, repeats).values()
    of_others = {other: _answers(scans, other, repeats) for other in (fewer, larger)}

    yield from _lines(sizes, answers)
    if with_torch:
        yield _summary(sizes, answers, _seconds(answers))
        yield from torch_memory_lines(sizes, large_slots=large_slots)
    else:
        for name in TORCH:
            reason = "torch is left out or not installed: pip install 'jaxseg[torch]'"
            yield measure.not_measured(name, _describe(sizes), reason)

    ratio = _median(of_batch, "seconds") / _seconds(answers)[OURS]
    nothing = sizes._replace(slots=0)
    median = _median(of_batch, "seconds")
    yield _line(BATCH, nothing, of_batch, median=median, ratio=ratio)
    for other, found in of_others.items():
        yield from _lines(other, found)


def torch_memory_lines(sizes: Sizes, *, large_slots: int) -> Iterator[dict[str, Any]]:
    """From which size on torch's whole matrix does not fit into `MEMORY_LIMIT`."""
    [name, form], *_ = WHOLE.items()
    for slots in sorted({sizes.slots, large_slots // 2, large_slots}):
        tried = sizes._replace(slots=slots)
        limit = dict(memory_limit=MEMORY_LIMIT)
        try:
            with problems.started("contrast_torch", form, tried, **limit) as solve:
                solve()
            fits = True
        except problems.ProcessEnded:
            fits = False
        matrix = 4 * tried.anchors * tried.classes * tried.slots / 2**30
        yield {
            "what": f"{name}, within {MEMORY_LIMIT / 2**30:.0f} GiB",
            "sizes": _describe(tried),
            "fits": fits,
            "gib_of_a_matrix": round(matrix, 3),
        }


def _lines(
    sizes: Sizes, answers: dict[str, list[dict[str, Any]]]
) -> Iterator[dict[str, Any]]:
    seconds = _seconds(answers)
    for name, answer in answers.items():
        ratio = seconds[name] / seconds[OURS]
        yield _line(name, sizes, answer, median=seconds[name], ratio=ratio)


def _seconds(answers: dict[str, list[dict[str, Any]]]) -> dict[str, float]:
    return {name: _median(answer, "seconds") for name, answer in answers.items()}


def _answers(
    forms: dict[str, tuple[str, str]], sizes: Sizes, repeats: int
) -> dict[str, list[dict[str, Any]]]:
    with contextlib.ExitStack() as stack:
        solvers = {
            name: stack.enter_context(problems.started(*form, sizes))
            for name, form in forms.items()
        }
        answers = measure.in_turn(solvers, repeats)
    for result in ("loss", "gradient_norm"):
        found = {name: answer[-1][result] for name, answer in answers.items()}
        first, *others = found.values()
        if not np.allclose(others, first, rtol=1e-3):
            raise RuntimeError(f"the forms disagree, {result}: {found}")
    return answers


def _line(
    name: str, sizes: Sizes, answers: list[dict[str, Any]], **numbers: float
) -> dict[str, Any]:
    beyond = _beyond(answers) / 2**20
    line = measure.line(name, _describe(sizes), beyond_inputs_mb=beyond, **numbers)
    line["peak_memory_mb"] = round(answers[-1]["memory"] / 2**20)  # of its own process
    if name in TORCH:
        line["device"] = measure.cpu()
    return line


def _summary(
    sizes: Sizes,
    answers: dict[str, list[dict[str, Any]]],
    seconds: dict[str, float],
) -> dict[str, Any]:
    best = min(WHOLE, key=lambda name: seconds[name])
    ours, theirs = answers[OURS], answers[best]
    memory = ours[-1]["memory"] / theirs[-1]["memory"]
    beyond = _beyond(ours) / max(_beyond(theirs), 1)  # small problems may add nothing
    return {
        "what": "ours against the faster of torch's whole matrices",
        "sizes": _describe(sizes),
        "faster": best,
        "times_faster": round(seconds[best] / seconds[OURS], 2),
        "share_of_memory": round(memory, 4),
        "share_of_memory_beyond_inputs": round(beyond, 4),
    }


def _describe(sizes: Sizes) -> dict[str, Any]:
    entries = sizes.classes * sizes.slots
    return dict(sizes._asdict(), entries=entries, dim=DIM, dtype="float32")


def _median(answers: list[dict[str, Any]], key: str) -> float:
    return statistics.median(answer[key] for answer in answers)


def _beyond(answers: list[dict[str, Any]]) -> int:
    return answers[-1]["memory"] - answers[-1]["memory_before"]


def sampler_lines(
    grid: tuple[int, int, int], num_classes: int, *, repeats: int
) -> Iterator[dict[str, Any]]:
    """The sampler and its parts, on label maps of [B, h, w]."""
    max_samples, max_views = 1_024, 100
    labels, predictions = (jnp.asarray(map_) for map_ in label_maps(grid, num_classes))
    priority = sampling.draw_priority(jax.random.key(0), grid)
    choose = functools.partial(
        sampling.choose_anchors,
        num_classes=num_classes,
        max_samples=max_samples,
        max_views=max_views,
        group_size=0,
    )
    flat = len(labels), -1
    kinds = (2 * labels + (labels == predictions)).reshape(flat)

    def find(formulation):
        return functools.partial(
            smallest_in_groups,
            num_groups=2 * num_classes,
            num_picks=max_views,
            formulation=formulation,
        )

    whole = "sampler: choose_anchors"
    draw = jax.jit(sampling.draw_priority, static_argnums=1)
    rows = kinds, priority.reshape(flat)
    functions = {
        whole: measure.timed(jax.jit(choose), labels, predictions, priority),
        "sampler: draw_priority": measure.timed(draw, jax.random.key(0), grid),
    } | {
        f"sampler: smallest_in_groups, {name}": measure.timed(
            jax.jit(find(name)), *rows
        )
        for name in ("select", "sort")
    }
    anchors, pairs = choose(labels, predictions, priority)
    sizes = dict(
        pixels=labels.size,
        grid=grid,
        classes=num_classes,
        max_samples=max_samples,
        max_views=max_views,
        qualified_pairs=int(jnp.sum(pairs.qualified)),
        valid_anchors=int(jnp.sum(anchors.labels >= 0)),
    )
    yield from _medians(functions, sizes, repeats, reference=whole)


def label_maps(
    grid: tuple[int, int, int], num_classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Label maps of blobs, few of most classes, and predictions wrong at their edges.

    Returns:
        [B, h, w] int32 labels and predictions.
    """
    rng = np.random.default_rng(0)
    b, h, w = grid
    weights = 1 / np.arange(1, num_classes + 1)
    y, x = np.mgrid[:h, :w] / h
    maps = np.empty((2, *grid), np.int32)
    for image in range(b):
        centers = rng.uniform((0, 0), (1, w / h), (80, 2))
        of_class = rng.choice(num_classes, 80, p=weights / weights.sum())
        for which, jitter in enumerate((0.0, 0.03)):
            row, column = (centers + rng.normal(0, jitter, centers.shape)).T
            distance = (y[..., None] - row) ** 2 + (x[..., None] - column) ** 2
            maps[which, image] = of_class[np.argmin(distance, axis=-1)]
    return maps[0], maps[1]


def memory_lines(
    grid: tuple[int, int, int], sizes: Sizes, *, repeats: int
) -> Iterator[dict[str, Any]]:
    """What a step adds to the memory: the queue alone, and all of it."""
    b, h, w = grid
    num_picks = 10
    rng = jax.random.key(0)
    bank = sizes.classes, sizes.slots, DIM
    keys = jax.random.normal(rng, (sizes.classes, b * num_picks, DIM))
    there = jnp.ones(keys.shape[:2], bool)
    described = dict(bank=bank, keys=b * num_picks, dtype="float32")
    donated, copied = "queue: push, donated", "queue: push, not donated"
    functions = {
        donated: _repeated(
            jax.jit(queues.push, donate_argnums=0), queues.empty(*bank), keys, there
        ),
        copied: measure.timed(jax.jit(queues.push), queues.empty(*bank), keys, there),
    }
    yield from _medians(functions, described, repeats, reference=donated)

    def remember(memory, embeddings, labels, rng):
        picks = sampling.pick_pixels(
            labels,
            sampling.draw_priority(rng, labels.shape),
            num_classes=sizes.classes,
            num_picks=num_picks,
        )
        return memories.update(memory, embeddings, labels, picks)

    memory = memories.empty(
        sizes.classes,
        region_size=sizes.slots // 2,
        pixel_size=sizes.slots,
        dim=DIM,
        dtype="float32",
    )
    embeddings = jax.random.normal(rng, (b, h, w, DIM))
    labels = jnp.asarray(label_maps(grid, sizes.classes)[0])
    whole = "memory: drawing, means and both queues, donated"
    described = dict(bank=bank, regions=sizes.slots // 2, grid=grid, dtype="float32")
    update = jax.jit(remember, donate_argnums=0)
    functions = {whole: _repeated(update, memory, embeddings, labels, rng)}
    yield from _medians(functions, described, repeats, reference=whole)


def _repeated(run: Callable[..., Any], state: Any, *inputs: Any) -> Callable[[], float]:
    """A call that gives the seconds of `run`, whose result is its next state."""
    kept = [state]

    def advance() -> Any:
        kept[0] = run(kept[0], *inputs)
        return kept[0]

    return measure.timed(advance)


def _medians(
    functions: dict[str, Callable[[], float]],
    sizes: dict[str, Any],
    repeats: int,
    *,
    reference: str,
) -> Iterator[dict[str, Any]]:
    seconds = measure.in_turn(functions, repeats)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    for name, median in medians.items():
        ratio = median / medians[reference]
        yield measure.line(name, sizes, median=median, ratio=ratio)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--anchors", type=int, default=1_024)
    parser.add_argument("--classes", type=int, default=19)
    parser.add_argument("--slots", type=int, default=10_000, help="entries of a class")
    parser.add_argument("--large-slots", type=int, default=LARGE_SLOTS)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--no-torch", action="store_true")
    options = parser.parse_args()
    sizes = Sizes(options.anchors, options.classes, options.slots)
    has_torch = importlib.util.find_spec("torch") is not None
    for line in contrast_lines(
        sizes,
        large_slots=options.large_slots,
        repeats=options.repeats,
        with_torch=has_torch and not options.no_torch,
    ):
        measure.report(line)
    repeats = 4 * options.repeats  # these are short
    for num_classes in (options.classes, 150):
        for line in sampler_lines((2, 128, 256), num_classes, repeats=repeats):
            measure.report(line)
    for line in memory_lines((8, 64, 128), sizes, repeats=repeats):
        measure.report(line)


if __name__ == "__main__":
    main()
