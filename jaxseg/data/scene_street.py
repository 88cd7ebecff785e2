"""The street itself: sky, house fronts, ground, fences, bonnet, and the light."""

import numpy as np

from jaxseg.data import labels
from jaxseg.data.scene_canvas import (
    BLACK,
    BLUE,
    BRICK,
    BUILDING,
    DARK_GREY,
    FENCE,
    GREEN,
    GREY,
    LIGHT_GREY,
    OCHRE,
    OLIVE,
    PAVEMENT,
    RED,
    ROAD,
    SAND,
    SKY,
    TREE,
    WHITE,
    Scene,
    fraction,
    material,
    materials,
    texture,
)

_TINTS = np.array(
    [(1, 1, 1), (1.04, 1, 0.94), (1.1, 0.94, 0.8), (0.88, 0.95, 1.08)], np.float32
)


def paint_sky(scene: Scene, rng: np.random.RandomState) -> None:
    """A sky that grows paler towards the horizon, with clouds."""
    height, width = scene.label.shape
    down = np.linspace(0, 1, height, dtype=np.float32)[:, None, None] * 2
    top, low = scene.sky
    scene.image[:] = top + (low - top) * np.minimum(down, 1)
    noise = texture(rng, (height, width), 32) + 0.5 * texture(rng, (height, width), 8)
    cover = np.clip(noise * 1.2 - rng.uniform(-0.3, 0.7), 0, 1)[..., None]
    cloud = np.float32(0.5) * (low + rng.uniform(150, 240))
    scene.image += (cloud - scene.image) * cover * np.float32(0.75)
    scene.label[:] = SKY


def paint_skyline(scene: Scene, rng: np.random.RandomState) -> None:
    """Far houses and tree tops along the horizon."""
    height, width = scene.label.shape
    steps = np.cumsum(rng.uniform(0.04, 0.14, 32)) * width
    block = np.searchsorted(steps, np.arange(width))
    top = (rng.uniform(0.03, 0.16, 33) * height)[block]
    is_trees = (rng.random_sample(33) < 0.4)[block]
    ragged = texture(rng, (1, width), 4)[0] * np.float32(0.025 * height)
    houses = np.where(
        (fraction(scene.rows / (4 * scene.pixel)) < 0.5)[..., None]
        & (fraction(scene.columns / (5 * scene.pixel)) < 0.4)[:, None],
        np.float32(0.72),
        np.float32(1),
    )
    walls = materials(rng, 33, LIGHT_GREY, GREY, BRICK, SAND)[block] * houses
    leaves = material(rng, GREEN, OLIVE, OCHRE) * (
        0.8 + 0.3 * texture(rng, (height, width), 4)[..., None]
    )
    colour = np.where(is_trees[:, None], leaves, walls)
    colour += (scene.haze - colour) * np.float32(0.3)
    mask = (-scene.rows < top + ragged * is_trees) & (scene.rows < 1)
    np.copyto(scene.image, colour, where=mask[..., None])
    np.copyto(scene.label, np.where(is_trees, TREE, BUILDING), "unsafe", where=mask)


def paint_ground(scene: Scene, rng: np.random.RandomState) -> None:
    """Road with markings between the kerbs, pavement beyond them."""
    below = scene.rows[:, 0] > 0
    z = np.float32(scene.focal * scene.eye) / scene.rows[below]  # [h, 1]
    x = scene.columns * (z / np.float32(scene.focal))  # [h, W]
    left, right = scene.kerbs
    grain = texture(rng, x.shape, 2) + texture(rng, x.shape, 16)

    asphalt = material(rng, DARK_GREY, GREY, DARK_GREY, LIGHT_GREY, SAND)
    image = (asphalt * 0.92 + 9 * grain[..., None]).astype(np.float32)
    paint = np.clip(asphalt + rng.uniform(55, 110), 0, 245).astype(np.float32)
    np.copyto(image, paint, where=_road_marks(scene, rng, x, z)[..., None])

    is_pavement = (x < left) | (x > right)
    slab = rng.uniform(0.7, 1.1)
    joints = (fraction(x / slab) < 0.1) | (fraction(z / slab) < 0.12)
    stone = material(rng, GREY, LIGHT_GREY, SAND, BRICK, DARK_GREY)
    slabs = stone + 6 * grain[..., None] - 26 * (joints & (z < 12))[..., None]
    np.copyto(image, slabs, "same_kind", where=is_pavement[..., None])
    kerb = is_pavement & (x > left - 0.22) & (x < right + 0.22)
    np.copyto(image, np.clip(stone + 34, 0, 240), where=kerb[..., None])

    image += (scene.haze - image) * np.minimum(z / 120, 0.5)[..., None]
    scene.image[below] = image
    scene.label[below] = np.where(is_pavement, PAVEMENT, ROAD)


