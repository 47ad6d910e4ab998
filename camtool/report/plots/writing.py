"""The figures that an evaluation allows, as files of a folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from camtool.report.plots.bars import draw_bars
from camtool.report.plots.canvas import FORMS, Heading, write_figure
from camtool.report.plots.histogram import draw_histogram
from camtool.report.plots.lines import draw_accuracy, draw_precision_recall
from camtool.runs.writing import make_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from matplotlib.figure import Figure

    from camtool.evaluation.details import Details
    from camtool.evaluation.result import Evaluation

__all__ = ["write_plots"]

_CURVES: Final = {
    "box_accuracy": (draw_accuracy, "box accuracy against threshold"),
    "gt_known": (draw_accuracy, "GT-known localization against threshold"),
    "top1_localization": (draw_accuracy, "top-1 localization against threshold"),
    "precision_recall": (draw_precision_recall, "precision against recall"),
}
_DIAGNOSES: Final = {"top1": "top-1 guess", "gt_known": "true class's box"}
_ASPECTS: Final = ("hit", "guess_box", "true_boxes", "frame", "pixels", "threshold")


def write_plots(evaluation: Evaluation, folder: Path) -> list[Path]:
    """Write every figure that the data allow as PNG and as SVG; return the files.

    Raises:
        RunError: the folder cannot be written.
    """
    make_folder(folder)
    written: list[Path] = []
    for name, figure in _figures(evaluation):
        for form in FORMS:
            path = folder / f"{name}{form}"
            write_figure(figure, path)
            written.append(path)
    return written


def _figures(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    for name, curve in evaluation.curves.items():
        if name in _CURVES:
            draw, title = _CURVES[name]
            yield name, draw(curve, _heading(evaluation, title))
    if evaluation.details is not None:
        yield from _details(evaluation, evaluation.details)


def _details(evaluation: Evaluation, details: Details) -> Iterator[tuple[str, Figure]]:
    for name, diagnosis in details.diagnoses.items():
        heading = _heading(evaluation, f"kinds of errors of the {_DIAGNOSES[name]}")
        yield f"kinds_{name}", draw_bars(diagnosis.bars(), heading)
    if histogram := details.histogram():
        heading = _heading(evaluation, "overlap of the true class's box")
        yield "iou_histogram", draw_histogram(histogram, heading)


def _heading(evaluation: Evaluation, title: str) -> Heading:
    """Return a heading that says by which protocol, on how many images, and how was scored."""
    rules = [
        f"{aspect.replace('_', ' ')}: {evaluation.convention[aspect]}"
        for aspect in _ASPECTS
        if aspect in evaluation.convention
    ]
    n = next(iter(evaluation.metrics.values())).n if evaluation.metrics else 0
    return Heading(f"{evaluation.protocol}: {title}, n = {n:,}", " · ".join(rules))
