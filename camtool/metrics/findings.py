"""What each pair of image and true class adds to the diagnosis: twelve bytes of a table."""

from __future__ import annotations

import functools
import math
import struct
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from camtool.geometry import iou
from camtool.metrics.box_protocol import BoxProtocol, matches
from camtool.metrics.error_kinds import Kind, wrong_kind
from camtool.metrics.figures import ImageOutcome
from camtool.metrics.pointing import points_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from camtool.metrics.error_kinds import DiagnosisSettings
    from camtool.structures import Annotation, Box, ClassPrediction, Prediction, ScoreMap

__all__ = ["ABSENT", "NO_BOX", "StoredMaps", "findings", "findings_table", "first_row"]

ABSENT: Final = 255
"""The predictions do not say."""
NO_BOX: Final = 2
"""There is no box for the class."""

_UNKNOWN = (ABSENT, ABSENT, math.nan)
_ROW = struct.Struct("<BBBBd")
_TABLE = np.dtype(
    [("top1", "u1"), ("known", "u1"), ("largest", "u1"), ("pointing", "u1"), ("iou", "<f8")]
)


class StoredMaps(Protocol):
    """Where low-resolution maps are."""

    def stored(self, prediction: Prediction, label: str | int) -> ScoreMap | None:
        """Return the low-resolution map of a class as it is stored; None where there is none."""


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


def first_row(rows: bytes) -> bytes:
    """Return the first row of an image's `findings`: its top-1 guess is the same in all of them."""
    return rows[: _ROW.size]


def findings(
    truth: Annotation,
    prediction: Prediction,
    outcome: object,
    protocol: object,
    settings: DiagnosisSettings,
    maps: StoredMaps | None = None,
) -> bytes:
    """Return what one image adds: a row for each true class that has boxes.

    What is right is taken from the outcome, so that kinds and figures cannot disagree.

    Args:
        truth: the annotation of the image.
        prediction: its prediction, in the frame of `truth`.
        outcome: how the prediction fares by the protocol.
        protocol: the protocol; only where it judges boxes, boxes are looked at.
        settings: thresholds, and what to look at.
        maps: where the stored maps are; None where there are none.
    """
    pairs = [(label, boxes) for label in truth.labels if (boxes := truth.boxes(label))]
    every = [box for _, boxes in pairs for box in boxes]
    top1, known = ABSENT, [_UNKNOWN] * len(pairs)
    if isinstance(outcome, ImageOutcome) and isinstance(protocol, BoxProtocol):
        top1 = _top1(truth, prediction, outcome, every, settings)
        known = [
            _known(_guess(prediction, label), boxes, every, right, (protocol, truth.size, settings))
            for (label, boxes), right in zip(pairs, outcome.known, strict=True)
        ]
    return b"".join(
        _row(top1, kind, largest, _pointing(prediction, truth, label, maps), overlap)
        for (label, _), (kind, largest, overlap) in zip(pairs, known, strict=True)
    )


@functools.lru_cache(maxsize=1024)
def _row(top1: int, kind: int, largest: int, pointing: int, overlap: float) -> bytes:
    """Return a row; equal ones are shared, as nearly all are where maps are judged."""
    return _ROW.pack(top1, kind, largest, pointing, overlap)


def _top1(
    truth: Annotation,
    prediction: Prediction,
    outcome: ImageOutcome,
    every: Sequence[Box],
    settings: DiagnosisSettings,
) -> int:
    """Return the kind of the top-1 guess; of several true classes its own has the true boxes."""
    if outcome.class_rank != 1:
        return Kind.WRONG_CLASS
    if outcome.box_rank == 1:
        return Kind.RIGHT
    guess = next(g for g in prediction.classes if g.rank == 1)
    own = [box for label in truth.labels if matches(label, guess) for box in truth.boxes(label)]
    return wrong_kind(guess.boxes[0].box if guess.boxes else None, own, every, settings)


def _guess(prediction: Prediction, label: str | int) -> ClassPrediction | None:
    """Return the best guess of a class."""
    guesses = (guess for guess in prediction.classes if matches(label, guess))
    return min(guesses, key=lambda guess: guess.rank, default=None)


def _known(
    guess: ClassPrediction | None,
    true_boxes: Sequence[Box],
    every: Sequence[Box],
    right: bool | None,
    by: tuple[BoxProtocol, tuple[int, int] | None, DiagnosisSettings],
) -> tuple[int, int, float]:
    """Return kind, largest box and best overlap of the box of a true class."""
    protocol, size, settings = by
    if guess is None:
        return _UNKNOWN
    if not guess.boxes:
        return Kind.OTHER, NO_BOX, 0.0
    box = guess.boxes[0].box
    kind = Kind.RIGHT if right else wrong_kind(box, true_boxes, every, settings)
    overlap = max(iou(box, true) for true in true_boxes)
    if len(guess.boxes) == 1:
        return kind, int(kind == Kind.RIGHT), overlap
    # Among equals the strongest one.
    largest = max(guess.boxes, key=lambda scored: scored.box.area).box
    reached = protocol.overlap(largest, true_boxes, size)
    return kind, int(protocol.is_right(reached, known=True)), overlap


def _pointing(
    prediction: Prediction, truth: Annotation, label: str | int, maps: StoredMaps | None
) -> int:
    """Return the tolerances within which the map points at an object, a bit for each."""
    found = None if maps is None else maps.stored(prediction, label)
    if found is None:
        return ABSENT
    hits = points_at(found, truth.boxes(label), truth.size)
    return sum(hit << bit for bit, hit in enumerate(hits))
