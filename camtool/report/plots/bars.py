"""Stacked bars: the kinds of error of all images, and group by group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from camtool.report.plots.canvas import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from camtool.metrics.curves import Bars
    from camtool.report.plots.canvas import Heading

__all__ = ["draw_bars"]

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
    names = [f"{g}  (n = {n:,})" for g, n in zip(bars.groups, bars.counts, strict=True)]
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
