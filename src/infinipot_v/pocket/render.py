"""From a plan to pictures: the background, what stands before it, the light, the plate, the noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from infinipot_v.pocket.lexicon import SIZES
from infinipot_v.pocket.plan import SLOTS, Plan
from infinipot_v.pocket.sprites import atlas
from infinipot_v.pocket.textures import PICTURE, TILE, bank, plate

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]
SCALE = 2  # the camera's pixels for one pixel of the world, so that video chroma loses nothing


def clean_frame(plan: Plan, frame: int) -> Floats:
    """One frame without noise, float32 [112, 112, 3] in 0..255."""
    picture = _background(plan, frame)
    for slot in range(SLOTS):
        if plan.shape[frame, slot] >= 0:
            _stamp(picture, plan, frame, slot)
    picture *= plan.gain[frame]
    alpha, grey = plate()
    picture += alpha[..., None] * (grey[..., None] - picture)
    return picture


def _background(plan: Plan, frame: int) -> Floats:
    down, right = plan.offset[frame]
    rows = (np.arange(PICTURE) + down) % TILE
    columns = (np.arange(PICTURE) + right) % TILE
    grain = bank()[plan.texture[frame]][np.ix_(rows, columns)][..., None]
    return np.asarray(plan.dark[frame] + (plan.light[frame] - plan.dark[frame]) * grain)


def _stamp(picture: Floats, plan: Plan, frame: int, slot: int) -> None:
    """Paint a slot's sprite in place, clipped at the picture's edge."""
    shape, index = plan.shape[frame, slot], plan.size[frame, slot]
    size = SIZES[index]
    top, left = (int(c) for c in plan.corner[frame, slot])
    y0, x0 = max(top, 0), max(left, 0)
    y1, x1 = min(top + size, PICTURE), min(left + size, PICTURE)
    if y0 >= y1 or x0 >= x1:
        return
    window = (shape, index, slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))
    alpha = atlas().alpha[window][..., None]
    shade = atlas().shade[window][..., None]
    patch = picture[y0:y1, x0:x1]
    patch += alpha * (shade * plan.rgb[frame, slot] - patch)


def noisy(picture: Floats, sigma: float, seed: int, frame: int) -> Bytes:
    """Add the sensor's noise and round: uint8 [112, 112, 3]. The noise is fixed by seed and frame."""
    random = np.random.RandomState([seed % 2**32, seed >> 32, frame])
    grain = random.standard_normal(picture.shape) * sigma
    return np.clip(np.floor(picture + grain + 0.5), 0, 255).astype(np.uint8)


def enlarged(picture: Bytes) -> Bytes:
    """The picture as the camera hands it out: uint8 [224, 224, 3]."""
    side = PICTURE * SCALE
    return np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.BICUBIC))
