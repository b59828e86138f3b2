"""The demo's picture: the stream, every question in time, and who answered it right. Needs no plotting library."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from infinipot_v.evaluate.base import Benchmark, Item
from infinipot_v.evaluate.records import Record

Point = tuple[float, float]
Colour = str | tuple[int, int, int]

SCALE = 2
"""Everything is drawn this much larger and scaled down, which smooths the dots."""
WIDTH, LEFT, RIGHT, ROW, TOP = 1500, 190, 340, 46, 284
STRIP = 8
INK, GREY, PALE, GREEN, RED = "#111827", "#6b7280", "#e5e7eb", "#15803d", "#dc2626"
COLUMNS = ((24, "right"), (120, "tokens"), (215, "memory"))


def draw_postcard(benchmark: Benchmark, records: Sequence[Record], path: Path) -> None:
    """Write a PNG about the first stream of `records`."""
    item = next(item for item in benchmark.items() if item.name == records[0].item)
    policies = list(dict.fromkeys(record.policy for record in records))
    height = TOP + ROW * len(policies) + 110
    image = Image.new("RGB", (WIDTH * SCALE, height * SCALE), "white")
    pen = _Pen(ImageDraw.Draw(image))
    pen.text((24, 14), "One stream, one model, the same questions: what each memory still knows", INK, 27)
    caption = (
        "A column is a question, in the order asked; the darker behind a dot, the longer its answer had been gone."
    )
    pen.text((24, 54), caption, GREY, 17)
    _strip(image, benchmark, item)
    _axis(pen, item, TOP - 8, TOP + ROW * len(policies) + 10)
    for row, policy in enumerate(policies):
        own = [r for r in records if r.policy == policy and r.item == item.name]
        _answers(pen, own, item, TOP + 26 + ROW * row, policy)
    _legend(pen, height - 34)
    image.resize((WIDTH, height), Image.Resampling.LANCZOS).save(path)


class _Pen:
    """Draws in picture coordinates on the larger canvas."""

    def __init__(self, draw: ImageDraw.ImageDraw) -> None:
        self._draw = draw

    def text(self, at: Point, text: str, colour: Colour, size: int, anchor: str | None = None) -> None:
        self._draw.text(_scaled(at), text, colour, ImageFont.load_default(size * SCALE), anchor=anchor)

    def line(self, start: Point, end: Point, colour: Colour, width: int) -> None:
        self._draw.line([_scaled(start), _scaled(end)], colour, width * SCALE)

    def bar(self, at: Point, colour: Colour) -> None:
        self._draw.rectangle([_scaled((at[0] - 7.5, at[1] - 17)), _scaled((at[0] + 7.5, at[1] + 17))], colour)

    def dot(self, at: Point, colour: Colour) -> None:
        self._draw.ellipse([_scaled((at[0] - 6, at[1] - 6)), _scaled((at[0] + 6, at[1] + 6))], colour)


def _scaled(at: Point) -> Point:
    return at[0] * SCALE, at[1] * SCALE


def _x(share: float) -> float:
    """A place between the left end of the rows (0) and their right end (1)."""
    return LEFT + (WIDTH - LEFT - RIGHT) * share


def _column(item: Item, index: int) -> float:
    return _x((index + 0.5) / len(item.questions))


def _strip(image: Image.Image, benchmark: Benchmark, item: Item) -> None:
    """Frames at even times, each with its second."""
    side = (WIDTH - LEFT - RIGHT) // STRIP - 4
    wanted = {int((index + 0.5) * item.seconds / STRIP) for index in range(STRIP)}
    with benchmark.frames(item) as frames:
        for frame in frames:
            if int(frame.seconds) in wanted:
                wanted.discard(int(frame.seconds))
                tile = Image.fromarray(frame.pixels).resize((side * SCALE, side * SCALE))
                middle = _x(frame.seconds / item.seconds)
                left, top = _scaled((middle - side / 2, TOP - 46 - side))
                image.paste(tile, (round(left), round(top)))
                _Pen(ImageDraw.Draw(image)).text((middle, TOP - 40), f"{frame.seconds:.0f} s", GREY, 14, anchor="mt")


def _axis(pen: _Pen, item: Item, top: float, bottom: float) -> None:
    """When each question was asked, below its column."""
    for index, asked in enumerate(item.questions):
        at = item.seconds if asked.at is None else asked.at
        pen.text((_column(item, index), bottom + 6), f"{at:.0f}", GREY, 15, anchor="mt")
    pen.text((24, bottom + 6), "asked at second", GREY, 15)
    for offset, text in COLUMNS:
        pen.text((WIDTH - RIGHT + offset, top - 2), text, GREY, 15, anchor="lm")


def _answers(pen: _Pen, records: Sequence[Record], item: Item, y: float, policy: str) -> None:
    pen.text((24, y), policy, INK, 19, anchor="lm")
    pen.line((LEFT, y), (WIDTH - RIGHT, y), PALE, 2)
    for record in records:
        at, shade = _column(item, record.index), 240 - round(130 * min(1.0, record.delay / 128))
        pen.bar((at, y), (shade, shade, shade + 5))
        pen.dot((at, y), GREEN if record.correct else RED)
    right, held = sum(r.correct for r in records), max(r.held_tokens for r in records)
    memory = max(r.nbytes for r in records) / 2**20
    shown = (f"{right} of {len(records)}", f"{held}", f"{memory:.2f} MiB")
    for (offset, _), text in zip(COLUMNS, shown, strict=True):
        pen.text((WIDTH - RIGHT + offset, y), text, INK, 19, anchor="lm")


def _legend(pen: _Pen, y: float) -> None:
    entries: tuple[tuple[Colour, str], ...] = (
        (GREEN, "right"), (RED, "wrong"), ((235, 235, 240), "visible when asked"), ((110, 110, 115), "gone for 2 min"),
    )  # fmt: skip
    x = float(LEFT)
    for colour, text in entries:
        pen.dot((x + 6, y), colour)
        pen.text((x + 20, y), text, GREY, 16, anchor="lm")
        x += 50 + 9 * len(text)
