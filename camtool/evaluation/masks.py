"""True masks as PNG files in one folder: found by name, checked, brought to the frame."""

from __future__ import annotations

import re
import struct
import zlib
from collections import defaultdict
from typing import TYPE_CHECKING, Final, final

import numpy as np
from PIL import Image

from camtool.errors import DataError, EvaluationError, ImageReadError, shorten
from camtool.evaluation.truths import Frame, compare_frames
from camtool.metrics.pixels import combine_masks
from camtool.metrics.protocol import MaskNames
from camtool.metrics.wsol_frame import FRAME, mask_to_frame
from camtool.paths import is_file, is_folder, is_there

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from camtool.structures import Annotation

MASK_FORMS: Final = (
    ("<name>.png", "as WSOL lists name it: gray, zero for the background, an instance each"),
    ("<id>.png", "by image id; <id>_0.png, <id>_1.png, … for instances"),
    ("<id>_ignore.png", "what does not count"),
)
"""What `--masks` takes."""

_MAX_PIXELS: Final = 80_000_000
_INSTANCE: Final = re.compile(r"(.+)_(\d{1,6})\.png\Z", re.DOTALL)
# What Pillow raises on broken files; a warning is an error to those who run Python so.
_BROKEN: Final = (
    OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, AttributeError, EOFError,
    OverflowError, MemoryError, RuntimeError, struct.error, zlib.error, Warning,
    Image.DecompressionBombError,
)  # fmt: skip
_FITS: Final = (Frame.SAME, Frame.SCALED, Frame.UNKNOWN)


