"""Street scenes drawn by NumPy: a data set that needs no download.

A picture is a small street in perspective: sky, house fronts, ground, then everything
that stands on it, from far to near, then the light. Colours come from one list of
materials that all classes share, so that what tells a car from a wall is shape, texture
and place. Read `draw` first.

A picture depends on (seed, split, index) and the size only. To be the same everywhere
it uses NumPy's frozen `RandomState` and arithmetic that IEEE 754 fixes (+ - * / and
comparisons, no sin or exp, no long sums).
"""

import dataclasses
import functools

import numpy as np

from jaxseg.data import labels

SKY, BUILDING, ROAD, PAVEMENT, TREE, FENCE, POLE, SIGN, CAR, PERSON = range(10)

SCENES = labels.LabelSet(
    names=(
        *("sky", "building", "road", "pavement", "tree"),
        *("fence", "pole", "sign", "car", "person"),
    ),
    palette=(
        *((70, 130, 180), (128, 32, 32), (128, 64, 128), (214, 130, 214)),
        *((107, 142, 35), (190, 153, 110), (170, 170, 170), (240, 200, 0)),
        *((0, 40, 160), (230, 40, 70)),
    ),
)

# What things are made of [M, 3]; no class has a colour of its own.
MATERIALS = np.array(
    [
        *((200, 196, 188), (150, 150, 152), (92, 94, 98), (226, 224, 218)),
        *((150, 78, 62), (206, 182, 140), (190, 140, 52), (160, 52, 48)),
        *((70, 98, 140), (40, 46, 58), (66, 92, 56), (116, 132, 84)),
    ],
    np.float32,
)
_LIGHT_GREY, _GREY, _DARK_GREY, _WHITE, _BRICK, _SAND, _OCHRE, _RED = range(8)
_BLUE, _BLACK, _GREEN, _OLIVE = range(8, 12)

# Sky colours at the top of the picture and at the horizon.
_SKIES = np.array(
    [
        *(((86, 140, 205), (196, 214, 232)), ((120, 160, 200), (222, 222, 214))),
        *(((168, 172, 178), (206, 206, 204)), ((112, 116, 124), (158, 158, 158))),
        *(((92, 98, 140), (226, 168, 124)), ((150, 140, 150), (214, 186, 150))),
    ],
    np.float32,
)
_TINTS = np.array(
    [(1, 1, 1), (1.04, 1, 0.94), (1.1, 0.94, 0.8), (0.88, 0.95, 1.08)], np.float32
)
_SPLITS = ("train", "val", "test")


class Scenes:
    """The embedded data set: 10 classes, void on the bonnet and on litter bins.

    Args:
        height, width: size of the pictures in pixels; the streets stay the same.
        num_train, num_val, num_test: pictures in each split.
        seed: of the whole data set; another seed, other streets.
    """

    labels = SCENES

    def __init__(
        self,
        *,
        height: int = 96,
        width: int = 128,
        num_train: int = 3000,
        num_val: int = 100,
        num_test: int = 100,
        seed: int = 0,
    ):
        sizes = dict(zip(_SPLITS, (num_train, num_val, num_test), strict=True))
        self._sources = {
            split: ScenesSource(split, size, height=height, width=width, seed=seed)
            for split, size in sizes.items()
        }

    def source(self, split: str) -> "ScenesSource":
        """The pictures of "train", "val" or "test"."""
        if split not in self._sources:
            raise ValueError(f"scenes has no split {split!r}, only {_SPLITS}")
        return self._sources[split]


class ScenesSource:
    """One split; a picture is drawn when first asked for, and kept."""

    def __init__(self, split: str, size: int, *, height: int, width: int, seed: int):
        self._split, self._size, self._seed = split, size, seed
        self._shape = (height, width)
        self._kept: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        """{"image": uint8 [H, W, 3], "label": uint8 [H, W], 255 unlabelled}."""
        if not 0 <= index < self._size:
            raise IndexError(f"{self.name(index)}: the split has {self._size} pictures")
        if index not in self._kept:
            key = [self._seed, _SPLITS.index(self._split), index]
            self._kept[index] = draw(np.random.RandomState(key), *self._shape)
        image, label = self._kept[index]
        return {"image": image.copy(), "label": label.copy()}

    def name(self, index: int) -> str:
        return f"scenes/{self._split}/{index:05d}"


