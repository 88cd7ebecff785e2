"""Square patches of labels: cut from a map, completed, laid out as a map again.

CaGNet v2 (Gu et al., TNNLS 2022) synthesises a map of k x k patches. All pixels of a
patch have one latent code (`repeat`), and only its centre counts (`centre_labels`): the
classifier looks at k x k pixels, which lie in one patch there and nowhere else.
"""

import jax
import jax.numpy as jnp

from jaxseg.data.labels import IGNORE


def cut(label_maps: jax.Array, side: int) -> jax.Array:
    """Cuts label maps into patches that do not overlap.

    Args:
        label_maps: [B, H, W]; rows and columns beyond the last whole patch are left.
        side: k.

    Returns:
        [B, h w, k, k] patches in raster order, with h = floor(H / k), w = floor(W / k).
    """
    b, height, width = label_maps.shape
    rows, columns = height // side, width // side
    whole = label_maps[:, : rows * side, : columns * side]
    patches = whole.reshape(b, rows, side, columns, side).swapaxes(2, 3)
    return patches.reshape(b, rows * columns, side, side)


def draw(
    key: jax.Array, label_maps: jax.Array, *, side: int, num_patches: int
) -> jax.Array:
    """Draws patches of label maps that hold a label, without replacement.

    Args:
        key: of the draw.
        label_maps: [B, H, W] class ids, 255 where there is none.
        side: k.
        num_patches: P, of which there may be fewer.

    Returns:
        [P, k, k]; those that were not found come last and are 255 throughout.
    """
    found = cut(label_maps, side).reshape(-1, side, side)
    is_labelled = jnp.any(found != IGNORE, axis=(1, 2))
    priority = jax.random.uniform(key, is_labelled.shape) + is_labelled
    _, chosen = jax.lax.top_k(priority, min(num_patches, len(found)))
    missing = num_patches - len(chosen)
    return jnp.pad(
        found[chosen], ((0, missing), (0, 0), (0, 0)), constant_values=IGNORE
    )


def tile(patches: jax.Array, rows: int, columns: int) -> jax.Array:
    """Lays patches out as label maps, in raster order; undoes `cut`.

    Args:
        patches: [B, rows * columns, k, k].
        rows: of patches in a map.
        columns: of patches in a map.

    Returns:
        [B, rows * k, columns * k].

    Raises:
        ValueError: if there are more or fewer patches.
    """
    b, num_patches, side, _ = patches.shape
    if num_patches != rows * columns:
        raise ValueError(
            f"patches {patches.shape} do not fill {rows} x {columns}: give "
            f"{rows * columns} a map"
        )
    grid = patches.reshape(b, rows, columns, side, side).swapaxes(2, 3)
    return grid.reshape(b, rows * side, columns * side)


def repeat(latent: jax.Array, side: int) -> jax.Array:
    """Gives all pixels of a patch its latent code, [B, h, w, Z] to [B, h k, w k, Z]."""
    return jnp.repeat(jnp.repeat(latent, side, axis=1), side, axis=2)


def centre_labels(label_maps: jax.Array, side: int) -> jax.Array:
    """Makes all pixels of tiled label maps unlabelled but the centres of patches.

    A loss over labelled pixels is then the authors' centre-only loss.

    Args:
        label_maps: [B, h k, w k] integers.
        side: k, odd.

    Returns:
        [B, h k, w k], 255 off the centres.

    Raises:
        ValueError: if a patch has no centre, or patches do not fill the map.
    """
    _, height, width = label_maps.shape
    if side % 2 == 0 or height % side or width % side:
        raise ValueError(
            f"maps of {height} x {width} have no patches of {side} x {side} with a "
            "centre: choose an odd side that divides both"
        )
    middle = side // 2
    is_centre = (jnp.arange(height) % side == middle)[:, None] & (
        jnp.arange(width) % side == middle
    )
    return jnp.where(is_centre, label_maps, IGNORE)


def fill_ignored(patches: jax.Array, *, num_rounds: int) -> jax.Array:
    """Fills ignored pixels from neighbours, by cyclic shifts within the patch.

    In each round the patch is shifted by -1 and then by +1, down the rows and then
    across the columns; after each shift the ignored pixels take what they meet.

    Args:
        patches: [..., k, k] integers.
        num_rounds: of four shifts. k // 2 are enough to fill from a single pixel.

    Returns:
        [..., k, k]; what is ignored altogether stays so.
    """
    for _ in range(num_rounds):
        for shift in (-1, 1):
            for axis in (-2, -1):
                shifted = jnp.roll(patches, shift, axis)
                patches = jnp.where(patches == IGNORE, shifted, patches)
    return patches


def num_distinct(patches: jax.Array) -> jax.Array:
    """How many different labels each patch [..., k, k] has, [...] int32."""
    *leading, rows, columns = patches.shape
    ordered = jnp.sort(patches.reshape(*leading, rows * columns), axis=-1)
    changes = ordered[..., 1:] != ordered[..., :-1]
    return 1 + jnp.sum(changes, axis=-1, dtype=jnp.int32)


def largest_class(patches: jax.Array) -> jax.Array:
    """The label of most pixels of each patch, [P, k, k] to [P]; of equals the first."""
    flat = patches.reshape(len(patches), -1)
    sizes = jnp.sum(flat[:, :, None] == flat[:, None, :], axis=2)
    most = jnp.argmax(sizes, axis=1)
    return jnp.take_along_axis(flat, most[:, None], axis=1)[:, 0]


def is_acceptable(
    patches: jax.Array,
    is_unseen: jax.Array,
    *,
    min_unseen: int,
    max_classes: int,
) -> jax.Array:
    """Which patches are mostly of unseen classes, and not of too many.

    Args:
        patches: [..., k, k] class ids; 255 is not unseen.
        is_unseen: [C] bool.
        min_unseen: how many pixels of unseen classes a patch has at least.
        max_classes: how many classes it has at most.

    Returns:
        [...] bool.
    """
    # Indices out of range would be clipped, to the last class.
    looked_up = is_unseen.at[patches].get(mode="fill", fill_value=False)
    num_unseen = jnp.sum(looked_up, axis=(-2, -1))
    return (num_unseen >= min_unseen) & (num_distinct(patches) <= max_classes)
