import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.losses.mask_classification import mask_classification_loss, match

L, B, Q, C = 2, 3, 7, 5
MASKS, LABELS = (4, 6), (9, 13)

find = jax.jit(match)
loss_and_terms = jax.jit(mask_classification_loss)
value_and_gradients = jax.jit(
    jax.value_and_grad(mask_classification_loss, argnums=(0, 1), has_aux=True)
)


def queries(seed=0, num_queries=Q, num_classes=C, masks=MASKS):
    rng = np.random.default_rng(seed)
    class_logits = rng.normal(size=(L, B, num_queries, num_classes + 1))
    mask_logits = 2 * rng.normal(size=(L, B, num_queries, *masks))
    return jnp.asarray(class_logits, jnp.float32), jnp.asarray(mask_logits, jnp.float32)


def label_maps(num_classes=C, shape=LABELS, seed=1):
    """Three pictures: of all classes, of two, and of one."""
    rng = np.random.default_rng(seed)
    shown = (num_classes, 2, 1)
    maps = [rng.integers(num_classes - n, num_classes, shape) for n in shown]
    return jnp.asarray(np.stack(maps), jnp.int32)


def hugging_face(transformers, class_logits, mask_logits, labels):
    """The loss of transformers, its terms, its gradients, its matches of layer 0."""
    import torch
    from transformers.models.maskformer import modeling_maskformer as theirs

    num_classes = class_logits.shape[-1] - 1
    matcher = theirs.MaskFormerHungarianMatcher(1.0, 20.0, 1.0)
    loss = theirs.MaskFormerLoss(num_classes, matcher, {}, eos_coef=0.1)
    classes = [
        torch.tensor(np.unique(one).astype(np.int64)) for one in np.asarray(labels)
    ]
    masks = [
        (torch.tensor(np.asarray(one))[None] == ids[:, None, None]).float()
        for one, ids in zip(labels, classes, strict=True)
    ]
    a = torch.tensor(np.asarray(class_logits), requires_grad=True)
    b = torch.tensor(np.asarray(mask_logits), requires_grad=True)
    auxiliary = [
        {"class_queries_logits": x, "masks_queries_logits": y}
        for x, y in zip(a[1:], b[1:], strict=True)
    ]
    found = loss(b[0], a[0], masks, classes, auxiliary)
    weights = {"cross_entropy": 1.0, "mask": 20.0, "dice": 1.0}
    terms = {
        term: sum(x for name, x in found.items() if f"loss_{term}" in name) * weight
        for term, weight in weights.items()
    }
    total = sum(terms.values())
    total.backward()
    query = np.full((len(labels), num_classes), -1)
    for image, (rows, columns) in enumerate(matcher(b[0], a[0], masks, classes)):
        query[image, classes[image][columns]] = rows
    values = [float(terms[term].detach()) for term in weights]
    return float(total.detach()), values, (a.grad.numpy(), b.grad.numpy()), query