def _road_marks(scene: Scene, rng: np.random.RandomState, x, z):
    """Which ground points [h, W] are painted: centre line, edge lines, a crossing."""
    left, right = scene.kerbs
    half = np.maximum(np.float32(0.5 * scene.pixel / scene.focal) * z, 0.08)
    middle = (left + right) / 2 + rng.uniform(-0.4, 0.4)
    dash = fraction(z / 5 + rng.random_sample()) < 0.55
    marks = (np.abs(x - middle) < half) & dash
    if rng.random_sample() < 0.5:
        marks |= np.minimum(np.abs(x - left - 0.5), np.abs(x - right + 0.5)) < half
    if rng.random_sample() < 0.35:
        start = rng.uniform(6, 11)
        marks |= (z > start) & (z < start + 3) & (fraction(x / 0.9) < 0.5)
    return marks


def _side_columns(scene: Scene, side, x):
    """The columns [w] that see the plane at X = x, and how far it is there [w]."""
    columns = np.flatnonzero(scene.columns * side > 0.5)
    return columns, np.float32(scene.focal * abs(x)) / np.abs(scene.columns[columns])


def paint_house_fronts(scene: Scene, rng: np.random.RandomState, side) -> None:
    """A row of houses along the street, with gaps that show the next one's end wall."""
    num = 14
    lengths = rng.uniform(5, 11, num)
    starts = (np.cumsum(lengths) - lengths - rng.uniform(0, 5)).astype(np.float32)
    is_gap = rng.random_sample(num) < rng.choice([0.15, 0.5, 0.85])
    is_gap[-1] = False
    tall = rng.uniform(3.2, 9, num).astype(np.float32)

    columns, z = _side_columns(scene, side, scene.walls[side > 0])
    house = np.searchsorted(starts, z, side="right") - 1
    in_gap = is_gap[house] & (z < starts[-1])
    for _ in range(num):  # a gap shows the end of the next house that stands
        house = house + is_gap[house]
    z = np.where(in_gap, np.maximum(starts[house], 1), z)
    along = np.where(in_gap, np.abs(scene.columns[columns]) * z / scene.focal, z)
    up = scene.eye - scene.rows * (z / np.float32(scene.focal))  # [H, w] metres

    colour = _facade_colours(rng, house, tall, along=along, up=up, z=z)
    light = 1 + 0.22 * scene.sun * side * np.where(in_gap, -0.3, 1).astype(np.float32)
    light = light * (1 - 0.1 * (fraction(up / 0.45) < 0.3) * (z < 16))  # courses
    colour = colour * light.astype(np.float32)[..., None]
    colour += (scene.haze - colour) * np.minimum(z / 110, 0.45)[:, None]
    mask = (up > 0) & (up < tall[house])
    _fill_columns(scene, columns, mask, colour, BUILDING)


