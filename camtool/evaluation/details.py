"""From judged images to kinds of errors and further figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from camtool.evaluation.details_rules import rules
from camtool.metrics.diagnosis import Objects, count_classes, diagnose
from camtool.metrics.findings import findings_table
from camtool.metrics.further_figures import (
    Details,
    box_figures,
    iou_histogram,
    lacking,
    pointing_figures,
)
from camtool.metrics.pointing import TOLERANCES

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from camtool.evaluation.judging import Judged
    from camtool.evaluation.result import EvalSettings
    from camtool.evaluation.truths import KnownClasses
    from camtool.metrics.diagnosis import Diagnosis
    from camtool.metrics.further_figures import Figure
    from camtool.structures import Annotation, Box

__all__ = ["details"]

_OF_KNOWN = ("gt_known_kinds", "corloc", "mean_iou", "largest_box_precision")
_OF_MAPS = tuple(f"pointing_game_{pixels}" for pixels in TOLERANCES)


@dataclass(frozen=True, slots=True)
class _Pairs:
    """The pairs of image and true class with boxes, in the order of the images.

    Attributes:
        table: what was found of each; see `findings_table`.
        images: number of pairs of each image.
        classes: class of each pair, as its place in `names`.
        names: the classes, as the annotations write them.
        truths: annotation and true boxes of each pair.
        strata: stratum of each image, for the bootstrap; None where all are one.
    """

    table: NDArray[np.void]
    images: NDArray[np.int64]
    classes: NDArray[np.int64]
    names: Sequence[str]
    truths: Sequence[tuple[Annotation, Sequence[Box]]]
    strata: Sequence[Hashable] | None


def details(
    located: Sequence[Judged],
    settings: EvalSettings,
    absent: Mapping[str, str],
    known: KnownClasses | None = None,
) -> Details | None:
    """Return kinds of errors and further figures of the images that count for localization.

    Args:
        located: these images, judged.
        settings: what to tell.
        absent: why figures of the protocol are not given, by name.
        known: the classes of the network, for their titles; None where they are unknown.

    Returns:
        None where the settings ask for none.
    """
    if not settings.diagnosis.enabled:
        return None
    pairs = _pairs(located, settings)
    reasons = _lacking(pairs, settings, absent)
    by = pairs.table, pairs.classes, pairs.images, settings.bootstrap, pairs.strata
    diagnoses: dict[str, Diagnosis] = {}
    figures: dict[str, Figure] = {}
    if "top1_kinds" not in reasons:
        diagnoses["top1"] = _top1(pairs, located, settings)
    if "gt_known_kinds" not in reasons:
        diagnoses["gt_known"] = _diagnosis(
            pairs, "known", pairs.table["known"], pairs.images, pairs.truths, settings
        )
        figures |= box_figures(*by)
        if "largest_box_precision" not in figures:
            reasons["largest_box_precision"] = "no true class has a predicted box"
    if _OF_MAPS[0] not in reasons:
        figures |= pointing_figures(*by)
    histogram = iou_histogram(pairs.table["iou"]) if "gt_known" in diagnoses else None
    stated = rules(settings, kinds=bool(diagnoses), figures=figures)
    titles = {} if known is None else {str(k): v for k, v in known.titles.items()}
    shown = {name: titles[name] for name in pairs.names if name in titles}
    return Details(figures, diagnoses, histogram, reasons, stated, shown)


def _pairs(located: Sequence[Judged], settings: EvalSettings) -> _Pairs:
    table = findings_table(b"".join(j.findings for j in located))
    found = [
        (label, j.truth, boxes)
        for j in located
        for label in j.truth.labels
        if (boxes := j.truth.boxes(label))
    ]
    names = sorted({label for label, _, _ in found}, key=str)
    places = {label: place for place, label in enumerate(names)}
    images = [len({o.label for o in j.truth.objects if o.box is not None}) for j in located]
    return _Pairs(
        table,
        np.array(images, np.int64),
        np.array([places[label] for label, _, _ in found], np.int64),
        [str(name) for name in names],
        [(truth, boxes) for _, truth, boxes in found],
        settings.bootstrap.strata(j.truth for j in located),
    )


def _lacking(pairs: _Pairs, settings: EvalSettings, absent: Mapping[str, str]) -> dict[str, str]:
    """Return why figures and diagnoses cannot be given, by name."""
    n = len(pairs.table)
    if not n:
        return dict.fromkeys(
            ("top1_kinds", *_OF_KNOWN, *_OF_MAPS), "no scored image has a true box"
        )
    reasons: dict[str, str] = {}
    if settings.protocol.needs_maps:
        reason = (
            f"the protocol {settings.protocol.name} judges maps, not the predicted boxes: "
            "`--protocol ilsvrc` gives them"
        )
        reasons |= dict.fromkeys(("top1_kinds", *_OF_KNOWN), reason)
    else:
        if reason := absent.get("top1_localization_error", ""):
            reasons["top1_kinds"] = reason
        if missing := lacking(pairs.table["known"]):
            reason = f"the true class's box is stored for {n - missing:,} of {n:,} images"
            reasons |= dict.fromkeys(_OF_KNOWN, absent.get("gt_known_error", reason))
    if not settings.diagnosis.pointing:
        reasons |= dict.fromkeys(_OF_MAPS, "left out by eval.diagnosis.pointing")
    elif missing := lacking(pairs.table["pointing"]):
        reason = (
            f"the true class's low-resolution map is stored for {n - missing:,} of {n:,} images"
        )
        reasons |= dict.fromkeys(
            _OF_MAPS, f"{reason}; `camtool localize --labels` stores it for all"
        )
    return reasons


def _top1(pairs: _Pairs, located: Sequence[Judged], settings: EvalSettings) -> Diagnosis:
    """The top-1 guess is one an image, whatever the number of its classes."""
    first = np.cumsum(pairs.images) - pairs.images
    truths = [(j.truth, [o.box for o in j.truth.objects if o.box is not None]) for j in located]
    ones = np.ones(len(located), np.int64)
    return _diagnosis(pairs, "top1", pairs.table["top1"][first], ones, truths, settings)


def _diagnosis(
    pairs: _Pairs,
    column: str,
    kinds: NDArray[np.uint8],
    images: NDArray[np.int64],
    truths: Sequence[tuple[Annotation, Sequence[Box]]],
    settings: EvalSettings,
) -> Diagnosis:
    by_class = count_classes(pairs.table[column], pairs.classes, pairs.names)
    return diagnose(
        kinds,
        images,
        _objects(truths),
        by_class,
        settings.diagnosis,
        settings.bootstrap,
        pairs.strata,
    )


def _objects(truths: Iterable[tuple[Annotation, Sequence[Box]]]) -> Objects:
    """Return share of the image, aspect and number of the true boxes; the largest one counts."""
    rows: list[tuple[float, float, int]] = []
    for truth, boxes in truths:
        largest = max(boxes, key=lambda box: box.area)
        share = np.nan if truth.size is None else largest.area / (truth.size[0] * truth.size[1])
        aspect = (largest.x1 - largest.x0) / (largest.y1 - largest.y0)
        rows.append((share, aspect, len(boxes)))
    table = np.array(rows, np.float64)
    return Objects(table[:, 0], table[:, 1], table[:, 2].astype(np.int64))
