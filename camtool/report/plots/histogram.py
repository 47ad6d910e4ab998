"""Histograms: how many images have which intersection over union."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.ticker import MaxNLocator

from camtool.report.plots.canvas import COLOURS, new_figure, tidy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from camtool.metrics.curves import Histogram
    from camtool.report.plots.canvas import Heading

__all__ = ["draw_histogram"]


def draw_histogram(histogram: Histogram, heading: Heading, y_label: str = "images") -> Figure:
    """Return a bar for each bin, and a dashed line at each value that matters.

    Args:
        histogram: edges and numbers.
        heading: what stands above and below.
        y_label: what is counted.
    """
    figure, axes = new_figure(heading, height=3.8)
    axes.stairs(
        histogram.counts, histogram.edges, fill=True, facecolor=COLOURS[0], edgecolor="white",
        linewidth=0.6,
    )  # fmt: skip
    # `stairs` draws one outline: fine white lines tell the bins apart.
    axes.vlines(histogram.edges, 0, [0, *histogram.counts], color="white", linewidth=0.8)
    for label, at in histogram.limits.items():
        axes.axvline(at, color=COLOURS[1], linestyle="--", linewidth=1.2)
        axes.annotate(
            label, (at, 1), (3, -2), xycoords=("data", "axes fraction"),
            textcoords="offset points", va="top", fontsize=8, color=COLOURS[1],
        )  # fmt: skip
    tidy(axes)
    axes.set(
        xlim=(histogram.edges[0], histogram.edges[-1]),
        ylim=(0, 1.12 * max(*histogram.counts, 1)),
        xlabel=histogram.x_label,
        ylabel=y_label,
    )
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    return figure
