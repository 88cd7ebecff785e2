"""What stands on a street, each painted on the patch around it: `paint_things`."""

from typing import Any

import numpy as np

from jaxseg.data import labels
from jaxseg.data.scene_canvas import (
    BLACK,
    BLUE,
    BRICK,
    CAR,
    DARK_GREY,
    GREEN,
    GREY,
    MATERIALS,
    OCHRE,
    OLIVE,
    PERSON,
    POLE,
    RED,
    SAND,
    SIGN,
    TREE,
    WHITE,
    Patch,
    Scene,
    material,
    texture,
)


def paint_things(scene: Scene, things, rng: np.random.RandomState) -> None:
    """Things (painter, X, Z, reach to either side, height) from far to near."""
    for paint, x, z, reach, tall in sorted(things, key=lambda thing: -thing[2]):
        patch = Patch(scene, x, z, reach, tall)
        if not patch.is_empty:
            paint(patch, rng)


def pavement_things(scene: Scene, rng: np.random.RandomState) -> list[Any]:
    """Trees, lamps, signs, people and bins for both pavements."""
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


def road_things(scene: Scene, rng: np.random.RandomState) -> list[Any]:
    """Cars, from behind or from the side, and people who cross."""
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


def _tree(patch: Patch, rng: np.random.RandomState) -> None:
    x, y = patch.x, patch.y
    bark = material(rng, BRICK, DARK_GREY, GREY) * 0.7
    trunk = patch.at_least(rng.uniform(0.13, 0.22), 1.2)
    middle, wide, tall = rng.uniform((3.3, 1.2, 1.2), (4.4, 2.1, 1.9))
    patch.shadow(1.2)
    patch.fill((np.abs(x) < trunk) & (y > 0) & (y < middle), bark, TREE)
    noise = texture(rng, patch.label.shape, 8) + texture(rng, patch.label.shape, 2)
    across, up = x / np.float32(wide), (y - middle) / np.float32(tall)
    crown = across**2 + up**2 + 0.3 * noise < 1
    leaf = material(rng, GREEN, OLIVE, OLIVE, OCHRE, BRICK)
    shade = 0.9 + 0.22 * up + 0.35 * texture(rng, patch.label.shape, 2)
    patch.fill(crown, leaf * shade[..., None], TREE)


def _lamp(patch: Patch, rng: np.random.RandomState) -> None:
    x, y = patch.x, patch.y
    metal = material(rng, DARK_GREY, BLACK, GREEN, GREY)
    half = patch.at_least(0.1, 1.5)
    top = rng.uniform(4.2, 5.6)
    patch.fill((np.abs(x) < half) & (y > 0) & (y < top), metal, POLE)
    inwards = -np.sign(np.float32(patch.offset)) * x
    arm = (inwards > 0) & (inwards < 1.7) & (np.abs(y - top) < half)
    patch.fill(arm, metal, POLE)
    head = (inwards > 1) & (inwards < 1.9) & (np.abs(y - top) < 1.5 * half)
    patch.fill(head, metal * 0.7, POLE)


def _sign_post(patch: Patch, rng: np.random.RandomState) -> None:
    x, y = patch.x, patch.y
    half, reach = patch.at_least(0.09, 1.5), patch.at_least(rng.uniform(0.48, 0.65), 5)
    middle = rng.uniform(2.3, 2.8)
    metal = material(rng, DARK_GREY, BLACK, GREY)
    patch.fill((np.abs(x) < half) & (y > 0) & (y < middle), metal, POLE)
    across, up = np.abs(x) / np.float32(reach), (y - middle) / np.float32(reach)
    distance = (
        np.maximum(across, np.abs(up)),
        across**2 + up**2,
        np.maximum(across + 0.5 * up + 0.5 * across, -up) * 1.25,
    )[rng.randint(3)]
    border, face = material(rng, RED, BLUE, GREEN, OCHRE), material(rng, WHITE)
    if rng.random_sample() < 0.5:
        border, face = face, border
    patch.fill(distance < 1, border, SIGN)
    patch.fill(distance < 0.5, face, SIGN)
    bar = (across < 0.16) if rng.random_sample() < 0.5 else (np.abs(up) < 0.16)
    patch.fill(bar & (distance < 0.3), border * 0.8, SIGN)


