"""Which of the annotated images count: a range of them, and black-lists.

Both number the images from 1 in the order of their names, as the ILSVRC development kit does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from camtool.errors import DataError, EvaluationError, SettingsError, shorten
from camtool.evaluation.join import Joiner

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["BlackList", "read_blacklist", "select_range"]

_RANGE = re.compile(r"([0-9]{1,9})-([0-9]{1,9})")
_ILSVRC_ID = re.compile(r"ILSVRC\d{4}_(?:val|test|train)_(\d{8})\Z", re.ASCII)
_MOST_ENTRIES = 10_000_000
_LONGEST_ENTRY = 4096


def select_range(ordered: Sequence[str], images: str | None) -> Sequence[str]:
    """Return the ids that a range such as `1-10000` selects, both ends included.

    Args:
        ordered: ids of all annotated images, in name order.
        images: the range; None for all.

    Raises:
        SettingsError: it is no range, or goes beyond the annotated images.
    """
    if images is None:
        return ordered
    found = _RANGE.fullmatch(images)
    if found is None:
        raise SettingsError(
            f"--images {shorten(images)}: not a range; write FIRST-LAST, such as 1-10000"
        )
    first, last = int(found[1]), int(found[2])
    if not 1 <= first <= last:
        raise SettingsError(f"--images {images}: images are numbered from 1, the first one first")
    if last > len(ordered):
        raise SettingsError(f"--images {images}: only {len(ordered):,} images are annotated")
    return ordered[first - 1 : last]


@dataclass(frozen=True, slots=True)
class BlackList:
    """The images that localization errors leave out.

    Attributes:
        ids: their ids.
        entries: number of entries of the file.
        unmatched: those that name no annotated image: usual where a set is scored in part.
        by_position: numbers were taken as positions in name order.
    """

    ids: frozenset[str]
    entries: int
    unmatched: int
    by_position: bool


def read_blacklist(path: Path, ordered: Sequence[str]) -> BlackList:
    """Read a black-list: one image a line, by number or by id.

    An integer is the 1-based number of the image: the number in its name where the annotated images
    are named as those of ILSVRC (`ILSVRC2012_val_00000036` is 36), else its position in `ordered`.
    Anything else is an image id, with or without folders and extension. An ILSVRC number or an id
    that no annotated image has is counted and passed over, since the official list covers more than
    a part of the set; a position beyond the last image is an error, since it cannot be right.

    Args:
        path: the file.
        ordered: ids of all annotated images, in name order.

    Raises:
        DataError: the file cannot be read, or an entry cannot be an image.
        EvaluationError: a position lies beyond the last image.
    """
    lines = _lines(path)
    numbers = _ilsvrc_numbers(ordered)
    joiner = Joiner(ordered)
    ids: set[str] = set()
    unmatched = 0
    for line, entry in lines:
        if _is_number(entry):
            image_id = _by_number(f"{path}:{line}", entry, numbers, ordered)
        else:
            _, candidates = joiner.find(entry) or (0, ())
            if len(candidates) > 1:
                raise EvaluationError(
                    f"{path}:{line}: {shorten(entry)} fits several annotated images, "
                    f"{shorten(candidates[0])} and {shorten(candidates[1])}"
                )
            image_id = candidates[0] if candidates else None
        if image_id is None:
            unmatched += 1
        else:
            ids.add(image_id)
    by_position = not numbers and any(_is_number(entry) for _, entry in lines)
    return BlackList(frozenset(ids), len(lines), unmatched, by_position)


def _is_number(entry: str) -> bool:
    return entry.lstrip("+-").isdecimal()


def _ilsvrc_numbers(ordered: Sequence[str]) -> dict[int, str]:
    return {int(found[1]): i for i in ordered if (found := _ILSVRC_ID.search(i)) is not None}


def _by_number(
    place: str, entry: str, numbers: dict[int, str], ordered: Sequence[str]
) -> str | None:
    if len(entry) > 9 or (number := int(entry)) < 1:
        raise DataError(f"{place}: {shorten(entry)} is no image number; they start at 1")
    if numbers:
        return numbers.get(number)
    if number > len(ordered):
        raise EvaluationError(
            f"{place}: image number {number:,}, but only {len(ordered):,} images are annotated; "
            "numbers are positions in name order, so the annotations must be complete"
        )
    return ordered[number - 1]


def _lines(path: Path) -> list[tuple[int, str]]:
    """Return the entries with their line numbers, empty lines left out."""
    entries: list[tuple[int, str]] = []
    try:
        with path.open(encoding="utf-8-sig") as file:
            number = 0
            # A bounded readline: a file without line ends must not fill the memory.
            while text := file.readline(_LONGEST_ENTRY + 1):
                number += 1
                if len(text) > _LONGEST_ENTRY or number > _MOST_ENTRIES:
                    raise DataError(f"{path}:{number}: too long for a black-list")
                if entry := text.strip():
                    entries.append((number, entry))
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: not a text file; a black-list has one image number or id a line"
        ) from error
    if not entries:
        raise DataError(f"{path}: empty: it lists no image")
    return entries
