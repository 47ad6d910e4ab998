"""What is told of an evaluation beside the protocol's figures: kinds of errors, further metrics."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from camtool.metrics.curves import Histogram
from camtool.metrics.diagnosis import Objects, count_classes, diagnose
from camtool.metrics.intervals import MOST_RESAMPLES
from camtool.metrics.outcome import ABSENT
from camtool.metrics.pair_metrics import (
    BINS,
    CORLOC_IOU,
    TOLERANCES,
    box_figures,
    iou_histogram,
    pointing_figures,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from camtool.annotations import NetworkClasses
    from camtool.evaluation.settings import EvalSettings
    from camtool.metrics.diagnosis import Diagnosis, DiagnosisSettings
    from camtool.metrics.pair_metrics import Figure
    from camtool.metrics.trials import Trials
    from camtool.structures import Annotation, Box

_OF_KNOWN: Final = ("gt_known_kinds", "corloc", "mean_iou", "largest_box_precision")
_OF_MAPS: Final = tuple(f"pointing_game_{pixels}" for pixels in TOLERANCES)


@dataclass(frozen=True, slots=True)
class Details:
    """What is told of an evaluation beside the protocol's figures.

    Attributes:
        figures: further figures, by name.
        diagnoses: kinds of errors: `top1` of the top-1 guess, `gt_known` of the box of the true
            class.
        iou_histogram: number of pairs of image and true class by the IoU of the true class's box,
            in `BINS` bins of equal width over [0, 1]; None where these boxes are not stored.
        absent: why other figures and diagnoses are not given, by name.
        rules: how was counted, by aspect; sentences for human readers.
        class_titles: classes of the diagnoses for human readers, where their titles are known.
    """

    figures: dict[str, Figure] = field(default_factory=dict)
    diagnoses: dict[str, Diagnosis] = field(default_factory=dict)
    iou_histogram: tuple[int, ...] | None = None
    absent: dict[str, str] = field(default_factory=dict)
    rules: dict[str, str] = field(default_factory=dict)
    class_titles: dict[str, str] = field(default_factory=dict)

    def histogram(self) -> Histogram | None:
        """Return the histogram of IoU as a plot shows it; None where there is none."""
        if self.iou_histogram is None:
            return None
        edges = tuple(k / BINS for k in range(BINS + 1))
        return Histogram(edges, self.iou_histogram, "IoU of the true class's box")


def details(
    located: Trials,
    settings: EvalSettings,
    absent: Mapping[str, str],
    known: NetworkClasses | None = None,
) -> Details | None:
    """Return kinds of errors and further figures of the rows that count for localization.

    Args:
        located: these rows.
        settings: what to tell.
        absent: why figures of the protocol are not given, by name.
        known: the classes of the network, for their titles; None where they are unknown.

    Returns:
        None where the settings ask for none.
    """
    if not settings.diagnosis.enabled:
        return None
    reasons = _lacking(located, settings, absent)
    diagnoses: dict[str, Diagnosis] = {}
    figures: dict[str, Figure] = {}
    if "top1_kinds" not in reasons:
        diagnoses["top1"] = _top1(located, settings)
    if "gt_known_kinds" not in reasons:
        diagnoses["gt_known"] = _gt_known(located, settings)
        figures |= box_figures(located, settings.bootstrap)
        if "largest_box_precision" not in figures:
            reasons["largest_box_precision"] = "no true class has a predicted box"
    if _OF_MAPS[0] not in reasons:
        figures |= pointing_figures(located, settings.bootstrap)
    histogram = iou_histogram(located.table["iou"]) if "gt_known" in diagnoses else None
    stated = rules(settings, kinds=bool(diagnoses), figures=figures)
    titles = {} if known is None else _titles(located, known)
    return Details(figures, diagnoses, histogram, reasons, stated, titles)


def _titles(located: Trials, known: NetworkClasses) -> dict[str, str]:
    """Return the titles of the classes that the annotations write by name or index."""
    found = ((label, known.title(label)) for label in dict.fromkeys(located.labels))
    return {str(label): title for label, title in found if title and title != label}


def _lacking(located: Trials, settings: EvalSettings, absent: Mapping[str, str]) -> dict[str, str]:
    """Return why figures and diagnoses cannot be given, by name."""
    n = len(located)
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
        if missing := int((located.table["kind"] == ABSENT).sum()):
            reason = f"the true class's box is stored for {n - missing:,} of {n:,} images"
            reasons |= dict.fromkeys(_OF_KNOWN, absent.get("gt_known_error", reason))
    if not settings.diagnosis.pointing:
        reasons |= dict.fromkeys(_OF_MAPS, "left out by eval.diagnosis.pointing")
    elif missing := int((located.table["pointing"] == ABSENT).sum()):
        reason = (
            f"the true class's low-resolution map is stored for {n - missing:,} of {n:,} images"
        )
        reasons |= dict.fromkeys(
            _OF_MAPS, f"{reason}; `camtool localize --labels` stores it for all"
        )
    return reasons


def _top1(located: Trials, settings: EvalSettings) -> Diagnosis:
    """The top-1 guess is one an image, whatever the number of its classes."""
    kinds = located.images["top1"]
    objects = _objects(
        (truth, [o.box for o in truth.objects if o.box is not None]) for truth in located.truths
    )
    of_rows = np.repeat(kinds, located.numbers)
    ones = np.ones(len(kinds), np.int64)
    return _diagnosis(located, kinds, of_rows, ones, objects, settings)


def _gt_known(located: Trials, settings: EvalSettings) -> Diagnosis:
    """The box of each true class."""
    kinds = located.table["kind"]
    objects = _objects(
        (truth, boxes)
        for truth in located.truths
        for label in truth.labels
        if (boxes := truth.boxes(label))
    )
    return _diagnosis(located, kinds, kinds, located.numbers, objects, settings)


def _diagnosis(
    located: Trials,
    kinds: NDArray[np.uint8],
    of_rows: NDArray[np.uint8],
    images: NDArray[np.int64],
    objects: Objects,
    settings: EvalSettings,
) -> Diagnosis:
    names, classes = located.classes()
    by_class = count_classes(of_rows, classes, names)
    strata = settings.bootstrap.strata(located.truths)
    asked = settings.diagnosis
    return diagnose(kinds, images, objects, by_class, asked, settings.bootstrap, strata)


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


_FIGURE_RULES = {
    "corloc": (
        f"mean over classes of the share of images whose strongest box of the class has IoU >"
        f" {CORLOC_IOU:g} with a true box (Deselaers et al. 2010)"
    ),
    "mean_iou": "of the strongest box of the true class with its best true box; 0 without a box",
    "largest_box_precision": (
        "of the boxes of the true class the largest by area, where there is one: is it right by the"
        " hit rule"
    ),
}
_POINTING = (
    "the centre of the pixel where the true class's map, brought to image size, is largest, the"
    " first of equals row by row, lies in a true box of the class (Zhang et al. 2016), or in one"
    " grown by 18 pixels of the original image on each side (Oquab et al. 2015); mean over classes"
)


def rules(settings: EvalSettings, *, kinds: bool, figures: Collection[str]) -> dict[str, str]:
    """Return the rule by aspect.

    Args:
        settings: the settings of the evaluation.
        kinds: kinds of errors are told.
        figures: names of the further figures that are given.
    """
    stated = {"error_kinds": _kinds(settings.diagnosis)} if kinds else {}
    stated |= {name: rule for name, rule in _FIGURE_RULES.items() if name in figures}
    if any(name.startswith("pointing_game") for name in figures):
        stated["pointing_game"] = _POINTING
    means = [name for name in ("corloc", "mean_iou", "pointing_game") if name in stated]
    if means and settings.bootstrap.samples > MOST_RESAMPLES:
        stated["interval_of_means"] = f"{MOST_RESAMPLES:,} resamples for {', '.join(means)}"
    return stated


def _kinds(settings: DiagnosisSettings) -> str:
    return (
        "Gao et al. 2021 (TS-CAM), the first that fits: right (by the hit rule); wrong class; "
        f"several instances (more than {settings.several_iog:g} of two or more true boxes covered);"
        f" part (more than {settings.part_iop:g} of the box on the best true box); too large "
        f"(at least {settings.large_iog:g} of that one covered); background (IoU under "
        f"{settings.background_iou:g} with every true box, Hoiem et al. 2012); other"
    )
