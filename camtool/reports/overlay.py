"""Pictures to look at: the heat map over the photo, the boxes, the class and its score."""

from __future__ import annotations

import functools
import hashlib
import io
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
    from numpy.typing import NDArray

    from camtool.structures import ClassPrediction, ScoreMap

__all__ = ["OverlaySettings", "draw_overlay", "encode_overlay", "overlay_name", "thumbnail"]

_MIN_SIDE: Final = 320
_MAX_ASPECT: Final = 8
_PLAIN: Final = frozenset(" ._-,+=@()[]")
_MAX_NAME_BYTES: Final = 200
_BOX_COLOUR: Final = (255, 255, 255)
_TARGET_COLOUR: Final = (120, 255, 120)


class OverlaySettings(Settings):
    """The overlay pictures of a run."""

    enabled: bool = True
    """Write one picture for every image."""

    max_side: Annotated[int, Field(ge=64, le=8192)] = 800
    """Longer side of an overlay in pixels; boxes in the records keep the original's."""

    opacity: Annotated[float, Field(ge=0, le=1)] = 0.6
    """Opacity of the heat map where it is hottest; it fades out with the heat."""

    scale: Literal["max", "min-max"] = "max"
    """Where cold is: 0, or the map's least value, for methods whose values have a large common part
    (`rise`, `recipro-cam`, `patches`)."""


def thumbnail(image: Image.Image, settings: OverlaySettings) -> Image.Image:
    """Return the picture at overlay size: large ones reduced, tiny ones enlarged."""
    width, height = image.size
    factor = min(settings.max_side / max(width, height), max(1.0, _MIN_SIDE / max(width, height)))
    # A strip of 1×2000 pixels would leave no room for a word: its short side is stretched.
    shorter = settings.max_side // _MAX_ASPECT
    size = (max(round(width * factor), shorter), max(round(height * factor), shorter))
    return image.copy() if size == image.size else image.resize(size, Image.Resampling.BILINEAR)


@functools.lru_cache(maxsize=1)
def _colours() -> NDArray[np.uint8]:
    """256 colours from cold to hot, shape (256, 3), RGB."""
    ramp = np.arange(256, dtype=np.uint8)[:, None]
    return np.asarray(cv2.applyColorMap(ramp, cv2.COLORMAP_TURBO)[:, 0, ::-1], np.uint8)


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
        part = cv2.resize(values, (right - left, lower - upper))
        factor = np.float32(255 / max(float(part.max()), top / 255))
        heat[upper:lower, left:right] = np.clip(part * factor, 0, 255).astype(np.uint8)
    return heat


def _blend(photo: Image.Image, score_map: ScoreMap, settings: OverlaySettings) -> Image.Image:
    heat = _heat(score_map, photo.size, settings.scale == "min-max")
    if heat is None:
        return photo.copy()
    # The weight of a pixel grows with the root of its heat: cold parts keep the photo's colours.
    weights = (settings.opacity * np.sqrt(np.arange(256) / 255)).astype(np.float32)
    colour = cv2.applyColorMap(heat, _colours()[:, None])
    weight = cv2.LUT(heat, weights)
    blended = cv2.blendLinear(colour, np.asarray(photo), weight, 1 - weight)
    return Image.fromarray(np.asarray(blended, np.uint8))


def _caption(found: ClassPrediction) -> str:
    name = (found.title or found.name).split(",")[0]
    text = name if found.score is None else f"{name}  {100 * found.score:.0f} %"
    if found.target:
        text += "  (true class)" if found.rank == 1 else f"  (true class, rank {found.rank})"
    return text if found.boxes else f"{text}, no box"


def _panel(
    photo: Image.Image, found: ClassPrediction, score_map: ScoreMap, settings: OverlaySettings
) -> Image.Image:
    picture = _blend(photo, score_map, settings)
    draw = ImageDraw.Draw(picture)
    line = max(2, round(max(picture.size) / 250))
    colour = _TARGET_COLOUR if found.target else _BOX_COLOUR
    for scored in found.boxes:
        box = scale(scored.box, score_map.size, picture.size)
        # The outer dark line keeps the box visible on a bright photo.
        corners = (box.x0, box.y0, max(box.x1 - 1, box.x0), max(box.y1 - 1, box.y0))
        draw.rectangle(corners, outline=(0, 0, 0), width=line + 2)
        inner = (corners[0] + 1, corners[1] + 1, corners[2] - 1, corners[3] - 1)
        if inner[0] < inner[2] and inner[1] < inner[3]:
            draw.rectangle(inner, outline=colour, width=line)
    return _titled(picture, _caption(found))


def _titled(picture: Image.Image, text: str) -> Image.Image:
    """The picture under a strip with the text, cut to its width."""
    size = max(14, min(28, picture.width // 22))
    letters, text = font(size), readable(text)
    strip = Image.new("RGB", (picture.width, round(size * 1.7)), (24, 24, 24))
    while text and letters.getlength(text) > picture.width - size:
        text = text.removesuffix("…")[:-1] + "…" if len(text) > 1 else ""
    ImageDraw.Draw(strip).text((size // 2, size * 0.25), text, (255, 255, 255), letters)
    whole = Image.new("RGB", (picture.width, picture.height + strip.height))
    whole.paste(strip, (0, 0))
    whole.paste(picture, (0, strip.height))
    return whole


def draw_overlay(
    photo: Image.Image,
    classes: list[tuple[ClassPrediction, ScoreMap]],
    settings: OverlaySettings,
) -> Image.Image:
    """Draw the most probable class, and beside it the true classes that are not it.

    Args:
        photo: the picture at overlay size, see `thumbnail`.
        classes: the classes of the image, each with its map; boxes in original pixels.
        settings: opacity and scale of the heat map.

    Returns:
        One panel, or several side by side.
    """
    chosen = [classes[0], *(c for c in classes[1:] if c[0].target)][:4]
    panels = [_panel(photo, found, each, settings) for found, each in chosen]
    whole = Image.new("RGB", (sum(p.width for p in panels), panels[0].height))
    left = 0
    for panel in panels:
        whole.paste(panel, (left, 0))
        left += panel.width
    return whole


def encode_overlay(picture: Image.Image) -> bytes:
    """Return the picture as JPEG."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


def overlay_name(image_id: str) -> PurePosixPath:
    """Return the file name of an image's overlay, relative to the folder of overlays.

    Sub-folders are kept. Characters with a meaning to shells, URLs or file systems are written as
    %XX; a component that would be too long is cut and told apart by a hash. No id leads outside.
    """
    *folders, name = (_component(p) for p in image_id.split("/") if p)
    # A folder `a.jpg` would stand in the way of the overlay of an image `a`.
    folders = [f"{f[:-4]}%2Ejpg" if f.endswith(".jpg") else f for f in folders]
    return PurePosixPath(*folders, f"{name}.jpg")


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
