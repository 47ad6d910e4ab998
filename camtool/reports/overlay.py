"""Pictures to look at: the heat map over the photo, the boxes, each class with its score."""

from __future__ import annotations

import functools
import hashlib
import io
import math
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Annotated, Final, Literal
from urllib.parse import quote

import cv2
import numpy as np
from PIL import Image, ImageDraw
from pydantic import Field

from camtool.geometry import scale
from camtool.reports.lettering import font, readable
from camtool.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from PIL import ImageFont

    from camtool.structures import Box, ClassPrediction, ScoreMap

__all__ = [
    "OverlaySettings",
    "draw_overlay",
    "encode_heatmap",
    "encode_overlay",
    "overlay_name",
    "thumbnail",
]

_PLAIN: Final = frozenset(" ._-,+=@()[]")
_MAX_NAME_BYTES: Final = 200
_BOX_COLOUR: Final = (255, 255, 255)
_TARGET_COLOUR: Final = (120, 255, 120)
# Of Okabe and Ito, the light ones: told apart on dark and bright photos, also by the colour-blind.
_CLASS_COLOURS: Final = (
    _BOX_COLOUR, (230, 159, 0), (86, 180, 233), (240, 228, 66), (204, 121, 167), (0, 200, 150),
    (213, 94, 0), (150, 150, 255),
)  # fmt: skip
_MAPS: Final = {
    "turbo": cv2.COLORMAP_TURBO,
    "jet": cv2.COLORMAP_JET,
    "viridis": cv2.COLORMAP_VIRIDIS,
    "inferno": cv2.COLORMAP_INFERNO,
    "hot": cv2.COLORMAP_HOT,
    "gray": None,
}
_MOST_PIXELS: Final = 1 << 26
"""Pixels of a picture of several panels; more are drawn smaller."""
_BAND: Final = 1 << 20
"""Pixels that are coloured at once, so that a large photo takes little more than itself."""


class OverlaySettings(Settings):
    """The overlay pictures of a run."""

    enabled: bool = True
    """Write pictures."""

    first: Annotated[int, Field(ge=1)] | None = 1000
    """Of so many images, the first of the run; null: of all."""

    draw: Literal["top-1", "top-k", "all"] = "top-1"
    """Boxes of which classes: the most probable one and the true ones; every localized one; or
    `all`: a panel for each localized class, with its own heat."""

    show: Literal["both", "heat", "boxes"] = "both"
    """Heat and boxes, or one of them alone."""

    max_side: Annotated[int, Field(ge=16, le=16_384)] = 8192
    """Longer side of an overlay in pixels; a smaller picture keeps its own size."""

    colours: Literal["turbo", "jet", "viridis", "inferno", "hot", "gray"] = "turbo"
    """Colours of the heat, from cold to hot."""

    line: Annotated[int, Field(ge=1, le=100)] | None = None
    """Width of a box's line in pixels; null: fits the picture."""

    form: Literal["jpg", "png"] = "jpg"
    """File format: JPEG, or PNG without loss."""

    opacity: Annotated[float, Field(ge=0, le=1)] = 0.6
    """Opacity of the heat map where it is hottest; it fades out with the heat."""

    scale: Literal["max", "min-max"] = "max"
    """Where cold is: 0, or the map's least value, for methods whose values have a large common part
    (`rise`, `recipro-cam`, `patches`)."""


def thumbnail(image: Image.Image, settings: OverlaySettings) -> Image.Image:
    """Return the picture at overlay size: its own, or reduced to the longest side."""
    factor = settings.max_side / max(image.size)
    if factor >= 1:
        return image.copy()
    size = (max(round(image.width * factor), 1), max(round(image.height * factor), 1))
    return image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)


@functools.lru_cache(maxsize=8)
def _colours(name: str) -> NDArray[np.uint8]:
    """256 colours from cold to hot, shape (256, 3), RGB."""
    ramp = np.arange(256, dtype=np.uint8)[:, None]
    kind = _MAPS[name]
    if kind is None:
        return np.repeat(ramp, 3, axis=1)
    return np.asarray(cv2.applyColorMap(ramp, kind)[:, 0, ::-1], np.uint8)


def _heat(score_map: ScoreMap, size: tuple[int, int], from_least: bool) -> NDArray[np.uint8] | None:
    """What of the map is above 0, or its least value, over a picture of `size`, 0 to 255.

    None where nothing is, or a value is no number.

    A picture to look at needs 8 bits only: OpenCV's resize is enough, and several times as fast as
    `camtool.geometry.resize_map`.
    """
    if not np.isfinite(score_map.values).all():
        return None
    values = score_map.values - score_map.values.min() if from_least else score_map.values
    top = float(values.max())
    if top <= 0:
        return None
    fx, fy = size[0] / score_map.size[0], size[1] / score_map.size[1]
    x0, y0, x1, y1 = score_map.region
    left, upper = max(round(x0 * fx), 0), max(round(y0 * fy), 0)
    right, lower = min(round(x1 * fx), size[0]), min(round(y1 * fy), size[1])
    heat = np.zeros(size[::-1], np.uint8)
    if left < right and upper < lower:
        part = cv2.resize(values.astype(np.float32), (right - left, lower - upper))
        factor = 255 / max(float(part.max()), top / 255)
        np.clip(np.multiply(part, factor, out=part), 0, 255, out=part)
        heat[upper:lower, left:right] = part.astype(np.uint8)
    return heat