def draw(rng: np.random.RandomState, height: int, width: int):
    """One street.

    Returns:
        image uint8 [H, W, 3] and label uint8 [H, W].
    """
    scene = _Scene.plan(rng, height, width)
    _paint_sky(scene, rng)
    _paint_skyline(scene, rng)
    _paint_ground(scene, rng)
    for side in (-1, 1):
        _paint_house_fronts(scene, rng, side)
    _paint_things(scene, _pavement_things(scene, rng), rng)
    for side in (-1, 1):
        _paint_fence(scene, rng, side)
    _paint_things(scene, _road_things(scene, rng), rng)
    _paint_bonnet(scene, rng)
    return _develop(scene.image, rng), scene.label


@dataclasses.dataclass
class _Scene:
    """The canvas and the camera. Metres: X right, Y up from the ground, Z ahead.

    A point is seen at column vanishing + focal X / Z,
    row horizon + focal (eye - Y) / Z.
    """

    image: np.ndarray  # float32 [H, W, 3], 0..255
    label: np.ndarray  # uint8 [H, W]
    columns: np.ndarray  # [W] pixel centres relative to the vanishing point
    rows: np.ndarray  # [H, 1] the same, relative to the horizon, downwards
    focal: float  # pixels
    eye: float  # metres above the ground
    kerbs: tuple[float, float]  # X of the road's edges
    walls: tuple[float, float]  # X of the house fronts
    sun: float  # -1 from the left .. 1 from the right
    haze: np.ndarray  # [3] colour of what is far
    sky: np.ndarray  # [2, 3] colours at the top and at the horizon

    @classmethod
    def plan(cls, rng, height, width):
        horizon = height * rng.uniform(0.38, 0.48)
        vanishing = width * rng.uniform(0.36, 0.64)
        kerbs = (-rng.uniform(3.2, 5.2), rng.uniform(1.9, 3.0))
        walls = (kerbs[0] - rng.uniform(2, 4), kerbs[1] + rng.uniform(2, 4))
        sky = _SKIES[rng.randint(len(_SKIES))]
        return cls(
            image=np.zeros((height, width, 3), np.float32),
            label=np.zeros((height, width), np.uint8),
            columns=(np.arange(width) + 0.5 - vanishing).astype(np.float32),
            rows=(np.arange(height) + 0.5 - horizon).astype(np.float32)[:, None],
            focal=0.75 * height,
            eye=rng.uniform(1.3, 1.7),
            kerbs=kerbs,
            walls=walls,
            sun=rng.uniform(-1, 1),
            haze=sky[1],
            sky=sky + _vary(rng, 10),
        )

    @property
    def pixel(self) -> float:
        """Of a picture 96 pixels high, in pixels: what is thin keeps its share."""
        return self.focal / 72


def _vary(rng, amount):
    return rng.uniform(-amount, amount, 3).astype(np.float32)


def _material(rng, *choices):
    """A colour [3] of one of the given materials, of all if none is given."""
    return _materials(rng, 1, *choices)[0]


def _materials(rng, num, *choices):
    """Colours [num, 3] of the given materials, of all if none is given."""
    index = rng.randint(len(choices) or len(MATERIALS), size=num)
    if choices:
        index = np.array(choices)[index]
    return MATERIALS[index] + rng.uniform(-14, 14, (num, 3)).astype(np.float32)


@functools.cache
def _noise(cell: int) -> np.ndarray:
    """Noise [512, 512] in -1..1: random dots `cell` pixels apart, interpolated."""
    dots = 512 // cell
    grid = np.random.RandomState(cell).uniform(-1, 1, (dots, dots)).astype(np.float32)
    t = (np.arange(cell, dtype=np.float32) / np.float32(cell))[:, None]
    for _ in ("rows", "columns"):
        step = np.roll(grid, -1, axis=0) - grid
        grid = (grid[:, None] + step[:, None] * t).reshape(512, -1).T
    return np.ascontiguousarray(grid)


