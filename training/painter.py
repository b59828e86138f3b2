"""The batched renderer: the same pictures as the numpy one, on whatever device the plan lies."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from infinipot_v.pocket.build import PREPROCESSOR
from infinipot_v.pocket.lexicon import SIZES
from infinipot_v.pocket.plan import SLOTS
from infinipot_v.pocket.sprites import CANVAS, atlas
from infinipot_v.pocket.textures import PICTURE, TILE, bank, plate


class Paint(NamedTuple):
    """The fixed material, on the device: the atlas, the texture bank and the plate, flat."""

    alpha: Tensor
    shade: Tensor
    bank: Tensor
    plate_alpha: Tensor
    plate_grey: Tensor


class Sheets(NamedTuple):
    """A plan's arrays as tensors, under the names of infinipot_v.pocket.plan.Plan."""

    texture: Tensor
    offset: Tensor
    dark: Tensor
    light: Tensor
    gain: Tensor
    shape: Tensor
    size: Tensor
    corner: Tensor
    rgb: Tensor


def paint_on(device: torch.device) -> Paint:
    """Bring the material to a device."""
    alpha, grey = plate()
    parts = (atlas().alpha.ravel(), atlas().shade.ravel(), bank().ravel(), alpha, grey)
    return Paint(*(torch.from_numpy(part).to(device) for part in parts))


def clean_frames(plan: Sheets, paint: Paint) -> Tensor:
    """Frames without noise, float32 [F, 3, 112, 112] in 0..255."""
    axis = torch.arange(PICTURE, device=paint.bank.device)
    picture = _background(plan, paint, axis)
    for slot in range(SLOTS):
        alpha, shade = _sprite(plan, paint, axis, slot)
        colour = shade[:, None] * plan.rgb[:, slot, :, None, None]
        picture = picture + alpha[:, None] * (colour - picture)
    picture = picture * plan.gain[:, None, None, None]
    return picture + paint.plate_alpha * (paint.plate_grey - picture)


def _background(plan: Sheets, paint: Paint, axis: Tensor) -> Tensor:
    down, right = plan.offset[:, 0, None, None].int(), plan.offset[:, 1, None, None].int()
    rows, columns = (axis[:, None] + down) % TILE, (axis + right) % TILE
    grain = paint.bank[(plan.texture[:, None, None].int() * TILE + rows) * TILE + columns]
    dark, light = plan.dark[:, :, None, None], plan.light[:, :, None, None]
    return dark + (light - dark) * grain[:, None]


def _sprite(plan: Sheets, paint: Paint, axis: Tensor, slot: int) -> tuple[Tensor, Tensor]:
    """Alpha and shade of a slot at every pixel, float32 [F, 112, 112]."""
    y = axis[:, None] - plan.corner[:, slot, 0, None, None].int()
    x = axis - plan.corner[:, slot, 1, None, None].int()
    shape = plan.shape[:, slot, None, None].int()
    inside = (y >= 0) & (y < CANVAS) & (x >= 0) & (x < CANVAS) & (shape >= 0)
    sheet = shape * len(SIZES) + plan.size[:, slot, None, None].int()
    index = torch.where(inside, (sheet * CANVAS + y) * CANVAS + x, 0)
    return paint.alpha[index] * inside, paint.shade[index]


def worn(frames: Tensor, samples: int, noise: Tensor) -> Tensor:
    """What lenses and video codecs do: blur, block noise, gain, sensor noise, rounding.

    frames: [samples * n, 3, 112, 112]; noise: sigma per sample [samples]. All random, per sample.
    """
    per = frames.shape[0] // samples
    each = (samples, 1, 1, 1, 1)
    random = torch.rand((4, *each), device=frames.device)
    picture = frames.view(samples, per, *frames.shape[1:])
    blurred = _blurred(frames).view_as(picture)
    picture = picture + (random[0] * 1.3 - 0.3).clamp(min=0) * (blurred - picture)
    coarse = torch.randn((samples * per, 3, 14, 14), device=frames.device)
    coarse = coarse.repeat_interleave(8, -1).repeat_interleave(8, -2).view_as(picture)
    grain = torch.randn_like(picture) * noise.view(each) * random[3]
    picture = picture + coarse * random[1] * 2.5 + grain
    return (picture * (0.95 + 0.1 * random[2])).round().clamp(0, 255).view_as(frames)


def _blurred(frames: Tensor) -> Tensor:
    """A 3 x 3 binomial blur."""
    padded = torch.nn.functional.pad(frames, (1, 1, 1, 1), mode="replicate")
    rows = padded[..., :-2, :] + 2 * padded[..., 1:-1, :] + padded[..., 2:, :]
    return (rows[..., :-2] + 2 * rows[..., 1:-1] + rows[..., 2:]) / 16


def patches(frames: Tensor) -> Tensor:
    """Normalise and cut as Qwen2-VL's processor does: [F, 3, 112, 112] in 0..255 to
    [F / 2, 64, 1176], the 64 patches of a step in merge order, each (colour, time, y, x)."""
    mean = torch.tensor(PREPROCESSOR["image_mean"], device=frames.device).view(3, 1, 1)
    std = torch.tensor(PREPROCESSOR["image_std"], device=frames.device).view(3, 1, 1)
    scaled = (frames / 255 - mean) / std
    cut = scaled.view(-1, 2, 3, 4, 2, 14, 4, 2, 14)  # step, time, colour, gh, mh, y, gw, mw, x
    return cut.permute(0, 3, 6, 4, 7, 2, 1, 5, 8).reshape(-1, 64, 1176)
