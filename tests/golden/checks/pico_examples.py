"""Checks of PiCo's choice of examples and of its synthetic negatives.

No released code has either; the cases follow the definition, in float64.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxseg.methods.pico import examples, synthesis
from jaxseg.methods.pico.loss import average, contrast_losses, logsumexp
from tests.golden.case import Case


def examples_(case: Case) -> None:
    """Which slots are chosen for each anchor, and the contrast with them."""
