"""DPT's parts by themselves; `tests/pretrained/keymaps` compares it with torch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.models.heads.dpt import DPT, Fusion, Reassemble
from tests.models.fill import filled, shapes_of

SIZES = dict(features=6, reassembled=(3, 4, 5, 7))


def stages(h=5, w=7, number=4):
    rng = np.random.default_rng(0)
    return tuple(
        rng.normal(size=(2, h, w, 8)).astype(np.float32) for _ in range(number)
    )


@pytest.mark.parametrize("scale, size", [(4, (20, 28)), (1, (5, 7)), (0.5, (3, 4))])
def test_reassembled_sizes(scale, size):
    head = Reassemble(3, scale)
    shape = jax.eval_shape(
        lambda: head.init_with_output(jax.random.key(0), stages(), train=False)[0]
    )
    assert shape.shape == (2, *size, 3)


def test_enlarged_pixels_become_squares():
    """A transposed convolution of stride 2 and kernel 2 leaves no pixel to two."""
    head = Reassemble(3, 2)
    variables = filled(head, stages(), train=False)
    blank = (jnp.zeros_like(stages()[0]).at[0, 1, 2].set(1.0),)
    changed = head.apply(variables, blank, train=False) != 0
    rows, columns = np.nonzero(np.any(changed[0], axis=-1))
    assert set(zip(rows.tolist(), columns.tolist(), strict=True)) == {
        (2, 4), (2, 5), (3, 4), (3, 5)
    }  # fmt: skip


@pytest.mark.parametrize(
    "fields, shape",
    [
        (dict(), (2, 48, 64, 6)),
        (dict(embedding=9), (2, 48, 64, 9)),
        (dict(refine=False, use_norm=False), (2, 48, 64, 6)),
    ],
)
def test_features_are_at_twice_the_finest_scale(fields, shape):
    """Of 5 x 7 the coarsest map has 3 x 4, which is then doubled four times."""
    head = DPT(**SIZES | fields)
    features = jax.eval_shape(
        lambda: head.init_with_output(jax.random.key(0), stages(), train=False)[0]
    )
    assert features.shape == shape


def test_every_parameter_counts_and_stays_in_float32():
    head = DPT(**SIZES, dropout=0.0, embedding=9, dtype="bfloat16")
    assert {leaf.dtype for leaf in jax.tree.leaves(shapes_of(head, stages()))} == {
        jnp.dtype("float32")
    }
    head = DPT(**SIZES, dropout=0.0, embedding=9)
    variables = filled(head, stages(), train=False)

    @jax.jit
    @jax.grad
    def gradients(params):
        features, _ = head.apply(
            variables | {"params": params},
            stages(),
            train=True,
            mutable=["batch_stats"],
        )
        return jnp.sum(features**2)

    leaves = jax.tree.leaves(gradients(variables["params"]))
    assert all(np.all(np.isfinite(leaf)) and np.any(leaf) for leaf in leaves)


def test_the_deepest_map_has_no_unit_of_its_own():
    params = shapes_of(Fusion(6), stages(4, 4, number=1) + stages(2, 2, number=1))
    assert params["params"]["fuse_0"].keys() == {"unit1", "unit2", "project"}
    assert params["params"]["fuse_1"].keys() == {"unit2", "project"}
