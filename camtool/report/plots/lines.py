"""Curves: localization accuracy against the threshold, and precision against recall."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from camtool.report.plots.canvas import COLOURS, GREY, new_figure, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from camtool.metrics.curves import Curve
    from camtool.report.plots.canvas import Heading

__all__ = ["draw_accuracy", "draw_precision_recall"]

_Dash = Literal["--", ":", "-."]
_DASHES: Final[tuple[_Dash, ...]] = ("--", ":", "-.")
_FILLED: Final = "oracle"


def draw_accuracy(curve: Curve, heading: Heading) -> Figure:
    """Return localization accuracy against the threshold of the map, a line per IoU.

    Points are drawn on the lines (the oracle filled, others hollow) with their values, levels as
    broken lines of the same colour.

    Args:
        curve: places in [0, 1], values in percent; a value holds up to the next place.
        heading: what stands above and below.
    """
    figure, axes = new_figure(heading)
    colours = dict(zip(curve.y, COLOURS, strict=False))
    dashes = dict(zip(dict.fromkeys(level.label for level in curve.levels), _DASHES, strict=False))
    for label, values in curve.y.items():
        axes.step(
            [*curve.x, 1.0], [*values, values[-1]], where="post", color=colours[label], label=label
        )
    for level in curve.levels:
        style = dashes.get(level.label, ":")
        axes.axhline(level.y, color=colours[level.line], linestyle=style, linewidth=1, alpha=0.8)
    _draw_points(axes, curve, colours)
    tidy(axes)
    axes.set(xlim=(0, 1), ylim=(0, 103), xlabel=curve.x_label, ylabel=curve.y_label)
    _explain(axes, curve, colours, dashes)
    return figure


def _draw_points(axes: Axes, curve: Curve, colours: dict[str, str]) -> None:
    for point in curve.points:
        colour = colours[point.line]
        face = colour if point.label == _FILLED else "white"
        axes.plot(point.x, point.y, "o", color=colour, markerfacecolor=face, markersize=5.5)
        axes.annotate(
            f"{point.y:.1f}", (point.x, point.y), (0, 5), textcoords="offset points",
            ha="center", va="bottom", fontsize=8, color=colour,
            path_effects=[withStroke(linewidth=2.5, foreground="white")],
        )  # fmt: skip


def _explain(axes: Axes, curve: Curve, colours: dict[str, str], dashes: dict[str, _Dash]) -> None:
    """Put the legend beside the curves, which may be anywhere."""
    handles = [Line2D([], [], color=colour, label=line) for line, colour in colours.items()]
    for label in dict.fromkeys(point.label for point in curve.points):
        face = GREY if label == _FILLED else "white"
        marker = {"marker": "o", "markerfacecolor": face, "linestyle": ""}
        handles.append(Line2D([], [], color=GREY, label=f"{label} threshold", **marker))  # type: ignore[arg-type]
    for label, style in dashes.items():
        handles.append(Line2D([], [], color=GREY, linestyle=style, linewidth=1, label=label))
    axes.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, fontsize=8
    )


def draw_precision_recall(curve: Curve, heading: Heading) -> Figure:
    """Return precision against recall, a line each.

    Args:
        curve: recall in increasing order, precision by line; both as shares or both in percent, as
            its labels say.
        heading: what stands above and below.
    """
    figure, axes = new_figure(heading, height=4.6)
    top = 100.0 if max(curve.x, default=0.0) > 1 else 1.0
    for (label, values), colour in zip(curve.y.items(), COLOURS, strict=False):
        axes.plot(curve.x, values, color=colour, label=label)
    for level, style in zip(curve.levels, _DASHES, strict=False):
        axes.axhline(level.y, color=GREY, linestyle=style, linewidth=1, label=level.label)
    tidy(axes)
    axes.set(xlim=(0, top), ylim=(0, 1.03 * top), xlabel=curve.x_label, ylabel=curve.y_label)
    axes.set_aspect("equal")
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, fontsize=8)
    return figure