def _facade_colours(rng: np.random.RandomState, house, tall, *, along, up, z):
    """Walls, roofs and windows [H, w, 3] of the house [w] that each column sees."""
    num = len(tall)
    wall = materials(rng, num, LIGHT_GREY, GREY, WHITE, BRICK, SAND, OCHRE)
    roof = materials(rng, num, BRICK, DARK_GREY, BLACK)
    pane = materials(rng, num, BLACK, BLUE, WHITE)
    bay = rng.uniform(1.6, 2.6, num).astype(np.float32)
    has_roof = rng.random_sample(num) < 0.6
    eaves = tall - (rng.uniform(0, 1.6, num) * has_roof).astype(np.float32)

    across, storey = along / bay[house], up / np.float32(2.7)
    window = np.abs(fraction(across) - 0.5) < 0.26
    window = window & (np.abs(fraction(storey) - 0.52) < 0.24)
    window &= (up < eaves[house] - 0.3) & (z < 45)
    number = across.astype(int) * 7 + storey.astype(int) * 5 + house

    colour = wall[house] + 5 * texture(rng, up.shape, 4)[..., None]
    np.copyto(colour, roof[house], where=(up > eaves[house])[..., None])
    glass = pane[house] + np.float32(45) * (number % 3 == 0)[..., None]
    np.copyto(colour, glass, where=window[..., None])
    return colour


def _fill_columns(scene: Scene, columns, mask, colour, class_id):
    span = slice(columns[0], columns[-1] + 1)
    np.copyto(scene.image[:, span], colour, "unsafe", where=mask[..., None])
    if class_id is not None:
        np.copyto(scene.label[:, span], class_id, "unsafe", where=mask)


def paint_fence(scene: Scene, rng: np.random.RandomState, side) -> None:
    """Railings along the kerb; what is seen between the bars counts as fence."""
    if rng.random_sample() < 0.45:
        return
    x = scene.kerbs[side > 0] + 0.25 * side
    start = rng.uniform(2, 9)
    end = start + rng.uniform(4, 14)
    tall = rng.uniform(0.95, 1.25)
    columns, z = _side_columns(scene, side, x)
    up = scene.eye - scene.rows * (z / np.float32(scene.focal))
    mask = (up > 0) & (up < tall) & (z > start) & (z < min(end, 16))
    step = rng.uniform(3, 4.5) * scene.pixel
    thin = np.maximum(np.float32(0.8 * scene.pixel / scene.focal) * z, 0.06)
    bars = fraction(np.abs(scene.columns[columns]) / np.float32(step)) < 0.45
    rails = (np.abs(up - tall + 0.1) < thin) | (np.abs(up - 0.22) < thin)
    colour = material(rng, GREEN, BLACK, WHITE, BLUE, RED)
    colour = colour * (1 + 0.25 * rails[..., None])
    _fill_columns(scene, columns, mask & (bars | rails), colour, None)
    np.copyto(scene.label[:, columns[0] : columns[-1] + 1], FENCE, where=mask)


def paint_bonnet(scene: Scene, rng: np.random.RandomState) -> None:
    """The camera's own car at the bottom edge, which has no class."""
    height, width = scene.label.shape
    paint, depth = material(rng), rng.uniform(-0.02, 0.09) * height
    across = (np.arange(width, dtype=np.float32) + 0.5) / width * 2 - 1
    edge = np.float32(depth) * (1 - across**2 * np.float32(0.8))
    rows = slice(height - int(0.1 * height), height)
    inside = edge - (height - np.arange(height, dtype=np.float32))[rows, None]  # [h, W]
    gleam = np.where(inside < 2 * scene.pixel, np.float32(1.15), np.float32(0.8))
    np.copyto(scene.image[rows], paint * gleam[..., None], where=inside[..., None] > 0)
    np.copyto(scene.label[rows], labels.IGNORE, where=inside > 0)


def develop(image: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
    """Lens blur, light of the day, sensor noise: uint8 [H, W, 3]."""
    for axis in (0, 1):
        first, last = image.take([0], axis), image.take([-1], axis)
        padded = np.concatenate([first, image, last], axis)
        size = image.shape[axis]
        near = padded.take(range(size), axis) + padded.take(range(2, size + 2), axis)
        image = np.float32(0.86) * image + np.float32(0.07) * near
    gain = _TINTS[rng.randint(len(_TINTS))] * np.float32(rng.uniform(0.72, 1.1))
    lift = np.float32(rng.uniform(-6, 14))
    dots = np.frombuffer(rng.bytes(image.size), np.uint8).reshape(image.shape)
    noise = (dots & 15).astype(np.float32) + (dots >> 4) - 15
    image = image * gain + lift + noise * np.float32(rng.uniform(0.15, 0.5))
    return np.clip(image + 0.5, 0, 255).astype(np.uint8)
