import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxseg.data.labels import IGNORE
from jaxseg.methods.cagnet import patches
from jaxseg.methods.cagnet.patch_network import PatchNetwork
from jaxseg.methods.cagnet.pixelcnn import PixelCNN

KEY = jax.random.key(0)
UNSEEN = (4, 5)
TABLE = jnp.eye(6)
NETWORK = PatchNetwork(
    optimizer=optax.adam(1e-2),
    model=PixelCNN(width=16, depth=3, kernel_size=3, dropout=0.0),
    patches_per_step=64,
)
BLOCKS = np.random.default_rng(0).integers(0, 4, (2, 10, 10))
LABELS = jnp.asarray(np.kron(BLOCKS, np.ones((1, 4, 4), int)))


@jax.jit
def learn(variables, labels, key):
    return NETWORK.step(variables, labels, TABLE, unseen=UNSEEN, key=key)


@jax.jit
def sample(variables):
    return NETWORK.sample(KEY, variables, TABLE, unseen=UNSEEN, num_patches=400)


@functools.cache
def new():
    return NETWORK.init(KEY, TABLE)


def test_it_learns_that_neighbours_mostly_have_one_class():
    def share_of_mixed(variables):
        return float(jnp.mean(patches.num_distinct(sample(variables)) > 1))

    variables = new()
    before = share_of_mixed(variables)
    _, first = learn(variables, LABELS, KEY)
    for step in range(60):
        variables, last = learn(variables, LABELS, jax.random.key(step))
    assert last < 0.5 * first and share_of_mixed(variables) < 0.5 < before
    drawn = sample(variables)
    assert np.isin(patches.largest_class(drawn), UNSEEN).all()
    # The smaller parts are of classes that pictures showed.
    assert np.isin(drawn, range(4)).any()


def test_without_a_label_there_is_no_loss():
    _, loss = learn(new(), jnp.full_like(LABELS, IGNORE), KEY)
    assert loss == 0
