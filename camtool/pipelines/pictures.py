"""What a caller in Python may give for a picture, and how it becomes an image to read.

Nothing is guessed: an array or a tensor whose axes, colours or range can be read in two ways is
refused, with what to write instead.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from camtool.errors import DataError, ImageReadError
from camtool.images.sources import (
    BytesSource,
    FileSource,
    ImageSource,
    PictureSource,
    UrlSource,
    checked_url,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

Picture = str | Path | bytes | Image.Image | np.ndarray[Any, Any] | Tensor
"""What can be localized.

- `str`, `Path`: a file; a `str` with `://` is a URL.
- `bytes`: an encoded image (JPEG, PNG, …).
- a picture of Pillow's, of any mode; its EXIF block is heeded.
- an array of numpy: uint8, (height, width, 3) in the order R, G, B; (height, width) and
  (height, width, 1) are gray, a fourth channel is transparency, which is dropped.
- a tensor of torch: the same with the channels first, (3, height, width).

Arrays and tensors of other types than uint8 need a `value_range`.
"""

ValueRange = tuple[float, float]
"""The values of black and of full brightness, for arrays and tensors that are not uint8."""

_CHANNELS: Final = (1, 3, 4)
_WANTED: Final = {
    "array": "(height, width, 3) or (height, width)",
    "tensor": "(3, height, width) or (height, width)",
}


def source_of(
    picture: Picture, value_range: ValueRange | None = None, number: int | None = None
) -> ImageSource:
    """Return the image to read; of what is none, one whose reading tells why.

    Args:
        picture: what was given.
        value_range: of arrays and tensors.
        number: its place among several, counted from 0, which names what has no name.

    Raises:
        TypeError: an object of a type that is no `Picture`.
    """
    if isinstance(picture, str | Path):
        return _named(picture)
    if isinstance(picture, bytes | bytearray | memoryview):
        return BytesSource(*_called("bytes", number), data=bytes(picture))
    if isinstance(picture, Image.Image):
        name = str(getattr(picture, "filename", "") or "")
        called = (Path(name).stem, name) if name else _called("picture", number)
        return PictureSource(*called, picture=picture)
    if isinstance(picture, Tensor):
        values, kind = picture.detach().cpu(), "tensor"
        # numpy has no bfloat16.
        plain = values.float() if values.dtype == torch.bfloat16 else values
        return _of_values(plain.numpy(), kind, value_range, _called(kind, number))
    if isinstance(picture, np.ndarray):
        return _of_values(picture, "array", value_range, _called("array", number))
    raise TypeError(
        f"not a picture: an object of type {type(picture).__name__}; give a path, a URL, the bytes"
        " of a file, a PIL image, an array (height, width, 3) or a tensor (3, height, width)"
    )


def _called(kind: str, number: int | None) -> tuple[str, str]:
    """Id and path of a picture that has neither."""
    name = kind if number is None else f"{kind}-{number}"
    return name, name


def _named(name: str | Path) -> ImageSource:
    text = str(name)
    if isinstance(name, str) and "://" in name:
        try:
            return UrlSource(Path(name.split("?", 1)[0]).stem or "image", checked_url(name))
        except DataError as error:
            return PictureSource("image", text, reason=str(error))
    path = Path(name)
    if path.is_dir():
        return PictureSource(
            path.name or "image", text,
            reason="a folder: stream(folder) localizes all images in it",
        )  # fmt: skip
    return FileSource(path.stem or "image", text)


def _of_values(
    values: NDArray[Any], kind: str, value_range: ValueRange | None, called: tuple[str, str]
) -> ImageSource:
    try:
        pixels = _eight_bits(_channels_last(values, kind), value_range, kind)
    except ImageReadError as error:
        return PictureSource(*called, reason=error.reason)
    # Pillow would share the memory of a gray array, which its owner may write to.
    return PictureSource(*called, picture=Image.fromarray(pixels.copy()))


def _channels_last(values: NDArray[Any], kind: str) -> NDArray[Any]:
    """Return values as (height, width) or (height, width, channels), or refuse them."""
    shape = values.shape
    if not values.size:
        raise ImageReadError(kind, f"no pixels: shape {shape}")
    if values.ndim == 4:
        raise ImageReadError(kind, f"shape {shape} is a batch of {len(values)}: give list(…) of it")
    if values.ndim == 2:
        return values
    if values.ndim != 3:
        raise ImageReadError(kind, f"shape {shape} is no picture's: give {_WANTED[kind]}")
    first, last = shape[0] in _CHANNELS, shape[2] in _CHANNELS
    if first and last:
        raise ImageReadError(
            kind,
            f"shape {shape} can be read with the channels first or last: give a PIL image",
        )
    if kind == "array" and not last:
        hint = ": write array.transpose(1, 2, 0)" if first else f": give {_WANTED[kind]}"
        raise ImageReadError(kind, f"shape {shape} does not end with 3 channels{hint}")
    if kind == "tensor" and not first:
        hint = ": write tensor.permute(2, 0, 1)" if last else f": give {_WANTED[kind]}"
        raise ImageReadError(kind, f"shape {shape} does not begin with 3 channels{hint}")
    whole = values if kind == "array" else values.transpose(1, 2, 0)
    return whole[:, :, 0] if whole.shape[2] == 1 else whole


def _eight_bits(values: NDArray[Any], value_range: ValueRange | None, kind: str) -> NDArray[Any]:
    """Return values as uint8, or refuse them."""
    if values.dtype == np.uint8 and value_range in (None, (0, 255)):
        return values
    if values.dtype.kind not in "fiu":
        raise ImageReadError(kind, f"of {values.dtype}, which is no brightness: give uint8")
    if value_range is None:
        raise ImageReadError(
            kind,
            f"of {values.dtype}, from {values.min():g} to {values.max():g}, and nothing says which"
            " values are black and white: give uint8, or value_range=(0, 1), (0, 255), …;"
            " normalised values must be brought back first",
        )
    low, high = value_range
    if not low < high:
        raise ImageReadError(kind, f"value_range: {low:g} must be less than {high:g}")
    least, most = float(values.min()), float(values.max())
    if not (low <= least and most <= high):  # also where a value is no number
        raise ImageReadError(
            kind,
            f"values from {least:g} to {most:g} do not lie in value_range=({low:g}, {high:g});"
            " normalised values must be brought back first",
        )
    scaled = (values.astype(np.float64) - low) * (255 / (high - low))
    result: NDArray[Any] = np.rint(scaled).astype(np.uint8)
    return result
