"""The words of the pocket world: what can be seen, in which colour, where, and how many."""

from __future__ import annotations

KINDS: tuple[str, ...] = (
    "ball", "box", "star", "heart", "house", "tree",
    "car", "fish", "cup", "key", "moon", "boat",
)  # fmt: skip

PLURALS: dict[str, str] = {kind: kind + "s" for kind in KINDS} | {"box": "boxes", "fish": "fish"}

# Grey shapes that move through the picture and that no question ever names.
DISTRACTORS: tuple[str, ...] = ("bar", "ring", "plus", "wedge")

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (222, 28, 34),
    "orange": (250, 132, 14),
    "yellow": (246, 226, 40),
    "green": (32, 168, 52),
    "cyan": (40, 212, 222),
    "blue": (36, 70, 230),
    "purple": (140, 40, 196),
    "pink": (255, 134, 194),
}
COLOUR_NAMES: tuple[str, ...] = tuple(COLOURS)

PLACES: tuple[str, ...] = ("top left", "top right", "bottom left", "bottom right")
NUMBERS: tuple[str, ...] = ("one", "two", "three")
LETTERS: tuple[str, ...] = ("A", "B", "C", "D")
NOTHING = "nothing"

SIZES: tuple[int, ...] = (28, 32, 36, 40, 44, 48, 52)  # pixels of a 112-pixel picture