def _texture(rng, shape, cell):
    """A window [h, w] at a random place of the noise."""
    rows, columns = (
        (rng.randint(512) + np.arange(size, dtype=np.int32)) % 512 for size in shape
    )
    return _noise(cell)[rows[:, None], columns]


def _fraction(x):
    return x - np.floor(x)


def _paint_sky(scene, rng):
    height, width = scene.label.shape
    down = np.linspace(0, 1, height, dtype=np.float32)[:, None, None] * 2
    top, low = scene.sky
    scene.image[:] = top + (low - top) * np.minimum(down, 1)
    noise = _texture(rng, (height, width), 32) + 0.5 * _texture(rng, (height, width), 8)
    cover = np.clip(noise * 1.2 - rng.uniform(-0.3, 0.7), 0, 1)[..., None]
    cloud = np.float32(0.5) * (low + rng.uniform(150, 240))
    scene.image += (cloud - scene.image) * cover * np.float32(0.75)
    scene.label[:] = SKY


def _paint_skyline(scene, rng):
    """Far houses and tree tops along the horizon."""
    height, width = scene.label.shape
    steps = np.cumsum(rng.uniform(0.04, 0.14, 32)) * width
    block = np.searchsorted(steps, np.arange(width))
    top = (rng.uniform(0.03, 0.16, 33) * height)[block]
    is_trees = (rng.random_sample(33) < 0.4)[block]
    ragged = _texture(rng, (1, width), 4)[0] * np.float32(0.025 * height)
    houses = np.where(
        (_fraction(scene.rows / (4 * scene.pixel)) < 0.5)[..., None]
        & (_fraction(scene.columns / (5 * scene.pixel)) < 0.4)[:, None],
        np.float32(0.72),
        np.float32(1),
    )
    walls = _materials(rng, 33, _LIGHT_GREY, _GREY, _BRICK, _SAND)[block] * houses
    leaves = _material(rng, _GREEN, _OLIVE, _OCHRE) * (
        0.8 + 0.3 * _texture(rng, (height, width), 4)[..., None]
    )
    colour = np.where(is_trees[:, None], leaves, walls)
    colour += (scene.haze - colour) * np.float32(0.3)
    mask = (-scene.rows < top + ragged * is_trees) & (scene.rows < 1)
    np.copyto(scene.image, colour, where=mask[..., None])
    np.copyto(scene.label, np.where(is_trees, TREE, BUILDING), "unsafe", where=mask)


def _paint_ground(scene, rng):
    """Road with markings between the kerbs, pavement beyond them."""
    below = scene.rows[:, 0] > 0
    z = np.float32(scene.focal * scene.eye) / scene.rows[below]  # [h, 1]
    x = scene.columns * (z / np.float32(scene.focal))  # [h, W]
    left, right = scene.kerbs
    grain = _texture(rng, x.shape, 2) + _texture(rng, x.shape, 16)

    asphalt = _material(rng, _DARK_GREY, _GREY, _DARK_GREY, _LIGHT_GREY, _SAND)
    image = (asphalt * 0.92 + 9 * grain[..., None]).astype(np.float32)
    paint = np.clip(asphalt + rng.uniform(55, 110), 0, 245).astype(np.float32)
    np.copyto(image, paint, where=_road_marks(scene, rng, x, z)[..., None])

    is_pavement = (x < left) | (x > right)
    slab = rng.uniform(0.7, 1.1)
    joints = (_fraction(x / slab) < 0.1) | (_fraction(z / slab) < 0.12)
    stone = _material(rng, _GREY, _LIGHT_GREY, _SAND, _BRICK, _DARK_GREY)
    slabs = stone + 6 * grain[..., None] - 26 * (joints & (z < 12))[..., None]
    np.copyto(image, slabs, "same_kind", where=is_pavement[..., None])
    kerb = is_pavement & (x > left - 0.22) & (x < right + 0.22)
    np.copyto(image, np.clip(stone + 34, 0, 240), where=kerb[..., None])

    image += (scene.haze - image) * np.minimum(z / 120, 0.5)[..., None]
    scene.image[below] = image
    scene.label[below] = np.where(is_pavement, PAVEMENT, ROAD)


