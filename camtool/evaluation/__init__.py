"""Evaluation: predictions from files against annotations; needs no network.

To read: `sources` and `score_maps` (what is scored), `masks`, `matching` (which image is which),
`truths` (what of it counts), `judging` (into the table of `Trials`), `calibration`, `details`,
`convention`, `evaluate` and `compare` (the straight lines), `comparable`, `result`, `per_image`.

Importing this package loads nothing; its names do when they are used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from camtool.evaluation.compare import compare_runs
    from camtool.evaluation.evaluate import evaluate, evaluate_files
    from camtool.evaluation.result import Comparison, Evaluation
    from camtool.evaluation.settings import EvalSettings

_HOMES = {
    "Comparison": "result",
    "EvalSettings": "settings",
    "Evaluation": "result",
    "compare_runs": "compare",
    "evaluate": "evaluate",
    "evaluate_files": "evaluate",
}

__all__ = [
    "Comparison",
    "EvalSettings",
    "Evaluation",
    "compare_runs",
    "evaluate",
    "evaluate_files",
]


def __getattr__(name: str) -> object:
    """Load a public name on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
