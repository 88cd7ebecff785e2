"""Published networks in torch, their arrays, and ours filled with them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxseg.pretrained.load import fill
from tests.models.fill import shapes_of


def randomise(module, seed=0):
    """Gives every normalisation statistics, scale and offset that are not 1 and 0."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    for name, buffer in module.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(0, 0.2, generator=generator)
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 1.5, generator=generator)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if parameter.ndim == 1:
                low = 0.5 if name.endswith("weight") else -0.2
                high = 1.5 if name.endswith("weight") else 0.2
                parameter.uniform_(low, high, generator=generator)
    return module


def settle(module, image, *, scales=(0.5, 1.5), spread=0.2):
    """Gives normalisations statistics of `image` and scales and offsets by chance.

    Unlike `randomise`, deep networks then do not amplify the rounding.
    """
    import torch

    for part in module.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(part.weight, *scales)
            torch.nn.init.normal_(part.bias, std=spread)
            part.momentum = 1.0
    with torch.no_grad():
        module.train()(to_torch(image))
    return module


def tensors_of(module):
    """The arrays of a torch module by name, as a file would hold them."""
    return {
        name: tensor.detach().numpy().copy()
        for name, tensor in module.state_dict().items()
    }


def loaded(model, tensors, image, *, allow=()):
    """Our model's variables, every array of an entry that the file has from there."""
    shapes = shapes_of(model, jnp.asarray(image))
    blank = jax.tree.map(lambda s: np.full(s.shape, np.nan, np.float32), shapes)
    params, stats, _ = fill(
        tensors,
        model,
        blank["params"],
        blank.get("batch_stats", {}),
        source="a file",
        allow=allow,
    )
    return {"params": params, "batch_stats": stats}


def apply(model, variables, image, *, train):
    """Compiles and applies a model whose dropout is off; new statistics are dropped."""
    run = functools.partial(model.apply, train=train, mutable=["batch_stats"])
    outputs, _ = jax.jit(run)(variables, jnp.asarray(image))
    return outputs


def to_torch(image):
    """An image [B, H, W, 3] as a torch tensor [B, 3, H, W]."""
    import torch

    return torch.tensor(np.moveaxis(np.asarray(image), -1, 1))


def relative_difference(ours, theirs):
    """The largest difference of [B, h, w, D] from torch's, over its largest value."""
    theirs = theirs.detach().numpy()
    if theirs.ndim == 4:
        theirs = np.moveaxis(theirs, 1, -1)
    ours = np.asarray(ours, np.float64)
    assert ours.shape == theirs.shape, (ours.shape, theirs.shape)
    return np.max(np.abs(ours - theirs)) / np.max(np.abs(theirs))