def _road_marks(scene, rng, x, z):
    """Which ground points [h, W] are painted: centre line, edge lines, a crossing."""
    left, right = scene.kerbs
    half = np.maximum(np.float32(0.5 * scene.pixel / scene.focal) * z, 0.08)
    middle = (left + right) / 2 + rng.uniform(-0.4, 0.4)
    dash = _fraction(z / 5 + rng.random_sample()) < 0.55
    marks = (np.abs(x - middle) < half) & dash
    if rng.random_sample() < 0.5:
        marks |= np.minimum(np.abs(x - left - 0.5), np.abs(x - right + 0.5)) < half
    if rng.random_sample() < 0.35:
        start = rng.uniform(6, 11)
        marks |= (z > start) & (z < start + 3) & (_fraction(x / 0.9) < 0.5)
    return marks


def _side_columns(scene, side, x):
    """The columns [w] that see the plane at X = x, and how far it is there [w]."""
    columns = np.flatnonzero(scene.columns * side > 0.5)
    return columns, np.float32(scene.focal * abs(x)) / np.abs(scene.columns[columns])


def _paint_house_fronts(scene, rng, side):
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
    light = light * (1 - 0.1 * (_fraction(up / 0.45) < 0.3) * (z < 16))  # courses
    colour = colour * light.astype(np.float32)[..., None]
    colour += (scene.haze - colour) * np.minimum(z / 110, 0.45)[:, None]
    mask = (up > 0) & (up < tall[house])
    _fill_columns(scene, columns, mask, colour, BUILDING)


def _facade_colours(rng, house, tall, *, along, up, z):
    """Walls, roofs and windows [H, w, 3] of the house [w] that each column sees."""
    num = len(tall)
    wall = _materials(rng, num, _LIGHT_GREY, _GREY, _WHITE, _BRICK, _SAND, _OCHRE)
    roof = _materials(rng, num, _BRICK, _DARK_GREY, _BLACK)
    pane = _materials(rng, num, _BLACK, _BLUE, _WHITE)
    bay = rng.uniform(1.6, 2.6, num).astype(np.float32)
    has_roof = rng.random_sample(num) < 0.6
    eaves = tall - (rng.uniform(0, 1.6, num) * has_roof).astype(np.float32)

    across, storey = along / bay[house], up / np.float32(2.7)
    window = np.abs(_fraction(across) - 0.5) < 0.26
    window = window & (np.abs(_fraction(storey) - 0.52) < 0.24)
    window &= (up < eaves[house] - 0.3) & (z < 45)
    number = across.astype(int) * 7 + storey.astype(int) * 5 + house

    colour = wall[house] + 5 * _texture(rng, up.shape, 4)[..., None]
    np.copyto(colour, roof[house], where=(up > eaves[house])[..., None])
    glass = pane[house] + np.float32(45) * (number % 3 == 0)[..., None]
    np.copyto(colour, glass, where=window[..., None])
    return colour


def _fill_columns(scene, columns, mask, colour, class_id):
    span = slice(columns[0], columns[-1] + 1)
    np.copyto(scene.image[:, span], colour, "unsafe", where=mask[..., None])
    if class_id is not None:
        np.copyto(scene.label[:, span], class_id, "unsafe", where=mask)


def _paint_fence(scene, rng, side):
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
    bars = _fraction(np.abs(scene.columns[columns]) / np.float32(step)) < 0.45
    rails = (np.abs(up - tall + 0.1) < thin) | (np.abs(up - 0.22) < thin)
    colour = _material(rng, _GREEN, _BLACK, _WHITE, _BLUE, _RED)
    colour = colour * (1 + 0.25 * rails[..., None])
    _fill_columns(scene, columns, mask & (bars | rails), colour, None)
    np.copyto(scene.label[:, columns[0] : columns[-1] + 1], FENCE, where=mask)


