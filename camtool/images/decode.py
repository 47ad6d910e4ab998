"""From encoded bytes to an RGB picture, or a reason why not.

What is decided here, once:

- The content tells the format, never the name: JPEG, PNG, WebP, GIF, BMP, TIFF, PPM, AVIF.
- Gray, palette, CMYK and 16-bit pictures become 8-bit RGB; 16 bits are scaled, not clipped.
- Transparency is dropped, as torchvision's and timm's loaders do; colour profiles are ignored.
- Of an animation or a file of many pages the first picture is used, with a warning.
- A truncated or damaged file is an error: no half-gray picture is ever localized.
- The number of pixels that the header claims is checked before anything is decoded.
"""

from __future__ import annotations

import struct
import warnings
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError
from pydantic import Field

from camtool.errors import ImageReadError, shorten
from camtool.geometry import SIDEWAYS
from camtool.images.sources import PictureSource
from camtool.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from camtool.images.sources import ImageSource

_HEIC: Final = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")
FORMATS: Final = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF")
"""Names of the formats, as Pillow calls them; others are not even tried."""

# What Pillow's decoders raise on broken files.
_BROKEN: Final = (
    OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, AttributeError,
    EOFError, OverflowError, MemoryError, RuntimeError, struct.error, zlib.error,
    Image.DecompressionBombError,
)  # fmt: skip

_TRANSPOSE: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


_INVERSE: Final = {6: 8, 8: 6}
_MANY: Final = 10_000_000
_MOST_PER_BYTE: Final = 500_000
"""Pixels that a byte of a large picture may stand for; a blank page of fax has a tenth of it."""
_DARK: Final = 1 << 15
"""Brightest value of 16-bit pictures below which they hold 12 or 14 bits, or nothing to see."""


