"""Low-resolution class maps on disk: some hundred bytes an image, every bit kept."""

from __future__ import annotations

import io
import math
import struct
import threading
import tokenize
import zipfile
import zlib
from collections import OrderedDict
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, final

import numpy as np

from camtool.errors import RunError, shorten
from camtool.structures import Prediction, ScoreMap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


DAMAGED: Final = (
    OSError, ValueError, TypeError, KeyError, IndexError, EOFError, SyntaxError, MemoryError,
    RuntimeError, OverflowError, struct.error, zlib.error, zipfile.BadZipFile, tokenize.TokenError,
    Warning,
)  # fmt: skip
"""What numpy and zipfile raise on foreign and damaged `.npz` and `.npy` files; a warning is an
error to those who run Python so."""


_KEPT_FILES: Final = 4
"""Some dozen threads that work off images in order are within so many files."""

_KEYS = ("values", "shapes", "regions", "sizes")
_MOST_BYTES: Final = 1 << 30


def pack(maps: Sequence[ScoreMap]) -> bytes:
    """Return an `.npz` of n maps.

    `values`: float32, all maps one after the other; `shapes` (n, 2): height and width;
    `regions` (n, 4): x0, y0, x1, y1 in image pixels; `sizes` (n, 2): width and height of
    the images.
    """
    buffer = io.BytesIO()
    values = [m.values.ravel() for m in maps]
    np.savez(
        buffer,
        values=np.concatenate(values) if values else np.zeros(0, np.float32),
        shapes=np.array([m.values.shape for m in maps], np.int32).reshape(-1, 2),
        regions=np.array([m.region for m in maps], np.float64).reshape(-1, 4),
        sizes=np.array([m.size for m in maps], np.int32).reshape(-1, 2),
    )
    return buffer.getvalue()


def unpack(path: Path) -> list[ScoreMap]:
    """Read the maps of one file.

    Raises:
        RunError: not there, or not such a file.
    """
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            arrays = [bounded_array(archive, f"{key}.npy", _MOST_BYTES) for key in _KEYS]
        return _split(*arrays)
    except DAMAGED as error:
        reason = shorten(str(error), 200)
        raise RunError(f"{path}: not a readable map file ({reason}); localize again") from error


def bounded_array(archive: zipfile.ZipFile, name: str, most: int) -> NDArray[Any]:
    """Return an array of an `.npz` file, whose header may not claim more than the file holds.

    Args:
        archive: the open file.
        name: of the member, with `.npy`.
        most: bytes that the array may have.

    Raises:
        KeyError, ValueError, and whatever `DAMAGED` names: there is none, or it is damaged.
    """
    info = archive.getinfo(name)
    with archive.open(info) as member:
        check_header(member, info.file_size, most)
    with archive.open(info) as member:
        array: NDArray[Any] = np.lib.format.read_array(member, allow_pickle=False)
    return array


def check_header(file: IO[bytes], length: int, most: int) -> tuple[int, ...]:
    """Return the shape in the header of an `.npy` file, after looking at the size that it claims.

    Args:
        file: at its beginning.
        length: bytes of the whole file.
        most: bytes that the array may have.

    Raises:
        ValueError: no such header, or it claims more than `length` or `most`.
    """
    version = np.lib.format.read_magic(file)
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in readers:
        raise ValueError(f"version {version} of the format")
    shape, _, dtype = readers[version](file)
    if dtype.hasobject:
        raise ValueError("Object arrays are never built")
    claimed = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or claimed > min(length, most):
        raise ValueError(f"its header claims {claimed:,} bytes, and the file holds {length:,}")
    return shape


def _split(
    values: NDArray[np.float32],
    shapes: NDArray[np.int32],
    regions: NDArray[np.float64],
    sizes: NDArray[np.int32],
) -> list[ScoreMap]:
    areas = shapes.astype(np.int64).prod(1)
    if areas.sum() != len(values) or not len(shapes) == len(regions) == len(sizes):
        raise ValueError("the numbers of maps, shapes and regions differ")
    # Without the last piece, which is empty: of no map there is then no piece.
    pieces = np.split(values, np.cumsum(areas))[:-1]
    return [
        ScoreMap(
            piece.reshape(shape),
            (float(r[0]), float(r[1]), float(r[2]), float(r[3])),
            (int(s[0]), int(s[1])),
        )
        for piece, shape, r, s in zip(pieces, shapes, regions, sizes, strict=True)
    ]


@final
class MapFiles:
    """The stored maps of a run, for any number of threads; keeps the files that were read last.

    Example:
        >>> heat = ScoreMap(np.eye(2, dtype=np.float32), region=(0, 0, 500, 300), size=(500, 300))
        >>> _ = Path("00000.npz").write_bytes(pack([heat]))
        >>> cat = Prediction("cat", "cat.jpg", (500, 300), maps="00000.npz")
        >>> MapFiles(".").load(cat, row=0).values.tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """

    def __init__(self, run: str | Path) -> None:
        """Read from the run folder `run`."""
        self._run = Path(run)
        self._reading = threading.Lock()
        self._kept: OrderedDict[str, list[ScoreMap]] = OrderedDict()

    def load(self, prediction: Prediction, row: int) -> ScoreMap:
        """Return the map in row `row` of the image's map file.

        Raises:
            RunError: the image has no maps, or they cannot be read.
        """
        name = prediction.maps
        if name is None or Path(name).is_absolute() or ".." in Path(name).parts:
            raise RunError(f"{self._run}: '{prediction.image_id}' has no map file in the run")
        maps = self._file(name)
        if not 0 <= row < len(maps):
            raise RunError(f"{self._run / name}: has no map {row}; localize again")
        recorded = prediction.recorded or prediction.size
        if recorded is not None and maps[row].size != recorded:
            raise RunError(
                f"{self._run / name}: map {row} is of an image of {maps[row].size}, and the record"
                f" of {prediction.image_id} says {recorded}; localize again"
            )
        return maps[row]

    def _file(self, name: str) -> list[ScoreMap]:
        # A file serves hundreds of images, so that threads rarely wait here for one that reads.
        with self._reading:
            if name not in self._kept:
                self._kept[name] = unpack(self._run / name)
                if len(self._kept) > _KEPT_FILES:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(name)
            return self._kept[name]