class _Patch:
    """The part of the canvas around a thing; x, y in metres from where it stands."""

    def __init__(self, scene, x, z, reach, tall):
        scale = scene.focal / z  # pixels a metre
        foot = scene.eye * scale
        up = (foot - scene.rows[:, 0]) / scale
        rows = np.flatnonzero((up > -0.5) & (up < tall))
        columns = np.flatnonzero(np.abs(scene.columns / scale - x) < reach)
        self.is_empty = not (len(rows) and len(columns))
        if self.is_empty:
            return
        window = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        self.x = scene.columns[window[1]] / np.float32(scale) - np.float32(x)  # [w]
        self.y = up[window[0], None].astype(np.float32)  # [h, 1]
        self.image, self.label = scene.image[window], scene.label[window]
        self.metre = 1 / scale  # of one pixel
        self.offset, self.z, self.eye = x, z, scene.eye
        self.light = (1 + 0.12 * scene.sun * np.sign(self.x))[:, None].astype("f4")
        self.haze, self.hazy = scene.haze, np.float32(min(z / 90, 0.4))

    def fill(self, mask, colour, class_id):
        colour = np.asarray(colour, np.float32) * self.light
        colour += (self.haze - colour) * self.hazy
        np.copyto(self.image, colour, where=mask[..., None])
        np.copyto(self.label, class_id, "unsafe", where=mask)

    def shadow(self, reach):
        """Darkens the ground, whose class stays."""
        ground = self.y[:, 0] < 0.2 * reach
        y = self.y[ground] / (0.2 * reach)
        dark = np.where((self.x / reach) ** 2 + y**2 < 1, 0.55, 1)
        self.image[ground] *= dark[..., None].astype(np.float32)

    def at_least(self, metres, pixels):
        """A size in metres that is no less than so many pixels."""
        return max(metres, pixels * self.metre)


def _paint_things(scene, things, rng):
    """Things (painter, X, Z, reach to either side, height) from far to near."""
    for paint, x, z, reach, tall in sorted(things, key=lambda thing: -thing[2]):
        patch = _Patch(scene, x, z, reach, tall)
        if not patch.is_empty:
            paint(patch, rng)


def _pavement_things(scene, rng):
    kinds = (
        (_tree, 2, (5, 13), (2.6, 6.8), (0.9, 0.3)),
        (_lamp, 1, (4.5, 8.5), (2.2, 6), (0.5, 0.1)),
        (_sign_post, 2, (3.8, 6.8), (1, 3.6), (0.45, 0.2)),
        (_person, 2, (3.4, 6.2), (0.6, 2), (0.8, 0.9)),
        (_bin, 1, (4, 10), (0.8, 1.1), (1.0, 0.5)),
    )
    things = []
    for side in (-1, 1):
        for paint, most, (near, far), size, (inset, spread) in kinds:
            for _ in range(rng.randint(most + 1)):
                x = scene.kerbs[side > 0] + side * (
                    inset + spread * rng.random_sample()
                )
                things.append((paint, x, rng.uniform(near, far), *size))
    return things


def _road_things(scene, rng):
    left, right = scene.kerbs
    things = []
    for _ in range(rng.randint(1, 4)):
        x = (left + 1.2, right - 1.1, left + 1.0, right - 1.3)[rng.randint(4)]
        things.append((_car_from_behind, x, rng.uniform(5, 11), 2.6, 1.6))
    if rng.random_sample() < 0.3:
        things.append(
            (_car_from_the_side, rng.uniform(-6, 5), rng.uniform(7, 12), 2.4, 1.6)
        )
    for _ in range(rng.randint(3)):
        things.append(
            (_person, rng.uniform(left, right), rng.uniform(3.6, 6.2), 0.6, 2)
        )
    return things


def _tree(patch, rng):
    x, y = patch.x, patch.y
    bark = _material(rng, _BRICK, _DARK_GREY, _GREY) * 0.7
    trunk = patch.at_least(rng.uniform(0.13, 0.22), 1.2)
    middle, wide, tall = rng.uniform((3.3, 1.2, 1.2), (4.4, 2.1, 1.9))
    patch.shadow(1.2)
    patch.fill((np.abs(x) < trunk) & (y > 0) & (y < middle), bark, TREE)
    noise = _texture(rng, patch.label.shape, 8) + _texture(rng, patch.label.shape, 2)
    across, up = x / np.float32(wide), (y - middle) / np.float32(tall)
    crown = across**2 + up**2 + 0.3 * noise < 1
    leaf = _material(rng, _GREEN, _OLIVE, _OLIVE, _OCHRE, _BRICK)
    shade = 0.9 + 0.22 * up + 0.35 * _texture(rng, patch.label.shape, 2)
    patch.fill(crown, leaf * shade[..., None], TREE)


