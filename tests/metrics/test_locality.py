"""Cosines by hand, and the folds of PASCAL-5i and COCO-20i in CLIP's space."""

import numpy as np
import pytest

from jaxseg.data import clip_text, splits
from jaxseg.data.labels import VOC
from jaxseg.metrics.locality import language_locality

# Mean over a fold's classes: the nearest seen class, the nearest 3, all.
FOLDS = {
    "voc21_vitb16_photo": (
        (0.874, 0.862, 0.811),
        (0.888, 0.872, 0.813),
        (0.890, 0.871, 0.817),
        (0.840, 0.827, 0.784),
    ),
    "pascal20_vitb32_a": (
        (0.898, 0.887, 0.842),
        (0.911, 0.897, 0.850),
        (0.908, 0.889, 0.844),
        (0.871, 0.855, 0.821),
    ),
    "coco81_vitb16_photo": (
        (0.867, 0.851, 0.766),
        (0.861, 0.846, 0.762),
        (0.857, 0.844, 0.761),
        (0.871, 0.853, 0.767),
    ),
    "coco80_vitb32_a": (
        (0.882, 0.870, 0.801),
        (0.878, 0.868, 0.800),
        (0.872, 0.859, 0.796),
        (0.887, 0.874, 0.802),
    ),
}


def test_by_hand():
    embeddings = np.array([[2, 0], [0, 1], [1, 1], [0, 5]])
    found = language_locality(embeddings, seen=(0, 1, 3), unseen=(2,), nearest=2)
    np.testing.assert_allclose(found, [np.sqrt(0.5)])
    found = language_locality(embeddings, seen=(0, 1), unseen=(3, 2), nearest=1)
    np.testing.assert_allclose(found, [1, np.sqrt(0.5)])
    all_of_them = language_locality(embeddings, seen=(0, 1), unseen=(3,), nearest=0)
    np.testing.assert_allclose(all_of_them, [0.5])


@pytest.mark.parametrize("name", FOLDS)
@pytest.mark.parametrize("fold", range(4))
def test_folds_are_as_local_as_was_measured_independently(data_root, name, fold):
    is_coco = name.startswith("coco")
    names = splits.coco_things() if is_coco else VOC.names[1:]
    path = str(data_root / "clip_text" / f"{name}.npz")
    embeddings = clip_text.read(names, path=path)
    held = splits.fold("coco20i" if is_coco else "pascal5i", fold)
    unseen = [names.index(n) for n in held]
    seen = [i for i in range(len(names)) if i not in unseen]
    means = [
        language_locality(embeddings, seen=seen, unseen=unseen, nearest=k).mean()
        for k in (1, 3, 0)
    ]
    np.testing.assert_allclose(means, FOLDS[name][fold], atol=0.002)


@pytest.mark.parametrize("seen, nearest", [((0,), 2), ((), 0), ((), 1)])
def test_too_few_seen_classes_are_refused(seen, nearest):
    with pytest.raises(ValueError, match="seen classes cannot be had"):
        language_locality(np.eye(3), seen=seen, unseen=(2,), nearest=nearest)
