"""What streets are drawn on and of: camera, canvas, materials, textures."""

import dataclasses
import functools

import numpy as np

SKY, BUILDING, ROAD, PAVEMENT, TREE, FENCE, POLE, SIGN, CAR, PERSON = range(10)
# What things are made of [M, 3]; no class has a colour of its own.
MATERIALS = np.array(
    [
        *((200, 196, 188), (150, 150, 152), (92, 94, 98), (226, 224, 218)),
        *((150, 78, 62), (206, 182, 140), (190, 140, 52), (160, 52, 48)),
        *((70, 98, 140), (40, 46, 58), (66, 92, 56), (116, 132, 84)),
    ],
    np.float32,
)
LIGHT_GREY, GREY, DARK_GREY, WHITE, BRICK, SAND, OCHRE, RED = range(8)
BLUE, BLACK, GREEN, OLIVE = range(8, 12)
# Sky colours at the top of the picture and at the horizon.
SKIES = np.array(
    [
        *(((86, 140, 205), (196, 214, 232)), ((120, 160, 200), (222, 222, 214))),
        *(((168, 172, 178), (206, 206, 204)), ((112, 116, 124), (158, 158, 158))),
        *(((92, 98, 140), (226, 168, 124)), ((150, 140, 150), (214, 186, 150))),
    ],
    np.float32,
)


@dataclasses.dataclass
class Scene:
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
    def plan(cls, rng: np.random.RandomState, height: int, width: int) -> "Scene":
        """Chooses where the camera stands, the road, the sun and the sky."""
        horizon = height * rng.uniform(0.38, 0.48)
        vanishing = width * rng.uniform(0.36, 0.64)
        kerbs = (-rng.uniform(3.2, 5.2), rng.uniform(1.9, 3.0))
        walls = (kerbs[0] - rng.uniform(2, 4), kerbs[1] + rng.uniform(2, 4))
        sky = SKIES[rng.randint(len(SKIES))]
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
            sky=sky + vary(rng, 10),
        )

    @property
    def pixel(self) -> float:
        """Of a picture 96 pixels high, in pixels: what is thin keeps its share."""
        return self.focal / 72


class Patch:
    """The part of the canvas around a thing; x, y in metres from where it stands."""

    def __init__(self, scene: Scene, x, z, reach, tall):
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
        """Paints the pixels of a mask, lit from the sun's side and pale afar."""
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


def vary(rng: np.random.RandomState, amount: float) -> np.ndarray:
    """A change of colour [3] by up to so many grey levels either way."""
    return rng.uniform(-amount, amount, 3).astype(np.float32)


def material(rng: np.random.RandomState, *choices: int) -> np.ndarray:
    """A colour [3] of one of the given materials, of all if none is given."""
    return materials(rng, 1, *choices)[0]


def materials(rng: np.random.RandomState, num: int, *choices: int) -> np.ndarray:
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


def texture(
    rng: np.random.RandomState, shape: tuple[int, ...], cell: int
) -> np.ndarray:
    """A window [h, w] at a random place of the noise."""
    rows, columns = (
        (rng.randint(512) + np.arange(size, dtype=np.int32)) % 512 for size in shape
    )
    return _noise(cell)[rows[:, None], columns]


def fraction(x: np.ndarray) -> np.ndarray:
    """What is left of the whole numbers, 0 <= x < 1."""
    return x - np.floor(x)
