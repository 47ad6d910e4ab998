"""The images of a page: an index to filter them by, and blocks of records that it loads by need."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, final

import cv2
import numpy as np

from camtool.metrics.diagnosis import KINDS
from camtool.reports.cards import Cards, corners, true_boxes
from camtool.reports.markup import shown
from camtool.reports.thumbnails import Thumbnails
from camtool.runs import read_predictions

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from camtool.reports.marks import Mark, Marked
    from camtool.reports.thumbnails import Thumbnail
    from camtool.structures import Prediction

BLOCK: Final = 48
"""Images of a block, and of a page of the gallery."""


class Holder(Protocol):
    """Carries the pictures of a page; see `camtool.reports.holders`."""

    def picture(self, number: int, jpeg: bytes) -> str:
        """Return the address of a picture."""


@dataclass(frozen=True, slots=True)
class Side:
    """A run as the gallery shows it.

    Attributes:
        path: the run folder.
        cards: makes the records of its images.
        scored: its scores; None where there are no true boxes.
    """

    path: Path
    cards: Cards
    scored: Marked | None

    def mark(self, image_id: str) -> Mark | None:
        """Return what is told of an image; None where nothing is."""
        return self.scored.marks.get(image_id) if self.scored else None

    def data(self, positions: Sequence[float]) -> dict[str, Any]:
        """Return what the scripts need to know of the run.

        `bits` says for each position of the slider which bit of a row tells what is right there;
        -1 where none does. `figures` says which figures are given for the boxes as stored, and
        at other thresholds.
        """
        slider, scored = self.cards.slider, self.scored
        at = {} if scored is None else {t: k for k, t in enumerate(scored.thresholds)}
        given = (scored.evaluation.metrics, scored.evaluation.thresholds) if scored else ((), ())
        absent = scored.evaluation.all_absent if scored else {}
        names = ("gt_known_error", "top1_localization_error")
        return {
            "name": shown(str(self.path)),
            "rule": slider.rule,
            "own": -1 if slider.own is None else list(positions).index(slider.own),
            "text": slider.text,
            "why": slider.why,
            "bits": [at.get(position, -1) for position in positions],
            "lacking": shown(absent.get("other_thresholds", "not scored there")),
            "figures": [[name in some for name in names] for some in given],
        }


@final
class Gallery:
    """Every image of the first run, and what a second one says of it.

    Attributes:
        images: how many there are; known when the index is made.
        unread: how many pictures could not be shown, and the first reason.
        only_second: images that only the second run has.
        other_size: images of another size in the second run.
    """

    def __init__(self, sides: Sequence[Side], positions: Sequence[float]) -> None:
        """Show the runs `sides` with a slider over the thresholds `positions`."""
        self._sides = sides
        self._positions = list(positions)
        self.images = 0
        self.unread = 0
        self.why_unread = ""
        self.only_second = 0
        self.other_size = 0

    def data(self) -> dict[str, Any]:
        """Return what the scripts need to know of the whole."""
        turbo = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], cv2.COLORMAP_TURBO)
        palette = np.ascontiguousarray(turbo[:, 0, ::-1]).tobytes()
        return {
            "block": BLOCK,
            "kinds": [kind.replace("_", " ") for kind in KINDS],
            "positions": self._positions,
            "runs": [side.data(self._positions) for side in self._sides],
            "palette": base64.b64encode(palette).decode(),
            "index": self._index(),
        }

    def _index(self) -> dict[str, Any]:
        """Return of each image its name, class, probability and marks, a column each.

        `shift` compares the best guesses of two runs: 1 for another class, 2 for another box.
        """
        numbers: dict[str, int] = {}
        labelled = False
        columns: dict[str, list[Any]] = {
            name: [] for name in ("ids", "class", "score", "error", "marks", "shift")
        }
        for one, other in self._pairs():
            columns["ids"].append(shown(one.image_id))
            columns["class"].append(numbers.setdefault(self._class(one), len(numbers)))
            best = one.classes[0].score if one.classes else None
            columns["score"].append(None if best is None else round(best, 4))
            columns["error"].append(int(one.error is not None))
            marks = [side.mark(one.image_id) for side in self._sides]
            columns["marks"].append([[m.top1, m.rows] if m else None for m in marks])
            columns["shift"].append(_shift(one, other))
            labelled |= any(marks) or any(found.target for found in one.classes)
        self.images = len(columns["ids"])
        return {**columns, "classes": list(numbers), "labelled": labelled}

    def _class(self, prediction: Prediction) -> str:
        """Return the true class of an image where it is known, else the most probable one."""
        true = true_boxes(self._sides[0].mark(prediction.image_id), prediction)
        if true:
            return str(true[0][0])
        targets = [found for found in prediction.classes if found.target]
        best = next(iter([*targets, *prediction.classes]), None)
        return shown(best.title or best.name) if best else ""

    def blocks(self, holder: Holder) -> Iterator[list[dict[str, Any]]]:
        """Yield the records of the images, a block at a time."""
        block: list[dict[str, Any]] = []
        others = (other for _, other in self._pairs())
        firsts = (one for one, _ in self._pairs())
        for number, ((one, thumbnail), other) in enumerate(
            zip(Thumbnails().of(firsts), others, strict=True)
        ):
            block.append(self._record(number, one, other, thumbnail, holder))
            if len(block) == BLOCK:
                yield block
                block = []
        if block:
            yield block

    def _record(
        self,
        number: int,
        one: Prediction,
        other: Prediction | None,
        thumbnail: Thumbnail,
        holder: Holder,
    ) -> dict[str, Any]:
        record: dict[str, Any] = {"size": one.size, "truth": self._truth(one)}
        if one.error is not None:
            record["error"] = shown(one.error)
        if thumbnail.jpeg is not None:
            record["img"] = holder.picture(number, thumbnail.jpeg)
        elif one.error is None:
            record["why"] = shown(thumbnail.reason)
            self.unread += 1
            self.why_unread = self.why_unread or f"{shown(one.path)}: {record['why']}"
        if other is not None and other.size != one.size and other.error is None:
            other = None
            self.other_size += 1
        found = zip(self._sides, (one, other), strict=False)
        record["runs"] = [
            None if p is None else side.cards.record(p, side.mark(p.image_id)) for side, p in found
        ]
        return record

    def _truth(self, prediction: Prediction) -> list[list[Any]]:
        return true_boxes(self._sides[0].mark(prediction.image_id), prediction)

    def _pairs(self) -> Iterator[tuple[Prediction, Prediction | None]]:
        """Yield each image of the first run, and what the second one says of it.

        Two runs of the same images are in the same order; of others a part is kept in memory.
        """
        if len(self._sides) == 1:
            yield from ((one, None) for one in read_predictions(self._sides[0].path))
            return
        first, second = (read_predictions(side.path) for side in self._sides)
        kept: dict[str, Prediction] = {}
        for one in first:
            while one.image_id not in kept and (other := next(second, None)) is not None:
                kept[other.image_id] = other
            yield one, kept.pop(one.image_id, None)
        self.only_second = len(kept) + sum(1 for _ in second)


def _shift(one: Prediction, other: Prediction | None) -> int:
    if other is None or not (one.classes and other.classes):
        return 0
    a, b = one.classes[0], other.classes[0]
    boxes = [[corners(s.box) for s in found.boxes[:1]] for found in (a, b)]
    return int(a.name != b.name) + 2 * int(boxes[0] != boxes[1])
