"""Figures of an evaluation as PNG, SVG and PDF; the only part of the reports that needs matplotlib.

Figures are built without `pyplot`, which would keep them in a global list and choose a backend that
needs a screen. The bytes of their files depend on the data alone.
"""

from __future__ import annotations

import io
import textwrap
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from camtool.errors import SettingsError
from camtool.metrics.curves import Level
from camtool.reports.lettering import readable
from camtool.runs.writing import make_folder, write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.text import Annotation
    from matplotlib.transforms import BboxBase

    from camtool.evaluation.details import Details
    from camtool.evaluation.result import Evaluation
    from camtool.metrics.curves import Bars, Curve, Histogram

COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Of Okabe and Ito, "Color Universal Design", 2008: told apart by colour-blind readers too."""

GREY: Final = "#595959"

FORMS: Final = (".png", ".svg", ".pdf")
"""Endings of the files that figures are written to."""

_STYLE: Final[Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same on every machine
    "font.size": 9,
    "svg.hashsalt": "camtool",  # names of parts inside an SVG are random otherwise
}
_DATED: Final = {
    ".png": ("Software",),
    ".svg": ("Date", "Creator"),
    ".pdf": ("CreationDate", "Creator", "Producer"),
}
_DPI: Final = 200
_WIDTH: Final = 6.6
_NOTE_COLUMNS: Final = 96


@dataclass(frozen=True, slots=True)
class Heading:
    """What is told of a figure: above it, and in the caption beside its files.

    Attributes:
        title: what is shown, and of how many images.
        notes: the convention by which was scored; in the caption only.
    """

    title: str
    notes: str = ""

    @property
    def caption(self) -> str:
        """Title and notes as lines."""
        return "\n".join([self.title, *textwrap.wrap(self.notes, _NOTE_COLUMNS)]) + "\n"


def new_figure(heading: Heading, height: float = 4.2) -> tuple[Figure, Axes]:
    """Return an empty figure under its title, `height` inches high."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH, height))
        axes = figure.add_subplot()
        figure.suptitle(heading.title, x=0.012, ha="left", fontsize=10.5, fontweight="bold")
        figure.set_layout_engine("constrained")
    return figure, axes


