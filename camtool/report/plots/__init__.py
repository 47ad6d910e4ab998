"""Figures of an evaluation as PNG or SVG; the only part of the reports that needs matplotlib."""

from __future__ import annotations

from camtool.report.plots.bars import draw_bars
from camtool.report.plots.canvas import FORMS, Heading, write_figure
from camtool.report.plots.histogram import draw_histogram
from camtool.report.plots.lines import draw_accuracy, draw_precision_recall
from camtool.report.plots.writing import write_plots

__all__ = [
    "FORMS",
    "Heading",
    "draw_accuracy",
    "draw_bars",
    "draw_histogram",
    "draw_precision_recall",
    "write_figure",
    "write_plots",
]
