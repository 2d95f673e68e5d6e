"""What is seen in the pictures of each data set, and which maps are predicted of it."""

from collections.abc import Mapping
from dataclasses import dataclass

from gradsurgery.dense.geometry import Depth, Normals
from gradsurgery.dense.labels import Boundary, Distance, Segmentation
from gradsurgery.dense.tasks import Task

LIMIT, UNIT = 20.0, 0.1  # pixels: largest distance from a boundary, and the unit in which it is stored


@dataclass(frozen=True)
class Scene:
    """One kind of picture.

    Attributes:
        tasks: by name, in the order of the network's outputs; the array of one is `<split>_<task>`.
        zooms: whether the maps may be zoomed: a distance in pixels may not, as it reaches out of the picture.
    """

    tasks: Mapping[str, Task]
    zooms: bool = True


SCENES = {
    "camvid": Scene(
        {"segmentation": Segmentation(11), "boundary": Boundary(), "distance": Distance(LIMIT, UNIT)}, zooms=False
    ),
    "nyuv2": Scene({"segmentation": Segmentation(13), "depth": Depth(), "normal": Normals()}),
    "cityscapes": Scene({"segmentation": Segmentation(7), "depth": Depth()}),
}
