"""Compiled kernels on maps: components, contours and counts at many thresholds at once.

They know arrays and nothing else: no image, no class, no box rule. To read: `compiled` (how they
are compiled, and when a plain twin runs instead), `runs` (a map as runs of pixels), `components`
and `sweep` (one threshold, many); `neighbourhoods`, `tree` and `contours` (8-bit maps, all
thresholds); `counts`.
"""

from __future__ import annotations

from camtool.kernels.components import Components, components_above
from camtool.kernels.contours import LEVELS, Contours, all_contours, largest_contours
from camtool.kernels.counts import grouped_histogram, levels_with_overlap
from camtool.kernels.sweep import BINS, boxes_at_thresholds, level_histogram

__all__ = [
    "BINS",
    "LEVELS",
    "Components",
    "Contours",
    "all_contours",
    "boxes_at_thresholds",
    "components_above",
    "grouped_histogram",
    "largest_contours",
    "level_histogram",
    "levels_with_overlap",
]