def _person(patch: Patch, rng: np.random.RandomState) -> None:
    tall = rng.uniform(1.6, 1.9)
    x, y = patch.x / np.float32(tall), patch.y / np.float32(tall)
    top = material(rng, RED, BLUE, GREEN, BLACK, OCHRE, WHITE)
    trousers = material(rng, BLACK, BLUE, DARK_GREY)
    skin = material(rng, SAND, SAND, BRICK, BLACK)
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


def _bin(patch: Patch, rng: np.random.RandomState) -> None:
    colour = material(rng)
    patch.shadow(0.5)
    body = (np.abs(patch.x) < 0.26 + 0.06 * patch.y) & (patch.y > 0) & (patch.y < 1)
    patch.fill(body, colour, labels.IGNORE)
    patch.fill(body & (patch.y > 0.86), colour * 0.7, labels.IGNORE)


def _car_from_behind(patch: Patch, rng: np.random.RandomState) -> None:
    x, y = patch.x, patch.y
    paint, glass = material(rng), material(rng, BLACK, BLUE, DARK_GREY)
    patch.shadow(1.15)
    _paint_flank(patch, paint, glass)
    wheels = (np.abs(np.abs(x) - 0.68) < 0.16) & (y > 0) & (y < 0.35)
    patch.fill(wheels, MATERIALS[BLACK] * 0.7, CAR)
    cabin = 0.8 - 0.35 * (y - 0.85)
    body = (np.abs(x) < 0.9) & (y > 0.2) & (y < 0.9)
    body |= (np.abs(x) < cabin) & (y >= 0.9) & (y < 1.45)
    patch.fill(body, paint, CAR)
    patch.fill(body & (y < 0.4), paint * 0.5, CAR)
    pane = (np.abs(x) < cabin - 0.13) & (y > 0.92) & (y < 1.32)
    patch.fill(pane, glass, CAR)
    lights = (np.abs(np.abs(x) - 0.73) < 0.14) & (np.abs(y - 0.72) < 0.1)
    lamp = MATERIALS[RED] if patch.offset > -0.5 else MATERIALS[WHITE]
    patch.fill(lights, lamp + 25, CAR)
    plate = (np.abs(x) < 0.24) & (np.abs(y - 0.52) < 0.07)
    patch.fill(plate, MATERIALS[WHITE], CAR)


def _paint_flank(patch: Patch, paint, glass) -> None:
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
    patch.fill(wheel, MATERIALS[BLACK] * 0.7, CAR)


def _car_from_the_side(patch: Patch, rng: np.random.RandomState) -> None:
    x, y = patch.x, patch.y
    paint, glass = material(rng), material(rng, BLACK, BLUE, DARK_GREY)
    patch.shadow(2.2)
    slope = 0.9 * (y - 0.9)
    body = (np.abs(x) < 2.1) & (y > 0.25) & (y < 0.9)
    body |= (np.abs(x + 0.15) < 1.35 - slope) & (y >= 0.9) & (y < 1.45)
    patch.fill(body, paint, CAR)
    patch.fill(body & (y < 0.42), paint * 0.6, CAR)
    panes = (np.abs(x + 0.15) < 1.15 - slope) & (np.abs(x) > 0.07)
    patch.fill(panes & (y > 0.93) & (y < 1.32), glass, CAR)
    from_hub = (np.abs(x) - 1.3) ** 2 + (y - 0.34) ** 2
    patch.fill(from_hub < 0.36**2, MATERIALS[BLACK] * 0.7, CAR)
    patch.fill(from_hub < 0.17**2, MATERIALS[GREY], CAR)
