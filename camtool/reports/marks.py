"""What an evaluation says of each image of a run: right or wrong, at which thresholds, which kind.

The scripts of a page only count these marks, so that what they show is what `camtool eval` says.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from camtool.evaluation.calibration import stored_calibration
from camtool.evaluation.evaluate import evaluate_loaded
from camtool.evaluation.matching import Joiner
from camtool.evaluation.sources import load_predictions
from camtool.geometry import SIDEWAYS, scale, turn_box
from camtool.metrics.box_protocol import BoxProtocol
from camtool.metrics.outcome import ABSENT, NEVER
from camtool.paths import is_folder
from camtool.runs import read_predictions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from camtool.annotations import AnnotationSet
    from camtool.evaluation.result import Evaluation
    from camtool.evaluation.settings import EvalSettings
    from camtool.metrics.outcome import Criterion
    from camtool.metrics.trials import Trials
    from camtool.structures import Annotation, Box, Prediction


@dataclass(frozen=True, slots=True)
class Mark:
    """What is known to be true of an image, and how its boxes fare.

    Attributes:
        truth: what of the annotation counts.
        top1: kind of error of the top-1 guess, as index into `KINDS`; None where it is not told.
        rows: a list for each true class with boxes that counts for localization: its label, rank,
            place of the first right guess, 1 or 0 for right, kind of error, intersection over
            union, and at which thresholds it is right, once for GT-known and once for guesses, as
            packed bits in base64; None stands for what is not told.
    """

    truth: Annotation
    top1: int | None
    rows: list[list[Any]] = field(default_factory=list)

    def boxes_in(self, prediction: Prediction) -> list[tuple[str | int, list[Box]]]:
        """Return the true boxes of each class, in the frame of the prediction."""
        return [
            (label, [_moved(box, self.truth.size, prediction) for box in self.truth.boxes(label)])
            for label in self.truth.labels
        ]


@dataclass(frozen=True, slots=True)
class Marked:
    """A run, scored.

    Attributes:
        evaluation: all figures.
        marks: by the id that the run gives the image.
        thresholds: what the bits of the rows stand for; none where maps were not scored. Protocols
            on maps have neither rows nor thresholds.
    """

    evaluation: Evaluation
    marks: dict[str, Mark]
    thresholds: tuple[float, ...]


def marked(run: Path, annotations: AnnotationSet, settings: EvalSettings) -> Marked:
    """Score a run, as `camtool eval` does, and return what it says of each image.

    Raises:
        EvaluationError: run and annotations do not fit together.
        RunError: the run folder cannot be used.
    """
    if not is_folder(run / "maps") and not settings.protocol.needs_maps:
        settings = _without_maps(settings)
    loaded = load_predictions(settings, run, annotations)
    evaluation = evaluate_loaded(loaded, annotations, settings, stored_calibration(settings, run))
    trials, protocol = evaluation.trials, settings.protocol
    if trials is None:
        return Marked(evaluation, {}, ())
    joiner = Joiner(annotations.annotations)
    for prediction in read_predictions(run):
        joiner.add(prediction.image_id)
    owners = joiner.resolve().pairs
    found = {
        owners[truth.image_id]: Mark(truth, _told(top1))
        for truth, top1 in zip(trials.truths, trials.images["top1"].tolist(), strict=True)
    }
    if not isinstance(protocol, BoxProtocol):
        return Marked(evaluation, found, ())
    for truth, row in _rows(trials.located, (protocol.known, protocol.guess)):
        found[owners[truth.image_id]].rows.append(row)
    return Marked(evaluation, found, tuple(trials.layout.columns.thresholds.tolist()))


def _without_maps(settings: EvalSettings) -> EvalSettings:
    """Return settings that score the boxes as stored, and look at no map."""
    diagnosis = settings.diagnosis.model_copy(update={"pointing": False})
    return settings.model_copy(update={"sweep": None, "diagnosis": diagnosis})


def _rows(
    located: Trials, criteria: tuple[Criterion, Criterion]
) -> Iterator[tuple[Annotation, list[Any]]]:
    """Yield the rows that count for localization, as `Mark` has them, with their annotation."""
    table, right = located.table, located.right(criteria[0], "run").tolist()
    bits = [_bits(located, criterion) for criterion in dict.fromkeys(criteria)]
    for row, image in enumerate(located.image.tolist()):
        one = table[row]
        yield (
            located.truths[image],
            [
                str(located.labels[row]),
                _told(int(one["rank"]), NEVER),
                _told(int(one["place"]), NEVER),
                int(right[row]),
                _told(int(one["kind"])),
                None if np.isnan(one["iou"]) else round(float(one["iou"]), 4),
                *(packed[row] for packed in bits),
            ],
        )


def _bits(located: Trials, criterion: Criterion) -> list[str]:
    """Return for each row at which thresholds its box is right."""
    places: NDArray[np.int64] = np.arange(len(located.layout.columns.thresholds))
    if not len(places):
        return [""] * len(located)
    return [
        base64.b64encode(packed.tobytes()).decode()
        for _, hits in located.blocks(criterion, places)
        for packed in np.packbits(hits, axis=1)
    ]


def _told(value: int, none: int = ABSENT) -> int | None:
    return None if value == none else value


def _moved(box: Box, source: tuple[int, int] | None, prediction: Prediction) -> Box:
    """Bring a true box to the frame that the predicted boxes are in."""
    target = prediction.size
    if source is None or target is None or source == target:
        return box
    if source == target[::-1] and prediction.exif in SIDEWAYS:
        turn = replace(prediction, upright=not prediction.upright).turn()
        return turn_box(box, source, turn)
    return scale(box, source, target)