def _blend(photo: Image.Image, score_map: ScoreMap, settings: OverlaySettings) -> Image.Image:
    heat = _heat(score_map, photo.size, settings.scale == "min-max")
    if heat is None:
        return photo.copy()
    # The weight of a pixel grows with the root of its heat: cold parts keep the photo's colours.
    weights = (settings.opacity * np.sqrt(np.arange(256) / 255)).astype(np.float32)
    picture = np.array(photo)
    rows = max(1, _BAND // photo.width)
    for first in range(0, photo.height, rows):
        part = heat[first : first + rows]
        colour = cv2.applyColorMap(part, _colours(settings.colours)[:, None])
        weight = cv2.LUT(part, weights)
        band = picture[first : first + rows]
        band[:] = cv2.blendLinear(colour, band, weight, 1 - weight)
    return Image.fromarray(picture)


def _caption(found: ClassPrediction) -> str:
    name = (found.title or found.name).split(",")[0]
    text = name if found.score is None else f"{name}  {100 * found.score:.0f} %"
    text = f"unsure: {text}" if found.unsure else text
    if found.target:
        text += "  (true class)" if found.rank == 1 else f"  (true class, rank {found.rank})"
    return text if found.boxes else f"{text}, no box"


def draw_overlay(
    photo: Image.Image,
    classes: Sequence[tuple[ClassPrediction, ScoreMap]],
    settings: OverlaySettings,
) -> Image.Image:
    """Draw heat and boxes over a photo, each class's name at its box, within the picture.

    Args:
        photo: the picture at overlay size, see `thumbnail`.
        classes: the classes of the image, each with its map; boxes in original pixels.
        settings: what is drawn, and how.

    Returns:
        A picture of the photo's size; with `draw: all` one such panel for each class, side by side
        and below each other, smaller where they would be too large together.
    """
    if settings.draw == "all" and len(classes) > 1:
        return _grid(photo, classes, settings)
    shown = [classes[0], *(c for c in classes[1:] if c[0].target)]
    return _panel(photo, classes if settings.draw == "top-k" else shown, settings)


def _grid(
    photo: Image.Image,
    classes: Sequence[tuple[ClassPrediction, ScoreMap]],
    settings: OverlaySettings,
) -> Image.Image:
    columns = math.ceil(math.sqrt(len(classes)))
    rows = math.ceil(len(classes) / columns)
    wanted = math.sqrt(_MOST_PIXELS / (columns * rows * photo.width * photo.height))
    side = math.floor(min(wanted, 1.0) * max(photo.size))
    photo = thumbnail(photo, settings.model_copy(update={"max_side": max(side, 1)}))
    whole = Image.new("RGB", (columns * photo.width, rows * photo.height))
    for place, one in enumerate(classes):
        row, column = divmod(place, columns)
        panel = _panel(photo, [one], settings)
        whole.paste(panel, (column * photo.width, row * photo.height))
    return whole


def _panel(
    photo: Image.Image,
    classes: Sequence[tuple[ClassPrediction, ScoreMap]],
    settings: OverlaySettings,
) -> Image.Image:
    """Draw the heat of the first class, and the boxes of all."""
    heated = settings.show != "boxes"
    picture = _blend(photo, classes[0][1], settings) if heated else photo.copy()
    draw = ImageDraw.Draw(picture)
    boxed: list[tuple[ClassPrediction, Box | None, tuple[int, int, int]]] = []
    for place, (found, score_map) in enumerate(classes):
        colour = _colour(found, place if settings.draw == "top-k" else 0)
        boxes = [scale(scored.box, score_map.size, picture.size) for scored in found.boxes]
        if settings.show == "heat":
            boxes = []
        for box in boxes:
            _rectangle(draw, box, colour, settings.line or _line(picture.size))
        boxed.append((found, boxes[0] if boxes else None, colour))
    _name(draw, picture.size, boxed)
    return picture


def _colour(found: ClassPrediction, place: int) -> tuple[int, int, int]:
    """Return the colour of a class's boxes: green for true ones, else by place."""
    return _TARGET_COLOUR if found.target else _CLASS_COLOURS[place % len(_CLASS_COLOURS)]


def _line(size: tuple[int, int]) -> int:
    """Return a width of line that is seen and hides little: 1 pixel at 60, 24 at 6,000."""
    return max(1 if max(size) < 150 else 2, round(max(size) / 250))


def _rectangle(
    draw: ImageDraw.ImageDraw, box: Box, colour: tuple[int, int, int], line: int
) -> None:
    """Draw the outline of a box within it: the outermost pixels are the box's own."""
    # The outer dark line keeps the box visible on a bright photo.
    dark = max(1, line // 4)
    corners = (box.x0, box.y0, max(box.x1 - 1, box.x0), max(box.y1 - 1, box.y0))
    draw.rectangle(corners, outline=(0, 0, 0), width=line + 2 * dark)
    inner = (corners[0] + dark, corners[1] + dark, corners[2] - dark, corners[3] - dark)
    if inner[0] < inner[2] and inner[1] < inner[3]:
        draw.rectangle(inner, outline=colour, width=line)


def _name(
    draw: ImageDraw.ImageDraw,
    size: tuple[int, int],
    boxed: Sequence[tuple[ClassPrediction, Box | None, tuple[int, int, int]]],
) -> None:
    """Write each class at its box, within the picture, where no other name is."""
    letters = font(min(max(round(max(size) / 32), 10), max(size[1] // 3, 10)))
    rise, fall = letters.getmetrics()
    pad = max(1, rise // 4)
    high = rise + fall + 2 * pad
    taken: list[tuple[float, float, float, float]] = []
    for found, box, colour in boxed:
        text = _cut(_caption(found), letters, size[0] - 2 * pad)
        wide = letters.getlength(text) + 2 * pad
        left, top = _free_place(box, (wide, high), size, taken)
        taken.append((left, top, left + wide, top + high))
        draw.rectangle((left, top, left + wide - 1, top + high - 1), (24, 24, 24))
        draw.text((left + pad, top + pad), text, colour, letters)


def _cut(text: str, letters: ImageFont.FreeTypeFont, width: float) -> str:
    """Return a text in letters that the font has, cut to a width in pixels."""
    text = readable(text)
    while text and letters.getlength(text) > width:
        text = text.removesuffix("…")[:-1] + "…" if len(text) > 1 else ""
    return text


def _free_place(
    box: Box | None,
    label: tuple[float, float],
    size: tuple[int, int],
    taken: Sequence[tuple[float, float, float, float]],
) -> tuple[float, float]:
    """Return the upper left corner of a label: above its box, within it, below it, or anywhere.

    Args:
        box: in pixels of the picture; None for a class without one, whose label is on top.
        label: (width, height) of the label.
        size: (width, height) of the picture.
        taken: corners of the labels that are there.
    """
    wide, high = label
    x, tops = (box.x0, [box.y0 - high, box.y0, box.y1, box.y1 - high]) if box else (0.0, [0.0])
    left = min(max(x, 0.0), max(size[0] - wide, 0.0))
    tops += [k * high for k in range(int(size[1] // high))]
    for top in tops:
        within = top >= 0 and top + high <= size[1]
        if within and not any(
            left < x1 and x0 < left + wide and top < y1 and y0 < top + high
            for x0, y0, x1, y1 in taken
        ):
            return left, top
    return left, max(0.0, min(tops[0], size[1] - high))


def encode_overlay(picture: Image.Image, form: str = "jpg") -> bytes:
    """Return the picture as JPEG, or as PNG with `form="png"`."""
    buffer = io.BytesIO()
    if form == "png":
        picture.save(buffer, "PNG", compress_level=3)
    else:
        # Of a small picture every pixel counts: letters keep their edges.
        picture.save(buffer, "JPEG", quality=88, subsampling=0 if max(picture.size) < 400 else 2)
    return buffer.getvalue()


def encode_heatmap(heat: NDArray[np.float32], form: Literal["png", "npy"]) -> bytes:
    """Return a heat map as a gray PNG, white where it is hottest, or as an array file.

    Args:
        heat: shares of the maximum, float32 of shape (height, width), in [0, 1].
        form: `png`, of 8 bits, or `npy`, of all.
    """
    buffer = io.BytesIO()
    if form == "npy":
        np.save(buffer, heat, allow_pickle=False)
        return buffer.getvalue()
    return encode_overlay(Image.fromarray(np.round(255 * heat).astype(np.uint8)), "png")


def overlay_name(image_id: str, form: str = "jpg") -> PurePosixPath:
    """Return the file name of an image's overlay, relative to the folder of overlays.

    Sub-folders are kept. Characters with a meaning to shells, URLs or file systems are written as
    %XX; a component that would be too long is cut and told apart by a hash. No id leads outside.
    """
    *folders, name = (_component(p) for p in image_id.split("/") if p)
    # A folder `a.jpg` would stand in the way of the overlay of an image `a`.
    ending, length = f".{form}", len(form) + 1
    folders = [f"{f[:-length]}%2E{form}" if f.endswith(ending) else f for f in folders]
    return PurePosixPath(*folders, f"{name}{ending}")


def _component(text: str) -> str:
    name = "".join(
        c if c.isalnum() or c in _PLAIN else quote(c, safe="", errors="surrogatepass") for c in text
    ).replace("~", "%7E")
    if not name.strip("."):
        name = name.replace(".", "%2E")
    encoded = name.encode()
    if len(encoded) <= _MAX_NAME_BYTES:
        return name
    digest = hashlib.sha256(encoded).hexdigest()[:12]
    # No name that is short enough holds a tilde, so none can be that of a cut one.
    return f"{encoded[: _MAX_NAME_BYTES - 20].decode(errors='ignore')}~{digest}"