def tidy(axes: Axes) -> None:
    """Leave only lines that help reading."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#E5E5E5", linewidth=0.7)
    axes.set_axisbelow(True)


def write_figure(figure: Figure, path: Path) -> None:
    """Write a figure whole, in the form of the ending; the same figure gives the same bytes.

    Raises:
        SettingsError: another ending.
        RunError: it cannot be written.
    """
    form = path.suffix.lower()
    if form not in FORMS:
        raise SettingsError(f"{path}: figures are written as {' or '.join(FORMS)}")
    # Date and program version would make every file another one.
    metadata = dict.fromkeys(_DATED[form])
    buffer = io.BytesIO()
    with mpl.rc_context(_STYLE):
        figure.savefig(buffer, format=form[1:], dpi=_DPI, metadata=metadata)
    write_atomically(path, buffer.getvalue())


# Of Okabe and Ito, ordered so that neighbours differ in brightness; the first is what is right.
_FILLS: Final = (
    "#009E73", "#F0E442", "#0072B2", "#56B4E9", "#E69F00", "#D55E00", "#999999", "#CC79A7",
)  # fmt: skip
_LIGHT: Final = {"#F0E442", "#56B4E9", "#E69F00", "#999999"}
_WIDE_ENOUGH: Final = 6.0
"""Share in percent from which on a part holds its number."""


def draw_bars(bars: Bars, heading: Heading) -> Figure:
    """Return a lying bar for each group, whose parts are the shares of the kinds in percent.

    Args:
        bars: groups from top to bottom, the whole set first, a little apart from the others.
        heading: what stands above and below.
    """
    figure, axes = new_figure(heading, height=1.5 + 0.34 * len(bars.groups))
    places = np.array([0.0, *(np.arange(1, len(bars.groups)) + 0.35)])
    left = np.zeros(len(bars.groups))
    for number, (kind, shares) in enumerate(bars.shares.items()):
        fill = _FILLS[number % len(_FILLS)]
        axes.barh(
            places, shares, left=left, height=0.78, label=kind, color=fill, edgecolor="white",
            linewidth=0.8,
        )  # fmt: skip
        for place, start, share in zip(places, left, shares, strict=True):
            if share >= _WIDE_ENOUGH:
                colour = "black" if fill in _LIGHT else "white"
                axes.text(
                    start + share / 2, place, f"{share:.0f}", ha="center", va="center",
                    fontsize=7.5, color=colour,
                )  # fmt: skip
        left += np.array(shares)
    counted = zip(bars.groups, bars.counts, strict=True)
    names = [f"{readable(group)}  (n = {n:,})" for group, n in counted]
    axes.set_yticks(places, names)
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.set(xlim=(0, 100), xlabel=bars.label)
    axes.legend(
        loc="lower left", bbox_to_anchor=(0, 1), ncols=4, frameon=False, fontsize=8,
        handlelength=1, handleheight=1, borderpad=0, columnspacing=1.4,
    )  # fmt: skip
    return figure


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
    labels = _draw_points(axes, curve, colours)
    tidy(axes)
    axes.set(xlim=(0, 1), ylim=(0, 103), xlabel=curve.x_label, ylabel=curve.y_label)
    _explain(axes, curve, colours, dashes)
    _part(figure, labels)
    return figure


def _draw_points(axes: Axes, curve: Curve, colours: dict[str, str]) -> list[Annotation]:
    """Draw the named points; return the labels beside them."""
    labels = []
    for point in curve.points:
        colour = colours[point.line]
        face = colour if point.label == _FILLED else "white"
        axes.plot(point.x, point.y, "o", color=colour, markerfacecolor=face, markersize=5.5)
        labels.append(axes.annotate(
            f"{point.y:.1f}", (point.x, point.y), _PLACES[0], textcoords="offset points",
            ha="center", va="center", fontsize=8, color=colour,
            path_effects=[withStroke(linewidth=2.5, foreground="white")],
        ))  # fmt: skip
    return labels


# Above the point first, then below it and at its sides, then farther away; in points of the paper.
_PLACES: Final = (
    (0, 10), (0, -11), (18, 4), (-18, 4), (18, -9), (-18, -9), (0, 21), (0, -22), (18, 15),
)  # fmt: skip


def _part(figure: Figure, labels: list[Annotation]) -> None:
    """Move each label to the first place around its point where it covers no other one."""
    figure.draw_without_rendering()
    taken: list[BboxBase] = []
    for label in labels:
        boxes = []
        for place in _PLACES:
            label.set_position(place)
            boxes.append(label.get_window_extent())
            if not any(boxes[-1].overlaps(other) for other in taken):
                break
        else:
            label.set_position(_PLACES[0])
            boxes.append(boxes[0])
        taken.append(boxes[-1])


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


_CURVES: Final = {
    "box_accuracy": (draw_accuracy, "box accuracy against threshold"),
    "gt_known": (draw_accuracy, "GT-known localization against threshold"),
    "top1_localization": (draw_accuracy, "top-1 localization against threshold"),
    "precision_recall": (draw_precision_recall, "precision against recall"),
}
_DIAGNOSES: Final = {"top1": "top-1 guess", "gt_known": "true class's box"}
_ASPECTS: Final = ("hit", "guess_box", "true_boxes", "frame", "pixels", "threshold")


def write_plots(evaluation: Evaluation, folder: Path) -> list[Path]:
    """Write every figure that the data allow in every form, and its caption as text.

    Returns:
        The files of the figures.

    Raises:
        RunError: the folder cannot be written.
    """
    make_folder(folder)
    written: list[Path] = []
    for name, figure, heading in _figures(evaluation):
        for form in FORMS:
            path = folder / f"{name}{form}"
            write_figure(figure, path)
            written.append(path)
        write_atomically(folder / f"{name}.txt", heading.caption)
    return written


def _figures(evaluation: Evaluation) -> Iterator[tuple[str, Figure, Heading]]:
    for name, curve in evaluation.curves.items():
        if name in _CURVES:
            draw, title = _CURVES[name]
            heading = _heading(evaluation, title)
            yield name, draw(_with_centred(name, curve, evaluation), heading), heading
    if evaluation.details is not None:
        yield from _details(evaluation, evaluation.details)


def _with_centred(name: str, curve: Curve, evaluation: Evaluation) -> Curve:
    """Return the curve with what the best centred box reaches, at the protocol's own IoU."""
    best = evaluation.best_centred(f"{name}_error")
    if best is None or not curve.points:
        return curve
    level = Level(curve.points[0].line, best[2], "best centred box")
    return replace(curve, levels=(*curve.levels, level))


def _details(evaluation: Evaluation, details: Details) -> Iterator[tuple[str, Figure, Heading]]:
    for name, diagnosis in details.diagnoses.items():
        heading = _heading(evaluation, f"kinds of errors of the {_DIAGNOSES[name]}")
        yield f"kinds_{name}", draw_bars(diagnosis.bars(), heading), heading
    if histogram := details.histogram():
        heading = _heading(evaluation, "overlap of the true class's box")
        yield "iou_histogram", draw_histogram(histogram, heading), heading


def _heading(evaluation: Evaluation, title: str) -> Heading:
    """Return a heading that says by which protocol, on how many images, and how was scored."""
    rules = [
        f"{aspect.replace('_', ' ')}: {evaluation.convention[aspect]}"
        for aspect in _ASPECTS
        if aspect in evaluation.convention
    ]
    n = next(iter(evaluation.metrics.values())).n if evaluation.metrics else 0
    return Heading(f"{evaluation.protocol}: {title}, n = {n:,}", " · ".join(rules))
