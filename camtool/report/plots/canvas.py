"""What all figures share: size, heading, colours, and files whose bytes depend on the data alone.

Figures are built without `pyplot`, which would keep them in a global list and choose a backend that
needs a screen.
"""

from __future__ import annotations

import io
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import matplotlib as mpl
from matplotlib.figure import Figure

from camtool.errors import SettingsError
from camtool.runs.writing import write_atomically

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

__all__ = ["COLOURS", "FORMS", "GREY", "Heading", "new_figure", "tidy", "write_figure"]

COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Of Okabe and Ito, "Color Universal Design", 2008: told apart by colour-blind readers too."""

GREY: Final = "#595959"

FORMS: Final = (".png", ".svg")
"""Endings of the files that figures are written to."""

_STYLE: Final[Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same on every machine
    "font.size": 9,
    "svg.hashsalt": "camtool",  # names of parts inside an SVG are random otherwise
}
_DPI: Final = 200
_WIDTH: Final = 6.6
_NOTE_COLUMNS: Final = 128


@dataclass(frozen=True, slots=True)
class Heading:
    """What stands above and below a figure.

    Attributes:
        title: what is shown, and of how many images.
        notes: the convention by which was scored; long text is wrapped.
    """

    title: str
    notes: str = ""


def new_figure(heading: Heading, height: float = 4.2) -> tuple[Figure, Axes]:
    """Return an empty figure under its heading, `height` inches high without the notes."""
    lines = textwrap.wrap(heading.notes, _NOTE_COLUMNS, break_on_hyphens=False)
    below = 0.14 * len(lines) + 0.05
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH, height + below))
        axes = figure.add_subplot()
        figure.suptitle(heading.title, x=0.012, ha="left", fontsize=10.5, fontweight="bold")
        figure.text(
            0.012, 0.012, "\n".join(lines), fontsize=7, color=GREY, va="bottom", linespacing=1.35
        )
        share = below / (height + below)
        figure.set_layout_engine("constrained", rect=(0, share, 1, 1 - share))
    return figure, axes


def tidy(axes: Axes) -> None:
    """Leave only lines that help reading."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#E5E5E5", linewidth=0.7)
    axes.set_axisbelow(True)


def write_figure(figure: Figure, path: Path) -> None:
    """Write a figure whole, as PNG or SVG by the ending; the same figure gives the same bytes.

    Raises:
        SettingsError: another ending.
        RunError: it cannot be written.
    """
    form = path.suffix.lower()
    if form not in FORMS:
        raise SettingsError(f"{path}: figures are written as {' or '.join(FORMS)}")
    # Date and program version would make every file another one.
    metadata = {"Date": None, "Creator": None} if form == ".svg" else {"Software": None}
    buffer = io.BytesIO()
    with mpl.rc_context(_STYLE):
        figure.savefig(buffer, format=form[1:], dpi=_DPI, metadata=metadata)
    write_atomically(path, buffer.getvalue())