@pytest.mark.parametrize("num_queries", [Q, 4], ids=["enough", "too few queries"])
def test_values_and_gradients_are_those_of_transformers(transformers, num_queries):
    pytest.importorskip("scipy")
    class_logits, mask_logits = queries(num_queries=num_queries)
    labels = label_maps()
    (loss, terms), gradients = value_and_gradients(class_logits, mask_logits, labels)
    total, values, wanted, query = hugging_face(
        transformers, class_logits, mask_logits, labels
    )
    np.testing.assert_allclose(loss, total, rtol=1e-5)
    ours = [terms[term] for term in ("class", "focal", "dice")]
    np.testing.assert_allclose(ours, values, rtol=1e-5)
    for ours, theirs in zip(gradients, wanted, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(find(class_logits[0], mask_logits[0], labels), query)


def test_perfect_queries_are_found_and_cost_nothing():
    labels = label_maps()
    wanted = np.array([[2, 5, 0, 6, 1], [-1, -1, -1, 4, 3], [-1, -1, -1, -1, 2]])
    class_logits = np.zeros((B, Q, C + 1), np.float32)
    class_logits[..., C] = 20
    mask_logits = np.full((B, Q, *LABELS), -20, np.float32)
    for image, row in enumerate(wanted):
        for c, q in enumerate(row):
            if q >= 0:
                class_logits[image, q, [c, C]] = 40, 0
                mask_logits[image, q] = np.where(labels[image] == c, 20, -20)
    np.testing.assert_array_equal(find(class_logits, mask_logits, labels), wanted)
    loss, _ = loss_and_terms(class_logits[None], mask_logits[None], labels)
    assert 0 <= loss < 1e-5


def test_layers_are_matched_by_themselves_and_added_up():
    class_logits, mask_logits = queries()
    labels = label_maps()
    both, _ = loss_and_terms(class_logits, mask_logits, labels)
    alone = [
        loss_and_terms(class_logits[i][None], mask_logits[i][None], labels)[0]
        for i in range(L)
    ]
    np.testing.assert_allclose(both, sum(alone), rtol=1e-5)


def test_the_order_of_queries_does_not_matter():
    class_logits, mask_logits = queries()
    labels = label_maps()
    order = np.random.default_rng(2).permutation(Q)
    loss, _ = loss_and_terms(class_logits, mask_logits, labels)
    turned, _ = loss_and_terms(
        class_logits[:, :, order], mask_logits[:, :, order], labels
    )
    np.testing.assert_allclose(loss, turned, rtol=1e-5)


def test_unlabelled_pixels_count_nowhere():
    """What is unlabelled might as well have been cut off."""
    class_logits, mask_logits = queries(masks=LABELS)
    labels = label_maps()
    unlabelled = labels.at[:, :, 8:].set(255).at[:, :, 10].set(-1)
    (loss, terms), (_, gradient) = value_and_gradients(
        class_logits, mask_logits, unlabelled
    )
    cut, cut_terms = loss_and_terms(class_logits, mask_logits[..., :8], labels[..., :8])
    np.testing.assert_allclose(loss, cut, rtol=1e-5)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), terms, cut_terms
    )
    np.testing.assert_array_equal(gradient[..., 8:], 0)


def test_a_picture_without_labels_does_not_count():
    class_logits, mask_logits = queries()
    labels = label_maps()
    (loss, _), (gradient, _) = value_and_gradients(
        class_logits, mask_logits, labels.at[1].set(255)
    )
    others = np.array([0, 2])
    alone, _ = loss_and_terms(
        class_logits[:, others], mask_logits[:, others], labels[others]
    )
    np.testing.assert_allclose(loss, alone, rtol=1e-5)
    np.testing.assert_array_equal(gradient[:, 1], 0)


def test_no_label_at_all_gives_zero_and_no_gradient():
    (loss, _), gradients = value_and_gradients(*queries(), label_maps() * 0 + 255)
    assert loss == 0
    for gradient in gradients:
        np.testing.assert_array_equal(gradient, 0)


def test_extreme_logits_have_finite_gradients():
    class_logits, mask_logits = queries()
    (loss, _), gradients = value_and_gradients(
        1e3 * class_logits, 1e3 * mask_logits, label_maps()
    )
    assert np.isfinite(loss)
    assert all(np.all(np.isfinite(gradient)) for gradient in gradients)


@pytest.mark.slow
def test_compiled_and_not_agree():
    arguments = (*queries(), label_maps())
    (compiled, _), _ = value_and_gradients(*arguments)
    loss, _ = mask_classification_loss(*arguments)
    np.testing.assert_allclose(compiled, loss, rtol=1e-5)


def test_shapes_that_do_not_go_together_are_named():
    class_logits, mask_logits = queries()
    with pytest.raises(ValueError, match="do not go together"):
        mask_classification_loss(class_logits[:, :, :3], mask_logits, label_maps())
