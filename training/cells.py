"""What a helper head should read from every token cell while the vision tower learns to see."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from infinipot_v.pocket.scene import FRAMES_PER_STEP, Scene, Thing
from infinipot_v.pocket.textures import CELL, PICTURE

GRID = PICTURE // CELL
NONE = 0
UNSURE = -100


def labels_of(scene: Scene) -> NDArray[np.int16]:
    """int16 [steps, 16, 2]: 1 + kind and 1 + colour of the thing centred in a cell, 0 where the
    cell is bare, -100 where a thing only reaches into it or was seen in one of the two frames."""
    steps = scene.frames // FRAMES_PER_STEP
    labels = np.zeros((steps, GRID, GRID, 2), np.int16)
    for thing in scene.things:
        for step in range(thing.first // 2, (thing.last + 1) // 2):
            _cover(labels[step], thing, step * FRAMES_PER_STEP + 1)
    for thing in scene.things:
        for step in range((thing.first + 1) // 2, thing.last // 2):
            x, y = thing.path.centre(step * FRAMES_PER_STEP + 1)
            labels[step, int(y // CELL), int(x // CELL)] = 1 + thing.kind, 1 + thing.colour
    return labels.reshape(steps, GRID * GRID, 2)


def _cover(cells: NDArray[np.int16], thing: Thing, frame: int) -> None:
    x, y = thing.path.centre(frame)
    half = thing.size / 2 + 1
    rows = slice(max(0, int((y - half) // CELL)), int((y + half) // CELL) + 1)
    columns = slice(max(0, int((x - half) // CELL)), int((x + half) // CELL) + 1)
    cells[rows, columns] = UNSURE
