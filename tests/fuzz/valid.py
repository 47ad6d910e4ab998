"""A reader with small valid files, and what writes them."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tests.builders import picture

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.fuzz.mutations import Mutation


class Fuzzed(NamedTuple):
    """A reader: valid files by name, what damages one of them, and the call on their folder."""

    files: Mapping[str, bytes]
    damage: tuple[Mutation, ...]
    call: Callable[[Path], object]


def text(*lines: str) -> bytes:
    return "\n".join((*lines, "")).encode()


def tarred(files: Mapping[str, bytes], mode: str = "w") -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode, format=tarfile.PAX_FORMAT) as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def zipped(files: Mapping[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return stream.getvalue()


def saved(image_format: str, **options: object) -> bytes:
    stream = io.BytesIO()
    picture(1).save(stream, image_format, **options)
    return stream.getvalue()


def array(values: object) -> bytes:
    stream = io.BytesIO()
    np.save(stream, values)
    return stream.getvalue()
