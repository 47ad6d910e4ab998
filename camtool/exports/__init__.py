"""Boxes of a run in the formats that other programs read: data sets, detectors, annotation tools.

To read: `selection` (which boxes, of which classes, in which frame), `target` (files that appear
whole), then a file a format: `coco`, `voc`, `yolo`, `tables`, `label_studio`; `writing` is the line
from run to files, `objects` that from run to records, pandas and supervision.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from camtool.exports.objects import Run
    from camtool.exports.selection import Selection
    from camtool.exports.writing import FORMATS, ExportResult, export

_HOMES = {
    "FORMATS": "writing",
    "ExportResult": "writing",
    "Run": "objects",
    "Selection": "selection",
    "export": "writing",
}

__all__ = ["FORMATS", "ExportResult", "Run", "Selection", "export"]


def __getattr__(name: str) -> object:
    """Load a public name on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
