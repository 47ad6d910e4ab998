"""Which prediction belongs to which annotated image, and which of the images count.

Ids are compared exactly; then without the extension of an image format; then by base name (the
last part of the path, without extension) where only one image of either side has it, and their
folders do not say that they are two: `train/0001` never is `val/0001`. An earlier way goes before a
later one, and nothing is guessed: names that fit several images stop the evaluation.

A range of images and a black-list number them from 1 in the order of their names, as the ILSVRC
development kit does.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from camtool.errors import DataError, EvaluationError, SettingsError, os_reason, shorten
from camtool.tables import SPLITS, image_stem

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from camtool.annotations import AnnotationSet

_RANGE = re.compile(r"([0-9]{1,9})-([0-9]{1,9})")
_NUMBER = re.compile(r"\+?[0-9]{1,8}")
_ILSVRC_ID = re.compile(r"ILSVRC\d{4}_(?:val|test|train)_(\d{8})\Z", re.ASCII)
_MOST_ENTRIES = 10_000_000
_LONGEST_ENTRY = 4096


K = TypeVar("K", str, tuple[str, str])

WAYS = ("exact", "without_extension", "base_name")
"""The ways in which ids are compared, the first that fits counts."""


@dataclass(frozen=True, slots=True)
class Joined:
    """The outcome of a join.

    Attributes:
        pairs: annotated image id → id of its prediction.
        ways: number of pairs by the way they were found.
        unannotated: predictions of images that are not annotated, in their order.
    """

    pairs: dict[str, str]
    ways: dict[str, int]
    unannotated: list[str]


@dataclass(frozen=True, slots=True)
class _Claim:
    way: int
    predicted: str
    candidates: Sequence[str]


_EXACT: Final = _Claim(0, "", ())
"""The claim of every prediction whose id is that of an image: most of them, so they share one."""


class Joiner:
    """Joins predictions, seen one after the other, to the annotated images."""

    def __init__(self, annotated: Iterable[str], kind: str = "prediction") -> None:
        """Take the ids of the annotated images; `kind` is what errors call the other side."""
        self._kind = kind
        self._exact = {image_id: image_id for image_id in annotated}
        self._claims: dict[str, _Claim] = {}
        self._allowed: dict[tuple[str, str], list[str]] = {}

    # Made when first needed: mostly, all ids agree exactly.
    @functools.cached_property
    def _stems(self) -> dict[str, list[str]]:
        return _index((image_stem(image_id), image_id) for image_id in self._exact)

    @functools.cached_property
    def _bases(self) -> dict[str, list[str]]:
        return _index((_base(image_id), image_id) for image_id in self._exact)

    def find(self, name: str) -> tuple[int, Sequence[str]] | None:
        """Return the annotated ids that `name` may stand for, and the way (index into WAYS)."""
        if name in self._exact:
            return 0, (self._exact[name],)
        for way, (index, key) in enumerate(
            ((self._stems, image_stem(name)), (self._bases, _base(name))), start=1
        ):
            if key in index:
                found = index[key]
                if way == len(WAYS) - 1:
                    found = self._within(_folder(name), key, found)
                return (way, found) if found else None
        return None

    @functools.cached_property
    def _folders(self) -> frozenset[str]:
        return frozenset(_folder(image_id) for image_id in self._exact)

    @functools.cached_property
    def _by_folder(self) -> dict[tuple[str, str], list[str]]:
        return _index(((_base(i), _folder(i)), i) for i in self._exact)

    def _within(self, folder: str, base: str, found: list[str]) -> list[str]:
        """Return those of the images of a base name whose folder does not contradict another.

        Names of one base and folder share their list, so that many equal names cost little.
        """
        if not folder:
            return found
        place = (base, folder)
        if place not in self._allowed:
            if folder in self._folders:
                # The annotations have a folder of that name: the image is in it, or in none.
                alike = self._by_folder.get((base, ""), []) + self._by_folder.get(place, [])
            elif folder.lower() in SPLITS:
                # Another part of a data set has other images.
                alike = [i for i in found if _folder(i).lower() not in SPLITS]
            else:
                alike = found
            self._allowed[place] = found if len(alike) == len(found) else alike
        return self._allowed[place]

    def add(self, predicted: str) -> str | None:
        """Note a prediction; return the one annotated id it may belong to, None where none does.

        Which of several predictions an annotated image takes, only `resolve` knows.

        Raises:
            EvaluationError: there is a prediction of this id already.
        """
        if predicted in self._claims:
            raise EvaluationError(
                f"the {self._kind}s hold {shorten(predicted)} twice; keep one of the two"
            )
        if own := self._exact.get(predicted):
            self._claims[own] = _EXACT  # The annotation's own text: a second one takes memory.
            return own
        way, candidates = self.find(predicted) or (0, ())
        self._claims[predicted] = _Claim(way, predicted, candidates)
        return candidates[0] if len(candidates) == 1 else None

    def resolve(self) -> Joined:
        """Return who belongs to whom.

        Raises:
            EvaluationError: a name fits several images, or there are predictions and none fits.
        """
        winners = self._winners()
        self._refuse_open_choices(winners)
        pairs = {image_id: claim.predicted or image_id for image_id, claim in winners.items()}
        taken = set(pairs.values())
        ways = {
            name: sum(claim.way == way for claim in winners.values())
            for way, name in enumerate(WAYS)
        }
        unannotated = [predicted for predicted in self._claims if predicted not in taken]
        if unannotated and not pairs:
            raise EvaluationError(
                f"no {self._kind} belongs to an annotated image: the {self._kind}s name "
                f"{shorten(unannotated[0])}, the annotations {shorten(next(iter(self._exact)))}"
            )
        return Joined(pairs, ways, unannotated)

    def _refuse_open_choices(self, winners: dict[str, _Claim]) -> None:
        seen: set[int] = set()
        for claim in self._claims.values():
            # Predictions of one name share their list of candidates: each list is looked at once.
            if len(claim.candidates) < 2 or id(claim.candidates) in seen:
                continue
            seen.add(id(claim.candidates))
            # Annotated images that found their prediction in a better way are out of the question.
            free = [image_id for image_id in claim.candidates if image_id not in winners]
            if len(free) > 1:
                raise EvaluationError(
                    f"the {self._kind} {shorten(claim.predicted)} fits several annotated images, "
                    f"{shorten(free[0])} and {shorten(free[1])}; {_REMEDY}"
                )

    def _winners(self) -> dict[str, _Claim]:
        """Return the best claim on each annotated image among those that fit no other image."""
        winners: dict[str, _Claim] = {}
        rivals: dict[str, _Claim] = {}
        for predicted, claim in self._claims.items():
            if claim is _EXACT:
                winners[predicted] = claim
                rivals.pop(predicted, None)
                continue
            if len(claim.candidates) != 1:
                continue
            image_id = claim.candidates[0]
            best = winners.get(image_id)
            if best is None or claim.way < best.way:
                winners[image_id] = claim
                rivals.pop(image_id, None)
            elif claim.way == best.way:
                rivals[image_id] = claim
        for image_id, rival in rivals.items():
            raise EvaluationError(
                f"the {self._kind}s {shorten(winners[image_id].predicted)} and "
                f"{shorten(rival.predicted)} both fit the annotated image {shorten(image_id)}; "
                f"{_REMEDY}"
            )
        return winners


_REMEDY = "give both sides the same relative paths"


def _base(name: str) -> str:
    return image_stem(name).replace("\\", "/").rsplit("/", 1)[-1]


def _folder(name: str) -> str:
    return name.replace("\\", "/").rpartition("/")[0].rpartition("/")[2]


def _index(pairs: Iterable[tuple[K, str]]) -> dict[K, list[str]]:
    index: dict[K, list[str]] = {}
    for key, image_id in pairs:
        index.setdefault(key, []).append(image_id)
    return index


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


def name_order(annotations: AnnotationSet, *, positions: bool) -> list[str]:
    """Return the ids of the annotated images in name order.

    Args:
        annotations: the annotated images.
        positions: the caller counts images in this order, which needs all of them.

    Raises:
        EvaluationError: `positions`, and some annotations could not be used.
    """
    if positions and annotations.problems:
        raise EvaluationError(
            f"{annotations.source}: {len(annotations.problems):,} annotations could not be used, "
            "so the images cannot be counted in name order (first: "
            f"{annotations.problems[0]}); repair them"
        )
    return sorted(annotations.annotations)


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
    # Also what is none that can be read, such as `--1`: it is no image id either.
    return entry.lstrip("+-").isdecimal()


def _ilsvrc_numbers(ordered: Sequence[str]) -> dict[int, str]:
    return {int(found[1]): i for i in ordered if (found := _ILSVRC_ID.search(i)) is not None}


def _by_number(
    place: str, entry: str, numbers: dict[int, str], ordered: Sequence[str]
) -> str | None:
    if not _NUMBER.fullmatch(entry) or (number := int(entry)) < 1:
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
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: not a text file; a black-list has one image number or id a line"
        ) from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read: {os_reason(error)}") from error
    if not entries:
        raise DataError(f"{path}: empty: it lists no image")
    return entries
