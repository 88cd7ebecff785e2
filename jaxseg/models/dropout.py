"""`Dropout`, a layer that draws its mask faster than `nn.Dropout`."""

import flax.linen as nn
import jax

from jaxseg.ops.dropout import dropout


class Dropout(nn.Module):
    """Drops units at random, with a key of the collection `dropout`.

    Attributes:
        rate: probability that a unit becomes zero.
    """

    rate: float

    def __call__(self, x: jax.Array, *, deterministic: bool) -> jax.Array:
        """Maps [..., D] to [..., D]; unchanged if `deterministic`."""
        if deterministic or not self.rate:
            return x
        return dropout(self.make_rng("dropout"), x, self.rate)
