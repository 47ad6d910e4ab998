"""Lines, rows, numbers and corners of annotation files, checked before they become boxes.

Text is UTF-8; lines are numbered and of bounded length.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from camtool.annotations.reader import EntryError
from camtool.errors import shorten
from camtool.geometry import clip
from camtool.structures import Box

if TYPE_CHECKING:
    from collections.abc import Sequence

    from camtool.annotations.reader import Collector, WarningLog

Corners = Literal["half-open", "inclusive", "one-based"]
"""How corners are meant: 0-based with the far corner outside, 0-based with both corners in the box,
or 1-based with both corners in the box."""

Units = Literal["auto", "pixels", "fractions", "percent"]
"""What coordinates count: pixels, or shares of the image's width and height, in [0, 1] or [0, 100].
`auto`: fractions where all four of a box lie in [0, 1] and are not whole, else pixels; percent is
refused where it shows."""

_FAR = 1e9  # larger than any image, and exact in every kind of arithmetic
# Not float(): that takes underscores, digits of other scripts, nan and inf.
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_CONVERT = {"half-open": Box, "inclusive": Box.from_inclusive, "one-based": Box.from_one_based}
CLIPPED = "box clipped to the image"


def number(text: str, what: str) -> float:
    """Read one ASCII decimal number.

    Raises:
        EntryError: it is none, or beyond ±1e9.
    """
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    stripped = text.strip()
    if not _NUMBER.fullmatch(stripped):
        raise EntryError(f"{what} is not a number: {shorten(stripped, 40) or 'empty'}")
    value = float(stripped)
    if not -_FAR <= value <= _FAR:
        raise EntryError(f"{what} is out of range: {shorten(stripped, 40)}")
    return value


def numbers(texts: Sequence[str], names: Sequence[str]) -> list[float]:
    """Read several numbers, each with its name for the message."""
    return [number(text, name) for text, name in zip(texts, names, strict=True)]


def integer(text: str, what: str) -> int:
    """Read one ASCII whole number.

    Raises:
        EntryError: it is none, or beyond ±1e9.
    """
    value = number(text, what)
    if not value.is_integer():
        raise EntryError(f"{what} is not a whole number: {shorten(text.strip(), 40)}")
    return int(value)


def box_from_corners(xyxy: Sequence[float], corners: Corners) -> Box:
    """Make a box of (x0, y0, x1, y1); inclusive corners that are equal cover one pixel.

    Raises:
        EntryError: the far corner comes before the near one; the corners are never swapped.
    """
    x0, y0, x1, y1 = xyxy
    if x1 < x0:
        raise EntryError(f"xmax ({x1:g}) is less than xmin ({x0:g})")
    if y1 < y0:
        raise EntryError(f"ymax ({y1:g}) is less than ymin ({y0:g})")
    if corners == "half-open" and (x0 == x1 or y0 == y1):
        raise EntryError(f"the box ({x0:g}, {y0:g}, {x1:g}, {y1:g}) is empty")
    return _CONVERT[corners](x0, y0, x1, y1)


def scaled_shares(
    xyxy: Sequence[float],
    size: tuple[int, int] | None,
    units: Units,
    collector: Collector,
) -> Box | None:
    """Return the box of corners that are shares of the image; None where they are pixels.

    Shares are edges, so no convention of pixels is applied to them.

    Raises:
        EntryError: the size that they are shares of is not known, or they could be either.
    """
    if units == "auto":
        if max(xyxy) > 1 or min(xyxy) < 0:
            collector.measure(xyxy, size)
            return None
        whole = all(float(value).is_integer() for value in xyxy)
        if whole and xyxy[2] > xyxy[0] and xyxy[3] > xyxy[1]:
            raise EntryError(
                "0 0 1 1 is the whole image as fractions, or a few pixels: set the format's units"
            )
        if whole:
            return None
    if units == "pixels":
        return None
    if size is None:
        raise EntryError(
            "coordinates are fractions of the image, whose size the file does not give: add columns"
            " width and height, or write pixels"
        )
    per = 100 if units == "percent" else 1
    collector.warnings.once(
        f"coordinates are {'percent' if units == 'percent' else 'fractions'} of the image: scaled"
        " by its size", collector.source, "",
    )  # fmt: skip
    (width, height), (x0, y0, x1, y1) = size, xyxy
    scaled = x0 * width / per, y0 * height / per, x1 * width / per, y1 * height / per
    return box_from_corners(scaled, "half-open")


def fit(box: Box, size: tuple[int, int] | None, warnings: WarningLog, place: str) -> Box:
    """Clip `box` to an image of `size` (width, height), where that is known.

    A far side that is one pixel out is clipped without a word: files that mix the 0-based and the
    1-based convention are full of them.

    Raises:
        EntryError: the box lies wholly outside.
    """
    if size is None or (box.x0 >= 0 and box.y0 >= 0 and box.x1 <= size[0] and box.y1 <= size[1]):
        return box
    inside = clip(box, size)
    corners = ", ".join(f"{v:g}" for v in box.xyxy)
    if inside is None:
        raise EntryError(f"box [{corners}) lies wholly outside the {size[0]}×{size[1]} image")
    if min(box.x0, box.y0) < 0 or box.x1 > size[0] + 1 or box.y1 > size[1] + 1:
        warnings.add(CLIPPED, place, f"[{corners}) in {size[0]}×{size[1]}")
    return inside
