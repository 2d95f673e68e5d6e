"""The twins of NYUv2 and Cityscapes: rendered rooms and streets whose classes, depths and normals agree.

A picture is cast ray by ray into an enclosure (a room, or a street with a sky) and a few upright boxes in it, seen by a
camera that is turned about the vertical axis. All of it is planes, so that depth along the camera's axis, the normal in
the camera's axes (x right, y down, z away; towards the camera) and the class of every pixel follow from one hit. Every
class has colours of its own, dimmed by the angle to a light and by distance, with noise.

Only sums, products, quotients and square roots of random words are taken: they are the same to the bit on every
machine, so that the arrays can be pinned. These are no real pictures, and no number on them is one of those data sets.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float64, Int64

_FAR = 1e9


@dataclass(frozen=True)
class World:
    """What there is to see.

    Attributes:
        classes: number of them.
        walls: classes of the left, right, front, floor and ceiling side of the enclosure.
        room: half width, length and height of the enclosure, least and most, in metres.
        boxes: class -> least and most of half width, height and half depth.
        openings: classes of patches on the front wall.
        sky: whether the front and the ceiling are infinitely far: without depth.
    """

    classes: int
    walls: tuple[int, int, int, int, int]
    room: tuple[tuple[float, float], tuple[float, float], tuple[float, float]]
    boxes: Mapping[int, tuple[tuple[float, float], tuple[float, float], tuple[float, float]]]
    openings: tuple[int, ...] = ()
    sky: bool = False


WORLDS = {
    # NYU's 13: bed, books, ceiling, chair, floor, furniture, objects, picture, sofa, table, tv, wall, window
    "nyuv2": World(
        13, (11, 11, 11, 4, 2), ((1.5, 3.0), (3.5, 7.0), (2.4, 3.0)),
        {
            0: ((0.7, 1.0), (0.4, 0.6), (0.8, 1.1)), 1: ((0.1, 0.2), (0.2, 0.4), (0.1, 0.2)),
            3: ((0.2, 0.3), (0.8, 1.0), (0.2, 0.3)), 5: ((0.4, 0.8), (1.2, 2.0), (0.3, 0.5)),
            6: ((0.1, 0.3), (0.1, 0.5), (0.1, 0.3)), 8: ((0.6, 1.0), (0.6, 0.9), (0.4, 0.5)),
            9: ((0.4, 0.8), (0.6, 0.8), (0.4, 0.8)), 10: ((0.4, 0.6), (0.7, 1.3), (0.1, 0.2)),
        },
        openings=(7, 12),
    ),
    # flat, construction, object, nature, sky, human, vehicle
    "cityscapes": World(
        7, (1, 1, 4, 0, 4), ((6.0, 12.0), (40.0, 80.0), (8.0, 15.0)),
        {
            2: ((0.05, 0.15), (2.5, 5.0), (0.05, 0.15)), 3: ((0.8, 2.0), (2.5, 7.0), (0.8, 2.0)),
            5: ((0.2, 0.3), (1.6, 1.9), (0.2, 0.3)), 6: ((0.8, 1.0), (1.4, 1.9), (1.8, 2.5)),
        },
        sky=True,
    ),
}  # fmt: skip


class _Draws:
    """Numbers from words of the bit generator, which numpy promises never to change."""

    def __init__(self, seed: int) -> None:
        self._words = np.random.Philox(seed)

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        return low + (high - low) * ((int(self._words.random_raw()) >> 11) * 2.0**-53)

    def whole(self, count: int) -> int:
        return int(self.uniform(0.0, float(count)))

    def field(self, *shape: int) -> Float64[np.ndarray, "..."]:
        return (self._words.random_raw(int(np.prod(shape))) >> np.uint64(11)).reshape(shape) * 2.0**-53


def render(
    scene: Literal["nyuv2", "cityscapes"], height: int, width: int, train: int, val: int, test: int, seed: int
) -> dict[str, np.ndarray]:
    """`<split>_images` (bytes), `_segmentation`, `_depth` and, of rooms, `_normal`: what the loader makes of real data.

    Args:
        scene: which data set it is the twin of.
        height: of a picture.
        width: of a picture.
        train: number of pictures, as `val` and `test`.
        val: likewise.
        test: likewise.
        seed: of everything.
    """
    draws, world, found = _Draws(seed), WORLDS[scene], dict[str, np.ndarray]()
    colours = draws.field(world.classes, 3) * 0.7 + 0.2
    for split, count in (("train", train), ("val", val), ("test", test)):
        shots = [picture(world, height, width, colours, draws) for _ in range(count)]
        for name in shots[0]:
            if name != "normal" or scene == "nyuv2":
                found[f"{split}_{name}"] = np.stack([shot[name] for shot in shots])
    return found


def picture(
    world: World, height: int, width: int, colours: Float64[np.ndarray, "classes 3"], draws: _Draws
) -> dict[str, np.ndarray]:
    """One picture and its maps."""
    t = draws.uniform(-0.3, 0.3)  # tangent of half the angle that the camera is turned by
    cos, sin = (1 - t * t) / (1 + t * t), 2 * t / (1 + t * t)
    across = (np.arange(width) + 0.5 - width / 2) / (0.6 * width)
    down = (np.arange(height) + 0.5 - height / 2) / (0.6 * width)
    x, y = np.broadcast_to(across, (height, width)), np.broadcast_to(down[:, None], (height, width))
    rays = np.stack([cos * x + sin, y, cos - sin * x], axis=-1)  # in the world's axes; 1 along the camera's
    depth, face, label = _cast(world, rays, draws)
    camera = np.stack(
        [cos * face[..., 0] - sin * face[..., 2], face[..., 1], sin * face[..., 0] + cos * face[..., 2]], -1
    )
    light = np.array([draws.uniform(-1.0, 1.0), -1.0, draws.uniform(-1.0, 0.0)])
    light = light / np.sqrt((light * light).sum())
    lit = np.maximum((face * light).sum(axis=-1), 0.0) * 0.5 + 0.5
    far = 1.0 / (1.0 + np.minimum(depth, 100.0) / (20.0 if not world.sky else 60.0))
    shade = (lit * far)[..., None] * (0.8 + 0.4 * draws.field(world.classes, 3))[label] * colours[label]
    noisy = np.clip(shade + 0.08 * (draws.field(height, width, 3) - 0.5), 0.0, 1.0)
    known = depth < _FAR
    shown = np.where(known, 1.0 / np.maximum(depth, 0.1) if world.sky else depth, 0.0)
    return {
        "images": np.rint(noisy * 255.0).astype(np.uint8),
        "segmentation": label.astype(np.int8),
        "depth": shown[..., None].astype(np.float32),
        "normal": np.where(known[..., None], camera, 0.0).astype(np.float32),
    }


def _cast(
    world: World, rays: Float64[np.ndarray, "height width 3"], draws: _Draws
) -> tuple[
    Float64[np.ndarray, "height width"], Float64[np.ndarray, "height width 3"], Int64[np.ndarray, "height width"]
]:
    """Depth, normal in the world's axes and class of what each ray meets first; the camera stands at the origin."""
    half, length, tall = (draws.uniform(*bounds) for bounds in world.room)
    eye = min(draws.uniform(1.2, 1.7), tall - 0.5)
    low, high = np.array([-half, eye - tall, -1.0]), np.array([half, eye, length])
    with np.errstate(divide="ignore"):
        ends = np.where(rays > 0, high / rays, np.where(rays < 0, low / rays, _FAR))
    axis = ends.argmin(axis=-1)
    depth = ends.min(axis=-1)
    ahead = np.take_along_axis(rays, axis[..., None], -1)[..., 0] > 0
    face = np.where(np.arange(3) == axis[..., None], np.where(ahead, -1.0, 1.0)[..., None], 0.0)
    left, right, front, floor, ceiling = world.walls
    label = np.choose(axis, [np.where(ahead, right, left), np.where(ahead, floor, ceiling), np.full(axis.shape, front)])
    for patch in world.openings:
        middle, above, wide = draws.uniform(-half, half), draws.uniform(-0.6, 0.2), draws.uniform(0.3, 0.8)
        spot = rays * depth[..., None]
        inside = (np.abs(spot[..., 0] - middle) < wide) & (np.abs(spot[..., 1] - above) < 0.5) & (axis == 2)
        label = np.where(inside, patch, label)
    if world.sky:
        depth = np.where(label == front, _FAR, depth)
    kinds = list(world.boxes)
    for _ in range(6):
        kind = kinds[draws.whole(len(kinds))]
        wide, high_, deep = (draws.uniform(*bounds) for bounds in world.boxes[kind])
        x, z = draws.uniform(-half + wide, half - wide), draws.uniform(1.2 + deep, max(1.3 + deep, 0.7 * length - deep))
        near, side = _box(rays, np.array([x - wide, eye - high_, z - deep]), np.array([x + wide, eye, z + deep]))
        first = near < depth
        depth, label = np.where(first, near, depth), np.where(first, kind, label)
        face = np.where(first[..., None], side, face)
    return depth, face, label


def _box(
    rays: Float64[np.ndarray, "height width 3"], low: Float64[np.ndarray, "3"], high: Float64[np.ndarray, "3"]
) -> tuple[Float64[np.ndarray, "height width"], Float64[np.ndarray, "height width 3"]]:
    """How far along each ray a box begins, and the normal there; `_FAR` where it is missed."""
    safe = np.where(np.abs(rays) < 1e-9, 1e-9, rays)
    one, other = low / safe, high / safe
    enter, leave = np.minimum(one, other), np.maximum(one, other)
    begin = enter.max(axis=-1)
    met = (begin < leave.min(axis=-1)) & (begin > 0)
    axis = enter.argmax(axis=-1)
    side = np.where(np.arange(3) == axis[..., None], np.where(safe > 0, -1.0, 1.0), 0.0)
    return np.where(met, begin, _FAR), side
