"""Image files, as Pillow reads them: upright, eight bits, three channels, what is transparent on black."""

from __future__ import annotations

import warnings
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from infinipot_v.types import UserError

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "JPEG2000", "PPM", "AVIF")
"""Pillow's names of what is read. It knows more, but some of those start programs, and some are videos."""
SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".jp2", ".ppm", ".pgm",
    ".pbm", ".avif",
)  # fmt: skip
"""How the names of images in a folder end."""
MOST_PIXELS = 100_000_000
"""No larger picture is read: three times 8K, 300 MB in RGB."""
VIDEOS = {"GIF", "PNG"}
"""Formats whose moving pictures PyAV plays, with their timing."""


@cache
def _readable() -> tuple[str, ...]:
    """Those that this Pillow was built with."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def is_picture(path: Path) -> bool:
    """Whether the file's content is a still image of a known format, sound or not; a moving GIF or PNG is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=_readable()) as image:
                return not (image.format in VIDEOS and getattr(image, "is_animated", False))
    except Image.DecompressionBombError:
        return True
    except Exception:
        return False


def read_picture(path: Path) -> np.ndarray:
    """uint8 `[height, width, 3]`: turned as its EXIF data says, alpha flattened on black, 16 bits reduced to 8.

    Of several pictures in one file the first. Raises `UserError` where it cannot be read; what is cut off counts as
    that, too.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of what is read all the same
            with Image.open(path, formats=_readable()) as image:
                if image.width * image.height > MOST_PIXELS:
                    raise Image.DecompressionBombError
                return np.asarray(_rgb(ImageOps.exif_transpose(image)))
    except UserError:
        raise
    except Image.DecompressionBombError as error:
        raise UserError(f"it has more than {MOST_PIXELS:,} pixels") from error
    except Exception as error:  # Pillow's readers raise whatever their parsers meet
        raise UserError(" ".join(str(error).split()) or type(error).__name__) from error


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits of grey; Pillow's own conversion would cut, not scale
        grey = np.clip(np.asarray(image).astype(np.int64) >> 8, 0, 255).astype(np.uint8)
        return Image.fromarray(grey).convert("RGB")
    if image.mode == "F":
        raise UserError("pixels are floating-point numbers of unknown range")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        colours = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", colours.size, "black"), colours).convert("RGB")
    return image.convert("RGB")
