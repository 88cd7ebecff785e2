import inspect

import jax
import jax.numpy as jnp
import pytest

from jaxseg import config, optimizers
from jaxseg.data.transforms import TrainTransform
from jaxseg.models import create, recipes
from jaxseg.sharding import path_name

RECIPES = {
    name: value
    for name, value in vars(recipes).items()
    if isinstance(value, recipes.Recipe)
}


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_recipes_are_sections_that_lack_what_the_pictures_decide(recipe):
    schedule = config.make("optimizers", recipe.schedule, peak=0.1, total_steps=9)
    config.make("optimizers", recipe.optimizer, schedule=schedule, weight_decay=0.1)
    TrainTransform(crop=(8, 8), **recipe.augmentation)
    known = inspect.signature(getattr(optimizers, recipe.optimizer["name"])).parameters
    assert set(recipe.optimizer) <= {"name", *known}


@pytest.mark.parametrize(
    ("name", "recipe", "rates"),
    [
        ("segformer_b2", recipes.SEGFORMER, {"backbone": 1.0, "head": 10.0}),
        ("maskformer_r50", recipes.MASKFORMER, {"backbone": 0.1, "decoder": 1.0}),
    ],
)
def test_parts_learn_and_decay_at_the_published_rates(name, recipe, rates):
    model = create(name, num_classes=5)
    image = jnp.zeros((1, 64, 64, 3))
    params = jax.eval_shape(
        lambda key: model.init(key, image, train=False)["params"], jax.random.key(0)
    )
    ones = jax.tree.map(lambda leaf: jnp.ones((1,) * len(leaf.shape)), params)
    zeros = jax.tree.map(jnp.zeros_like, ones)
    optimizer = config.make(
        "optimizers",
        recipe.optimizer,
        schedule=config.make(
            "optimizers", dict(name="constant"), peak=1.0, total_steps=9
        ),
        weight_decay=0.01,
    )
    moved, _ = optimizer.update(zeros, optimizer.init(ones), ones)
    for path, leaf in jax.tree_util.tree_leaves_with_path(moved):
        place = path_name(path)
        rate = rates.get(place.split("/")[0])
        if rate is not None:
            still = "norm" in place or "query_embed" in place
            assert float(leaf.ravel()[0]) == pytest.approx(0 if still else -0.01 * rate)