class ImageSettings(Settings):
    """How image files are read.

    Example:
        >>> ImageSettings(max_pixels=1_000_000).exif_rotation
        'auto'
    """

    exif_rotation: bool | Literal["auto"] = "auto"
    """Turn pictures upright as their EXIF block says. `auto`: yes, as for a person's own photos;
    where annotations give the size of an image, that decides, and where it fits both ways, the
    other images of the set do; boxes among the labels with no such evidence: no, as those of
    ImageNet are in stored pixel order."""

    max_pixels: Annotated[int, Field(ge=1)] = 80_000_000
    """Pictures of more pixels are skipped before they are decoded."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """A picture in 8-bit RGB, turned upright if asked, and what was noteworthy about its file.

    Example:
        >>> from camtool.images import find_images
        >>> (source,) = find_images(["examples/images/cat.jpg"]).sources
        >>> decoded = decode(source, rotate=True, max_pixels=10**8)
        >>> decoded.image.mode, decoded.warnings
        ('RGB', ())
    """

    image: Image.Image
    warnings: tuple[str, ...] = ()
    exif: int = 1
    upright: bool = True


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Silence Pillow's own warnings: what matters in them is said by `decode`.

    Python's warning filters belong to the process, so this wraps a whole loading loop from the
    main thread rather than each call in its worker.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
        yield


# The number of pixels is checked here, by `max_pixels`, before anything is decoded.
Image.MAX_IMAGE_PIXELS = None


def decode(
    source: ImageSource,
    rotate: bool,
    max_pixels: int,
    annotated: tuple[int, int] | None = None,
) -> Decoded:
    """Read one picture.

    Args:
        source: the image.
        rotate: turn it upright as its EXIF block says.
        max_pixels: refuse pictures that claim more.
        annotated: its size where annotations give it: whether that is the stored or the upright one
            goes before `rotate`.

    Raises:
        ImageReadError: with the reason; nothing else, whatever the bytes.
    """
    if isinstance(source, PictureSource) and source.picture is not None:
        _check_size(source.path, source.picture.size, max_pixels, -1)
        with _reasons(source.path):
            loaded = _loaded(source.path, source.picture, [])
        return _turned(loaded, rotate, annotated)
    with source.open() as file, _reasons(source.path):
        try:
            with Image.open(file, formats=FORMATS) as image:
                _check_size(source.path, image.size, max_pixels, source.nbytes())
                loaded = _loaded(source.path, image, [*_notes(image)])
        except UnidentifiedImageError as error:
            file.seek(0)
            raise ImageReadError(source.path, _unidentified(file.read(512))) from error
    return _turned(loaded, rotate, annotated)


@contextmanager
def _reasons(path: str) -> Iterator[None]:
    """Make whatever a decoder raises the reason of this picture."""
    try:
        yield
    except ImageReadError:
        raise
    except MemoryError as error:
        raise ImageReadError(path, "too large for the memory of this machine") from error
    except Exception as error:
        reason = shorten(str(error).strip(), 200) or type(error).__name__
        raise ImageReadError(path, f"cannot be decoded: {reason}") from error


class _Loaded(NamedTuple):
    """A picture in RGB as Pillow gives it, and what its EXIF block says."""

    rgb: Image.Image
    size: tuple[int, int]
    orientation: int | None
    is_upright: bool
    notes: tuple[str, ...]


def _loaded(path: str, image: Image.Image, notes: list[str]) -> _Loaded:
    # Pillow turns a TIFF as it loads it, and its size from the start; of a PNG it may load the
    # picture to find its EXIF block.
    is_upright = image.format == "TIFF"
    orientation = _orientation(image) if is_upright else None
    size = image.size
    image.load()
    rgb = _to_rgb(path, image, notes)
    if not is_upright:
        orientation = _orientation(image)
    return _Loaded(rgb, size, orientation, is_upright, tuple(notes))


def _turned(loaded: _Loaded, rotate: bool, annotated: tuple[int, int] | None) -> Decoded:
    orientation, rgb = loaded.orientation, loaded.rgb
    if orientation not in _TRANSPOSE:
        return Decoded(rgb, loaded.notes)
    upright = turns_upright(
        orientation, loaded.size, annotated, rotate, is_upright=loaded.is_upright
    )
    if upright != loaded.is_upright:
        turn = orientation if upright else _INVERSE.get(orientation, orientation)
        rgb = rgb.transpose(_TRANSPOSE[turn])
    return Decoded(rgb, loaded.notes, orientation, upright)


def turns_upright(
    orientation: int,
    size: tuple[int, int],
    annotated: tuple[int, int] | None,
    default: bool,
    *,
    is_upright: bool = False,
) -> bool:
    """Return whether a picture is to be seen upright, by the size that annotations give it.

    Args:
        orientation: of its EXIF block.
        size: (width, height) as it is read.
        annotated: (width, height) in the annotations; None where they give none.
        default: what holds where that size fits both ways, or neither.
        is_upright: `size` is that of the upright picture, not of the stored one.
    """
    if annotated is None or orientation not in SIDEWAYS or size[0] == size[1]:
        return default
    if annotated == size:
        return is_upright
    return not is_upright if annotated == size[::-1] else default


def stored_orientation(source: ImageSource) -> tuple[int, tuple[int, int], bool] | None:
    """Return EXIF orientation, size as read, and whether that is upright, by the header alone.

    None where the file cannot be read: `decode` says why.
    """
    try:
        with source.open() as file, Image.open(file, formats=FORMATS) as image:
            return _orientation(image) or 1, image.size, image.format == "TIFF"
    except (ImageReadError, *_BROKEN):
        return None


def _check_size(path: str, size: tuple[int, int], max_pixels: int, length: int) -> None:
    if size[0] * size[1] > max_pixels:
        raise ImageReadError(
            path,
            f"too large: {size[0]}×{size[1]} pixels, the limit is {max_pixels:,}"
            " (localize.images.max_pixels)",
        )
    if size[0] * size[1] > max(_MANY, _MOST_PER_BYTE * max(length, 1)) and length >= 0:
        raise ImageReadError(
            path, f"{length:,} bytes that claim {size[0]}×{size[1]} pixels: no photo; not decoded"
        )


def _notes(image: Image.Image) -> tuple[str, ...]:
    # MPO is a JPEG photo with a preview behind it: nothing is lost by taking the first.
    if image.format == "MPO" or not getattr(image, "is_animated", False):
        return ()
    if image.format == "TIFF":  # whose pages are counted by walking through all of them
        return ("several pages: only the first is used",)
    return (f"{getattr(image, 'n_frames', 2)} frames or pages: only the first is used",)


def _to_rgb(path: str, image: Image.Image, notes: list[str]) -> Image.Image:
    if image.mode == "RGB":
        return image.copy() if image.readonly else image
    if image.mode.startswith("I"):
        return _sixteen_bits(path, image, notes)
    if image.mode == "F":
        raise ImageReadError(
            path, "unsupported mode F (floating-point pixels): save it with 8 bits"
        )
    if image.mode in ("P", "PA"):
        image = image.convert("RGBA")
    return image.convert("RGB")


def _sixteen_bits(path: str, image: Image.Image, notes: list[str]) -> Image.Image:
    """Return a picture of 16 bits in 8, and note what is odd about its values."""
    white_is_zero = image.format == "TIFF" and getattr(image, "tag_v2", {}).get(262) == 0
    values = np.asarray(image)
    result = _sixteen_to_eight_bits(path, values)
    if white_is_zero:
        # Pillow turns these values round for 8 bits alone.
        return Image.fromarray(255 - result).convert("RGB")
    brightest = int(values.max())
    if 0 < brightest < _DARK:
        notes.append(
            f"16 bits, and the brightest value is {brightest:,} of 65,535: nearly black as it is;"
            " scale its values to the whole range"
        )
    return Image.fromarray(result).convert("RGB")


def _sixteen_to_eight_bits(path: str, values: NDArray[np.integer[Any]]) -> NDArray[np.uint8]:
    """Scale 0 … 65535 to 0 … 255, rounded; 65535 / 255 is 257 exactly."""
    if values.min() < 0 or values.max() > 65535:
        raise ImageReadError(path, "unsupported mode I (32-bit integers): save it with 8 bits")
    result = np.empty(values.shape, np.uint8)
    for row, scaled in zip(values, result, strict=True):  # a whole picture in 64 bits is large
        scaled[:] = (row.astype(np.int64) + 128) // 257
    return result


def _orientation(image: Image.Image) -> int | None:
    """The EXIF orientation; None where the block is absent or rubbish."""
    try:
        value = image.getexif().get(0x0112)
    except _BROKEN:
        return None
    return value if isinstance(value, int) else None


def _unidentified(head: bytes) -> str:
    text = head.lstrip()[:64].lower()
    if text.startswith((b"<!doctype html", b"<html", b"<?xml", b"<")):
        return "not an image: it holds HTML or XML"
    if head[4:8] == b"ftyp" and head[8:12] in _HEIC:
        return "a HEIC photo, which is not read: convert it to JPEG first"
    if head.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "an unsupported TIFF (its bands, bits or packing): save it as 8-bit RGB"
    if head.startswith((b"\xff\xd8", b"\x89PNG", b"GIF8", b"RIFF")):
        return "cannot be decoded: the header is damaged or cut off"
    if all(9 <= b < 127 for b in head):
        return "not an image: it holds text"
    return "not an image of a known format (" + ", ".join(FORMATS) + ")"
