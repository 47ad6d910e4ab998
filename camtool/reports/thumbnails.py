"""The pictures of a run at a small size, as JPEG, or why one cannot be shown."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, final

from PIL import Image

from camtool.errors import CamtoolError, ImageReadError
from camtool.images import find_images
from camtool.images.decode import decode, quiet_pillow
from camtool.images.sources import FileSource, ImageSource, UrlSource, checked_url
from camtool.parallel import cores_here, ordered_map
from camtool.paths import is_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from camtool.structures import Prediction

SIDE: Final = 320
"""Longer side of a small picture, in pixels."""
_QUALITY: Final = 80
_MAX_PIXELS: Final = 200_000_000
_ARCHIVES: Final = (".tar:", ".zip:")


class Thumbnail(NamedTuple):
    """A small picture.

    Attributes:
        jpeg: the file's bytes; None where there is none.
        reason: why there is none; empty otherwise.
    """

    jpeg: bytes | None
    reason: str = ""


@final
class Thumbnails:
    """Reads the pictures that the records of a run name, from wherever they were read then.

    Example:
        >>> from camtool.structures import Prediction
        >>> cat = Prediction("cat", "examples/images/cat.jpg", (451, 300))
        >>> moved = Prediction("dog", "examples/images/dog.jpg", (451, 300))
        >>> [found.reason for _, found in Thumbnails().of([cat, moved])]
        ['', 'no such file']
    """

    def __init__(self, side: int = SIDE) -> None:
        """Make pictures of at most `side` pixels along their longer side."""
        self._side = side
        self._members: dict[str, dict[str, ImageSource]] = {}

    def of(self, predictions: Iterable[Prediction]) -> Iterator[tuple[Prediction, Thumbnail]]:
        """Yield each prediction with its picture, in order; few are in memory at a time."""
        workers = cores_here()
        with quiet_pillow(), ThreadPoolExecutor(workers) as pool:
            sourced = ((p, self._source(p)) for p in predictions)
            yield from ordered_map(self._made, sourced, pool, 4 * workers)

    def _made(self, given: tuple[Prediction, ImageSource | str]) -> tuple[Prediction, Thumbnail]:
        prediction, source = given
        if isinstance(source, str):
            return prediction, Thumbnail(None, source)
        try:
            decoded = decode(source, prediction.upright, _MAX_PIXELS, prediction.size)
        except ImageReadError as error:
            return prediction, Thumbnail(None, error.reason)
        image = decoded.image
        if prediction.size is not None and image.size != prediction.size:
            width, height = prediction.size
            reason = f"another image now: {image.width}×{image.height}, then {width}×{height}"
            return prediction, Thumbnail(None, reason)
        image.thumbnail((self._side, self._side), Image.Resampling.BICUBIC)
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=_QUALITY)
        return prediction, Thumbnail(buffer.getvalue())

    def _source(self, prediction: Prediction) -> ImageSource | str:
        """Return where the picture is, or why it cannot be had."""
        name, path = prediction.image_id, prediction.path
        try:
            if "://" in path:
                return UrlSource(name, checked_url(path))
            for ending in _ARCHIVES:
                archive, found, _ = path.partition(ending)
                if found and is_file(Path(archive + ending[:-1])):
                    return self._member(archive + ending[:-1], path)
        except CamtoolError as error:
            return str(error)
        return FileSource(name, path)

    def _member(self, archive: str, path: str) -> ImageSource | str:
        if archive not in self._members:
            # A run is of few archives, and in their order: the last one is enough.
            self._members = {archive: {s.path: s for s in find_images([archive]).sources}}
        return self._members[archive].get(path, "no longer in its archive")
