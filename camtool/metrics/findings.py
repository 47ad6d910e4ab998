"""What each pair of image and true class adds to the diagnosis: twelve bytes of a table."""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from camtool.geometry import iou
from camtool.metrics.error_kinds import Kind, wrong_kind
from camtool.metrics.ilsvrc import ImageOutcome, matches
from camtool.metrics.pointing import points_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from camtool.metrics.error_kinds import DiagnosisSettings
    from camtool.structures import Annotation, Box, ClassPrediction, Prediction, ScoreMap

__all__ = ["ABSENT", "NO_BOX", "StoredMaps", "findings", "findings_table"]

ABSENT: Final = 255
"""The predictions do not say."""
NO_BOX: Final = 2
"""There is no box for the class."""

_ROW = struct.Struct("<BBBBd")
_TABLE = np.dtype(
    [("top1", "u1"), ("known", "u1"), ("largest", "u1"), ("pointing", "u1"), ("iou", "<f8")]
)


class StoredMaps(Protocol):
    """Where low-resolution maps are."""

    def stored(self, prediction: Prediction, label: str | int) -> ScoreMap | None:
        """Return the low-resolution map of a class as it is stored; None where there is none."""


class _BoxRule(Protocol):
    def overlap(
        self, box: Box, true_boxes: Sequence[Box], size: tuple[int, int] | None
    ) -> float: ...

    def is_right(self, overlap: float, at: float | None = None) -> bool: ...


def findings_table(rows: bytes) -> NDArray[np.void]:
    """Return the rows of `findings`, one after the other, as a table.

    Returns:
        Structured array, one element for each pair of image and true class with boxes:
        `top1`: `Kind` of the image's top-1 guess, the same for all classes of an image;
        `known`: `Kind` of the box of the true class;
        `largest`: 1 where the largest box of the true class is right, 0 where not, or `NO_BOX`;
        `pointing`: bit i is set where the map points at an object within the i-th tolerance;
        `iou`: best intersection over union of the true class's box, 0 without a box.
        Each is `ABSENT`, and `iou` is NaN, where the predictions do not say.
    """
    return np.frombuffer(rows, _TABLE)


def findings(
    truth: Annotation,
    prediction: Prediction,
    outcome: object,
    rule: object,
    settings: DiagnosisSettings,
    maps: StoredMaps | None = None,
) -> bytes:
    """Return what one image adds: a row for each true class that has boxes.

    What is right is taken from the outcome, so that kinds and figures cannot disagree.

    Args:
        truth: the annotation of the image.
        prediction: its prediction, in the frame of `truth`.
        outcome: how the prediction fares by the protocol; boxes are looked at if it judged boxes.
        rule: the protocol.
        settings: thresholds, and what to look at.
        maps: where the stored maps are; None where there are none.
    """
    pairs = [(label, boxes) for label in truth.labels if (boxes := truth.boxes(label))]
    boxed = outcome if isinstance(outcome, ImageOutcome) else None
    every = [box for _, boxes in pairs for box in boxes]
    top1 = ABSENT if boxed is None else _top1(truth, prediction, boxed, every, settings)
    rows: list[bytes] = []
    for place, (label, boxes) in enumerate(pairs):
        known, largest, overlap = ABSENT, ABSENT, math.nan
        if boxed is not None and (right := boxed.known[place]) is not None:
            guess = _guess(prediction, label)
            box = guess.boxes[0].box if guess.boxes else None
            known = Kind.RIGHT if right else wrong_kind(box, boxes, every, settings)
            largest = _largest(guess, boxes, truth.size, right, rule)  # type: ignore[arg-type]
            overlap = 0.0 if box is None else max(iou(box, true) for true in boxes)
        pointing = ABSENT
        if maps is not None and (found := maps.stored(prediction, label)) is not None:
            hits = points_at(found, boxes, truth.size)
            pointing = sum(hit << bit for bit, hit in enumerate(hits))
        rows.append(_ROW.pack(top1, known, largest, pointing, overlap))
    return b"".join(rows)


def _top1(
    truth: Annotation,
    prediction: Prediction,
    outcome: ImageOutcome,
    every: Sequence[Box],
    settings: DiagnosisSettings,
) -> Kind:
    """Return the kind of the top-1 guess; of several true classes its own has the true boxes."""
    if outcome.class_rank != 1:
        return Kind.WRONG_CLASS
    if outcome.box_rank == 1:
        return Kind.RIGHT
    guess = next(g for g in prediction.classes if g.rank == 1)
    own = [box for label in truth.labels if matches(label, guess) for box in truth.boxes(label)]
    return wrong_kind(guess.boxes[0].box if guess.boxes else None, own, every, settings)


def _guess(prediction: Prediction, label: str | int) -> ClassPrediction:
    """Return the best guess of a class that is known to be stored."""
    return min((g for g in prediction.classes if matches(label, g)), key=lambda g: g.rank)


def _largest(
    guess: ClassPrediction,
    true_boxes: Sequence[Box],
    size: tuple[int, int] | None,
    right: bool,
    rule: _BoxRule,
) -> int:
    """Tell whether the largest box of a guess is right; among equals the strongest one."""
    if len(guess.boxes) < 2:
        return int(right) if guess.boxes else NO_BOX
    largest = max(guess.boxes, key=lambda scored: scored.box.area)
    return int(rule.is_right(rule.overlap(largest.box, true_boxes, size)))