def _lamp(patch, rng):
    x, y = patch.x, patch.y
    metal = _material(rng, _DARK_GREY, _BLACK, _GREEN, _GREY)
    half = patch.at_least(0.1, 1.5)
    top = rng.uniform(4.2, 5.6)
    patch.fill((np.abs(x) < half) & (y > 0) & (y < top), metal, POLE)
    inwards = -np.sign(np.float32(patch.offset)) * x
    arm = (inwards > 0) & (inwards < 1.7) & (np.abs(y - top) < half)
    patch.fill(arm, metal, POLE)
    head = (inwards > 1) & (inwards < 1.9) & (np.abs(y - top) < 1.5 * half)
    patch.fill(head, metal * 0.7, POLE)


def _sign_post(patch, rng):
    x, y = patch.x, patch.y
    half, reach = patch.at_least(0.09, 1.5), patch.at_least(rng.uniform(0.48, 0.65), 5)
    middle = rng.uniform(2.3, 2.8)
    metal = _material(rng, _DARK_GREY, _BLACK, _GREY)
    patch.fill((np.abs(x) < half) & (y > 0) & (y < middle), metal, POLE)
    across, up = np.abs(x) / np.float32(reach), (y - middle) / np.float32(reach)
    distance = (
        np.maximum(across, np.abs(up)),
        across**2 + up**2,
        np.maximum(across + 0.5 * up + 0.5 * across, -up) * 1.25,
    )[rng.randint(3)]
    border, face = _material(rng, _RED, _BLUE, _GREEN, _OCHRE), _material(rng, _WHITE)
    if rng.random_sample() < 0.5:
        border, face = face, border
    patch.fill(distance < 1, border, SIGN)
    patch.fill(distance < 0.5, face, SIGN)
    bar = (across < 0.16) if rng.random_sample() < 0.5 else (np.abs(up) < 0.16)
    patch.fill(bar & (distance < 0.3), border * 0.8, SIGN)


def _person(patch, rng):
    tall = rng.uniform(1.6, 1.9)
    x, y = patch.x / np.float32(tall), patch.y / np.float32(tall)
    top = _material(rng, _RED, _BLUE, _GREEN, _BLACK, _OCHRE, _WHITE)
    trousers = _material(rng, _BLACK, _BLUE, _DARK_GREY)
    skin = _material(rng, _SAND, _SAND, _BRICK, _BLACK)
    stride = rng.uniform(0.03, 0.11)
    patch.shadow(0.4)
    leg = np.abs(np.abs(x) - stride * (1 - y / 0.5)) < 0.065
    patch.fill(leg & (y > 0) & (y < 0.5), trousers, PERSON)
    arms = (np.abs(x) < 0.18) & (y > 0.5) & (y < 0.8)
    patch.fill(arms, top * 0.8, PERSON)
    patch.fill((np.abs(x) < 0.13) & (y > 0.44) & (y < 0.85), top, PERSON)
    head = (x / 0.08) ** 2 + ((y - 0.91) / 0.09) ** 2 < 1
    patch.fill(head, skin, PERSON)
    patch.fill(head & (y > 0.94), skin * 0.5, PERSON)


def _bin(patch, rng):
    colour = _material(rng)
    patch.shadow(0.5)
    body = (np.abs(patch.x) < 0.26 + 0.06 * patch.y) & (patch.y > 0) & (patch.y < 1)
    patch.fill(body, colour, labels.IGNORE)
    patch.fill(body & (patch.y > 0.86), colour * 0.7, labels.IGNORE)