@final
class MaskFiles:
    """The masks of a folder, by the names that the annotations give, else by the image id.

    By id: `<id>.png`; where there is none, `<id>_0.png`, `<id>_1.png`, … are the masks of its
    instances. `<id>_ignore.png`, if it is there, is what does not count.

    A mask is a PNG of one channel and 1 to 8 bits (three equal channels too); zero is background,
    everything else foreground. It has the size of the image, or its aspect ratio, or that of the
    224×224 frame.
    """

    def __init__(self, folder: Path) -> None:
        """Take a folder; it is read where names have to be guessed from image ids.

        Raises:
            DataError: it is no folder.
        """
        if not is_folder(folder):
            what = "not a folder" if is_there(folder) else "no such folder"
            raise DataError(f"{folder}: {what}; --masks takes the folder that the masks are in")
        self._folder = folder
        self._numbers: dict[str, dict[str, list[int]]] = {}

    def find(self, truth: Annotation, label: str | int) -> MaskNames:
        """Return the names of the masks of a class, within the folder; all are there.

        Raises:
            EvaluationError: masks by image id, of an image of several classes.
            DataError: one is missing, or its name leads out of the folder.
        """
        named = truth.masks(label)
        if named:
            names = MaskNames(named, truth.ignore)
            given = f"the mask of {shorten(truth.image_id)}"
        else:
            if len(truth.labels) > 1:
                raise EvaluationError(
                    f"{shorten(truth.image_id)} has {len(truth.labels)} classes, and a mask that is"
                    f" found by the image's name ({self._folder}) does not say of which it is; "
                    "lists of the WSOL benchmark name a mask for each class"
                )
            names = self._by_id(truth.image_id)
            given = f"the image {shorten(truth.image_id)}"
        for name in (*names.instances, *([names.ignored] if names.ignored else [])):
            if not is_file(self._path(name)):
                raise ImageReadError(
                    str(self._folder / name), f"no such mask ({given}; --masks {self._folder})"
                )
        return names

    def _by_id(self, image_id: str) -> MaskNames:
        whole, ignored = f"{image_id}.png", f"{image_id}_ignore.png"
        rest = ignored if is_file(self._path(ignored)) else None
        if is_file(self._path(whole)):
            return MaskNames((whole,), rest)
        numbers = self._instances(image_id)
        # Numbers without a gap: where one lacks, a part of the foreground would be background.
        instances = tuple(f"{image_id}_{n}.png" for n in range(max(numbers, default=-1) + 1))
        return MaskNames(instances or (whole,), rest)

    def _instances(self, image_id: str) -> list[int]:
        """Return the numbers of the masks `<id>_<number>.png`."""
        path = self._path(image_id)
        folder = str(path.parent)
        if folder not in self._numbers:
            found: dict[str, list[int]] = defaultdict(list)
            for entry in path.parent.iterdir() if is_folder(path.parent) else ():
                if match := _INSTANCE.fullmatch(entry.name):
                    found[match[1]].append(int(match[2]))
            self._numbers[folder] = dict(found)
        return self._numbers[folder].get(path.name, [])

    def _path(self, name: str) -> Path:
        """Return the path of a name that comes from outside.

        Raises:
            DataError: it leads out of the folder.
        """
        parts = name.replace("\\", "/").split("/")
        # An absolute path begins with an empty part, one with a drive holds a colon there.
        if "\0" in name or ".." in parts or not parts[0] or ":" in parts[0]:
            raise DataError(
                f"{shorten(name)}: a mask's name that leads out of --masks {self._folder}; names "
                "are paths below this folder"
            )
        return self._folder / name

    def read(self, names: MaskNames, size: tuple[int, int] | None) -> NDArray[np.uint8]:
        """Return 1 foreground, 255 ignored, 0 background, uint8 of shape (224, 224).

        Args:
            names: what `find` returned.
            size: (width, height) of the image; None where it is unknown.

        Raises:
            ImageReadError: a file cannot be read, is no mask, or is of another size.
        """
        instances = [mask_to_frame(self._read(name, size)) for name in names.instances]
        if names.ignored is None:
            return combine_masks(instances)
        return combine_masks(instances, mask_to_frame(self._read(names.ignored, size)))

    def _read(self, name: str, size: tuple[int, int] | None) -> NDArray[np.uint8]:
        path = self._path(name)
        place = str(path)
        try:
            with path.open("rb") as file:
                if not file.read(1):
                    raise ImageReadError(place, "empty file (0 bytes)")
                file.seek(0)
                with Image.open(file, formats=("PNG",)) as image:
                    _check_size(place, image.size, size)
                    return _one_channel(place, image)
        except ImageReadError:
            raise
        except _BROKEN as error:
            reason = f"not a readable PNG ({error}); masks are PNG files"
            raise ImageReadError(place, reason) from error


def _check_size(place: str, found: tuple[int, int], size: tuple[int, int] | None) -> None:
    if found[0] * found[1] > _MAX_PIXELS:
        limit = f"the limit is {_MAX_PIXELS:,} pixels"
        raise ImageReadError(place, f"too large: {found[0]}×{found[1]}; {limit}")
    if found == (FRAME, FRAME) or compare_frames(found, size) in _FITS:
        return
    width, height = size or found
    raise ImageReadError(
        place,
        f"a mask of {found[0]}×{found[1]} for an image of {width}×{height}; a mask has the size or "
        f"the aspect ratio of its image, or {FRAME}×{FRAME}",
    )


def _one_channel(place: str, image: Image.Image) -> NDArray[np.uint8]:
    """Return the values of a mask, uint8 of shape (height, width); zero is background."""
    if image.mode == "1":
        return np.asarray(image).astype(np.uint8)
    if image.mode == "L":
        return np.asarray(image)
    if image.mode == "RGB":
        values = np.asarray(image)
        if (values == values[..., :1]).all():
            return np.ascontiguousarray(values[..., 0])
    what = {
        "RGB": "a colour picture", "RGBA": "a picture with transparency",
        "LA": "a picture with transparency", "P": "a palette picture",
    }.get(image.mode, f"a picture of more than 8 bits ({image.mode})")  # fmt: skip
    raise ImageReadError(
        place,
        f"{what} is no mask; save it as gray of 8 bits or fewer, zero for the background and"
        " anything else for the foreground",
    )
