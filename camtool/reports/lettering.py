"""Words in pictures: a font that is the same on every machine, and what it cannot write."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Final

from anyascii import anyascii
from PIL import ImageFont

_LONGEST: Final = 200
"""Letters of a name; a longer one fills no picture, and takes long to lay out."""


@functools.lru_cache(maxsize=1)
def font_file() -> Path:
    """Return the file of DejaVu Sans, which comes with matplotlib.

    It has the letters of Latin, Greek, Cyrillic, Arabic, Hebrew and some more.
    """
    import matplotlib as mpl

    return Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"


@functools.lru_cache(maxsize=32)
def font(size: int) -> ImageFont.FreeTypeFont:
    """Return the font at a size in pixels."""
    return ImageFont.truetype(str(font_file()), size)


@functools.lru_cache(maxsize=1)
def _letters() -> frozenset[int]:
    from matplotlib.ft2font import FT2Font

    return frozenset(FT2Font(str(font_file())).get_charmap())


def readable(text: str) -> str:
    """Return a text in letters that the font has; others in their usual Latin spelling.

    Example:
        >>> readable("größe собака 狗")
        'größe собака Gou'

    Args:
        text: any text; cut to 200 letters.
    """
    known = _letters()
    text = "".join(c if c.isprintable() else " " for c in text[: _LONGEST + 1])
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST - 1]}…"
    if all(ord(c) in known for c in text):
        return text
    return "".join(c if ord(c) in known else anyascii(c) or "?" for c in text)