def _car_from_behind(patch, rng):
    x, y = patch.x, patch.y
    paint, glass = _material(rng), _material(rng, _BLACK, _BLUE, _DARK_GREY)
    patch.shadow(1.15)
    _paint_flank(patch, paint, glass)
    wheels = (np.abs(np.abs(x) - 0.68) < 0.16) & (y > 0) & (y < 0.35)
    patch.fill(wheels, MATERIALS[_BLACK] * 0.7, CAR)
    cabin = 0.8 - 0.35 * (y - 0.85)
    body = (np.abs(x) < 0.9) & (y > 0.2) & (y < 0.9)
    body |= (np.abs(x) < cabin) & (y >= 0.9) & (y < 1.45)
    patch.fill(body, paint, CAR)
    patch.fill(body & (y < 0.4), paint * 0.5, CAR)
    pane = (np.abs(x) < cabin - 0.13) & (y > 0.92) & (y < 1.32)
    patch.fill(pane, glass, CAR)
    lights = (np.abs(np.abs(x) - 0.73) < 0.14) & (np.abs(y - 0.72) < 0.1)
    lamp = MATERIALS[_RED] if patch.offset > -0.5 else MATERIALS[_WHITE]
    patch.fill(lights, lamp + 25, CAR)
    plate = (np.abs(x) < 0.24) & (np.abs(y - 0.52) < 0.07)
    patch.fill(plate, MATERIALS[_WHITE], CAR)


def _paint_flank(patch, paint, glass):
    """The side of the car that turns to the camera, four metres deep."""
    far = patch.z / (patch.z + 3.6)  # how much smaller its front end is
    inner = -0.9 if patch.offset > 0 else 0.9
    reach = (patch.offset + inner) * far - patch.offset - inner
    if reach * inner <= 0:
        return
    t = (patch.x - inner) / np.float32(reach)

    def height(metres):
        return metres + t * ((metres - patch.eye) * far + patch.eye - metres)

    side = (t >= 0) & (t < 1)
    cabin = side & (t > 0.08) & (t < 0.7)
    y = patch.y
    body = side & (y > height(0.2)) & (y < height(0.9))
    patch.fill(body | (cabin & (y > 0.5) & (y < height(1.4))), paint * 0.75, CAR)
    patch.fill(cabin & (y > height(0.95)) & (y < height(1.3)), glass, CAR)
    wheel = (np.abs(t - 0.2) < 0.1) | (np.abs(t - 0.78) < 0.08)
    wheel = side & wheel & (y > height(0)) & (y < height(0.5))
    patch.fill(wheel, MATERIALS[_BLACK] * 0.7, CAR)


def _car_from_the_side(patch, rng):
    x, y = patch.x, patch.y
    paint, glass = _material(rng), _material(rng, _BLACK, _BLUE, _DARK_GREY)
    patch.shadow(2.2)
    slope = 0.9 * (y - 0.9)
    body = (np.abs(x) < 2.1) & (y > 0.25) & (y < 0.9)
    body |= (np.abs(x + 0.15) < 1.35 - slope) & (y >= 0.9) & (y < 1.45)
    patch.fill(body, paint, CAR)
    patch.fill(body & (y < 0.42), paint * 0.6, CAR)
    panes = (np.abs(x + 0.15) < 1.15 - slope) & (np.abs(x) > 0.07)
    patch.fill(panes & (y > 0.93) & (y < 1.32), glass, CAR)
    from_hub = (np.abs(x) - 1.3) ** 2 + (y - 0.34) ** 2
    patch.fill(from_hub < 0.36**2, MATERIALS[_BLACK] * 0.7, CAR)
    patch.fill(from_hub < 0.17**2, MATERIALS[_GREY], CAR)


def _paint_bonnet(scene, rng):
    """The camera's own car at the bottom edge, which has no class."""
    height, width = scene.label.shape
    paint, depth = _material(rng), rng.uniform(-0.02, 0.09) * height
    across = (np.arange(width, dtype=np.float32) + 0.5) / width * 2 - 1
    edge = np.float32(depth) * (1 - across**2 * np.float32(0.8))
    rows = slice(height - int(0.1 * height), height)
    inside = edge - (height - np.arange(height, dtype=np.float32))[rows, None]  # [h, W]
    gleam = np.where(inside < 2 * scene.pixel, np.float32(1.15), np.float32(0.8))
    np.copyto(scene.image[rows], paint * gleam[..., None], where=inside[..., None] > 0)
    np.copyto(scene.label[rows], labels.IGNORE, where=inside > 0)


def _develop(image, rng):
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
