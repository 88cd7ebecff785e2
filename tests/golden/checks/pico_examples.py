"""Checks of PiCo's choice of examples and of its synthetic negatives.

No released code has either; the cases follow the definition.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxseg.methods.pico import examples as choices
from jaxseg.methods.pico import synthesis as mixing
from jaxseg.methods.pico.loss import average, logsumexp, sum_of_losses
from tests.golden.case import Case


def examples(case: Case) -> None:
    """Which slots are chosen for each anchor, and the contrast with them."""
    num_classes, length, dim = case["queue"].shape
    bank = case["queue"].reshape(-1, dim)
    filled = case["queue_valid"].reshape(-1) > 0
    of_class = np.repeat(np.arange(num_classes), length)
    # A label of no class has no positive, and what its negatives are does not matter.
    own = case["y"][:, None] == of_class
    keys, size = jnp.asarray(case["random_key"]), case.number("K")
    band = (0.0, case.number("fraction"))
    # Equal vectors are to tie; a matrix product may round each in its own way.
    similarity = np.sum(case["X"].astype(np.float64)[:, None] * bank, axis=-1)
    similarity = jnp.asarray(similarity, jnp.float32)

    found, counts = {}, []
    for name, hardness, candidates in (
        ("pos", -similarity, jnp.asarray(own & filled)),
        ("neg", similarity, jnp.asarray(~own & filled)),
    ):
        hardest = jax.jit(choices.hardest, static_argnums=2)
        case.equal(f"hardest_{name}", hardest(hardness, candidates, size))
        semi_hard = jax.jit(choices.semi_hard, static_argnums=3, static_argnames="band")
        slots = semi_hard(hardness, keys, candidates, size, band=band)
        case.equal(f"semihard_{name}", slots)
        found[name] = slots
        counts.append(np.sum(candidates, axis=1))
    sizes = [choices.set_size(band[1], count, len(bank)) for count in counts]
    case.equal("counts", np.stack([*counts, *sizes], axis=1))

    def of_chosen(x: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
        scores = x @ bank.T / case.number("temperature")
        positives, negatives = (
            jnp.take_along_axis(scores, jnp.maximum(found[name], 0), axis=1)
            for name in ("pos", "neg")
        )
        return positives, found["pos"] >= 0, negatives, found["neg"] >= 0

    loss, grad = _with_gradient(of_chosen, case["X"])
    case.close("loss_semihard", loss, rtol=1e-5, atol=1e-7)
    case.close("grad_X_semihard", grad, rtol=1e-4, atol=1e-5)


def synthesis(case: Case) -> None:
    """Scores of mixes that are never built, and the contrast with them."""
    temperature = case.number("temperature")
    positives, negatives = (jnp.asarray(case[n]) for n in ("positives", "negatives"))
    first, second, member = (
        jnp.asarray(case[name]) for name in ("nn_index_a", "nn_index_b", "na_index")
    )
    count = negatives.shape[1]
    rows = jnp.arange(len(negatives))[:, None] * count
    products = mixing.products(
        negatives.reshape(-1, negatives.shape[-1]), rows + first, rows + second
    )
    squares = jnp.sum(negatives**2, axis=-1)
    squares_first, squares_second, squares_member = (
        jnp.take_along_axis(squares, index, axis=1) for index in (first, second, member)
    )

    def scores(x: jax.Array, others: jax.Array) -> jax.Array:
        return jnp.einsum("nd,nkd->nk", x, others) / temperature

    def mixes(x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Scores with mixes of pairs [N, s], and of negatives and anchor [N, s']."""
        of_negatives = scores(x, negatives)
        of_first, of_second, of_member = (
            jnp.take_along_axis(of_negatives, index, axis=1)
            for index in (first, second, member)
        )
        itself = scores(x, jax.lax.stop_gradient(x)[:, None])
        return (
            mixing.pair_scores(
                of_first,
                of_second,
                products,
                jnp.asarray(case["alpha"]),
                squares=(squares_first, squares_second),
            ),
            mixing.anchor_scores(
                itself,
                of_member,
                jnp.asarray(case["beta"]),
                temperature=temperature,
                squares=squares_member,
            ),
        )

    x = jnp.asarray(case["X"])
    for name, ours in zip(("neg_neg", "neg_anchor"), mixes(x), strict=True):
        expected = scores(x, jnp.asarray(case[f"synth_{name}"]))
        case.close_to(expected * temperature, ours * temperature, name, atol=1e-6)

    def all_are(*groups: jax.Array) -> tuple[jax.Array, ...]:
        return tuple(part for s in groups for part in (s, jnp.ones(s.shape, bool)))

    def without(x: jax.Array) -> tuple[jax.Array, ...]:
        return all_are(scores(x, positives), scores(x, negatives))

    def whole(x: jax.Array) -> tuple[jax.Array, ...]:
        others = jnp.concatenate([scores(x, negatives), *mixes(x)], axis=1)
        return all_are(scores(x, positives), others)

    loss, _ = _with_gradient(without, case["X"])
    case.close("loss_without_synth", loss, rtol=1e-5, atol=1e-7)
    loss, grad = _with_gradient(whole, case["X"])
    case.close("loss", loss, rtol=1e-5, atol=1e-7)
    case.close("grad_X", grad, rtol=1e-4, atol=1e-6)


def _with_gradient(
    scores: Callable[[jax.Array], tuple[jax.Array, ...]], anchors: np.ndarray
) -> tuple[jax.Array, jax.Array]:
    """The contrast of anchors [N, D] without its scale, and its gradient by them.

    `scores` gives those with positives [N, P], which of them there are, and those with
    negatives likewise.
    """

    def loss(x: jax.Array) -> jax.Array:
        positives, is_positive, negatives, is_negative = scores(x)
        lse, hardest = logsumexp(negatives, is_negative)
        sums = sum_of_losses(lse, positives, is_positive)
        counts = jnp.sum(is_positive, axis=1, dtype=jnp.float32)
        nothing = jnp.zeros((1, len(x)))
        return average(sums[None], nothing, counts[None], hardest[None], 1.0).loss

    return jax.jit(jax.value_and_grad(loss))(jnp.asarray(anchors))
