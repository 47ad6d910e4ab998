"""How kinds of errors and further figures are counted, in sentences for the reader of a report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from camtool.metrics.further_figures import CORLOC_IOU, MOST_RESAMPLES

if TYPE_CHECKING:
    from collections.abc import Collection

    from camtool.evaluation.result import EvalSettings
    from camtool.metrics.error_kinds import DiagnosisSettings

__all__ = ["rules"]

_FIGURES = {
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
    stated |= {name: rule for name, rule in _FIGURES.items() if name in figures}
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
