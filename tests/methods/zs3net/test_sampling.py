import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxseg.methods.zs3net.sampling import sample_pairs

# Each position's feature names its picture and place.
SHAPE = (3, 6, 7)
FEATURES = np.arange(np.prod(SHAPE), dtype=np.float32).reshape(*SHAPE, 1)


@functools.cache
def compiled(**options):
    return jax.jit(functools.partial(sample_pairs, num_classes=5, **options))


def draw(labels, max_classes=4, samples=50, seed=0):
    find = compiled(max_classes=max_classes, samples=samples)
    pairs = find(jax.random.key(seed), jnp.asarray(FEATURES), jnp.asarray(labels))
    return jax.tree.map(np.asarray, pairs)


def labels_of(seed=0):
    return np.random.default_rng(seed).choice([0, 2, 4, 255], SHAPE)


def test_positions_are_of_their_picture_and_class():
    labels = labels_of()
    pairs = draw(labels)
    by_place = labels.ravel()
    for picture in range(3):
        present = set(labels[picture].ravel()) - {255}
        assert set(pairs.labels[picture]) - {-1} == present
        for c, features in zip(
            pairs.labels[picture], pairs.features[picture], strict=True
        ):
            places = features[:, 0].astype(int)
            assert c < 0 or (by_place[places] == c).all()
            assert c < 0 or (places // 42 == picture).all()


def test_all_positions_of_a_class_are_as_likely():
    labels = np.full(SHAPE, 255)
    labels[:, 0, :5] = 2
    places = draw(labels, samples=4_000).features[:, 0, :, 0].astype(int) % 42
    shares = [(places == i).mean() for i in range(5)]
    assert places.max() == 4 and np.allclose(shares, 0.2, atol=0.02)


def test_pictures_with_more_classes_than_places_show_random_ones():
    labels = np.broadcast_to(np.arange(7) % 5, SHAPE)
    chosen = [draw(labels, max_classes=2, seed=seed).labels for seed in range(20)]
    for row in np.concatenate(chosen):
        assert len(set(row)) == 2 and row.min() >= 0
    assert set(np.ravel(chosen)) == set(range(5))


def test_a_picture_without_labels_has_no_pair():
    labels = labels_of(seed=1)
    labels[1] = 255
    pairs = draw(labels)
    assert (pairs.labels[1] == -1).all() and np.isfinite(pairs.features).all()
