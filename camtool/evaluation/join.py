"""Which prediction belongs to which annotated image, by their ids.

Ids are compared exactly; then without the extension of an image format; then by base name (the last
part of the path, without extension) where only one image of either side has it. An earlier way goes
before a later one, and nothing is guessed: names that fit several images stop the evaluation.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from camtool.annotations import image_stem
from camtool.errors import EvaluationError, shorten

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["WAYS", "Joined", "Joiner"]

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
                return way, index[key]
        return None

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


def _index(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    index: dict[str, list[str]] = {}
    for key, image_id in pairs:
        index.setdefault(key, []).append(image_id)
    return index
