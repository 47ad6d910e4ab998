"""Weakly supervised object localization: class activation maps, boxes and honest scores.

The public names load on first use, so that `import camtool` costs nothing.

    from camtool import Localizer

    found = Localizer()("photo.jpg")
    print(found.classes[0].title, found.classes[0].boxes)
    found.overlay().save("overlay.jpg")
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from camtool.annotations import AnnotationSet, read_annotations, read_labels
    from camtool.boxes import PaperBoxes
    from camtool.cam import Cam
    from camtool.errors import CamtoolError
    from camtool.evaluation import EvalSettings, Evaluation, evaluate, evaluate_files
    from camtool.exports import ExportResult, Run, Selection, export
    from camtool.images import CenterCrop, Squeeze
    from camtool.models import ModelSettings
    from camtool.pipelines.experiment import Experiment, LocalizeSettings
    from camtool.pipelines.localization import Localization
    from camtool.pipelines.localize import localize
    from camtool.pipelines.localizer import Localizer
    from camtool.pipelines.train import TrainResult, train
    from camtool.reports.page import report
    from camtool.runs import MapFiles, read_manifest, read_predictions
    from camtool.settings import load_settings
    from camtool.structures import (
        AnnotatedObject,
        Annotation,
        Box,
        ClassPrediction,
        Prediction,
        ScoredBox,
        ScoreMap,
    )

__version__ = "0.1.0"

_HOMES = {
    "camtool.annotations": ("AnnotationSet", "read_annotations", "read_labels"),
    "camtool.boxes": ("PaperBoxes",),
    "camtool.cam": ("Cam",),
    "camtool.errors": ("CamtoolError",),
    "camtool.exports": ("ExportResult", "Run", "Selection", "export"),
    "camtool.images": ("CenterCrop", "Squeeze"),
    "camtool.models": ("ModelSettings",),
    "camtool.evaluation": ("EvalSettings", "Evaluation", "evaluate", "evaluate_files"),
    "camtool.pipelines.experiment": ("Experiment", "LocalizeSettings"),
    "camtool.pipelines.localize": ("localize",),
    "camtool.pipelines.localization": ("Localization",),
    "camtool.pipelines.localizer": ("Localizer",),
    "camtool.pipelines.train": ("TrainResult", "train"),
    "camtool.reports.page": ("report",),
    "camtool.runs": ("MapFiles", "read_manifest", "read_predictions"),
    "camtool.settings": ("load_settings",),
    "camtool.structures": (
        "AnnotatedObject",
        "Annotation",
        "Box",
        "ClassPrediction",
        "Prediction",
        "ScoreMap",
        "ScoredBox",
    ),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "AnnotatedObject",
    "Annotation",
    "AnnotationSet",
    "Box",
    "Cam",
    "CamtoolError",
    "CenterCrop",
    "ClassPrediction",
    "EvalSettings",
    "Evaluation",
    "Experiment",
    "ExportResult",
    "Localization",
    "LocalizeSettings",
    "Localizer",
    "MapFiles",
    "ModelSettings",
    "PaperBoxes",
    "Prediction",
    "Run",
    "ScoreMap",
    "ScoredBox",
    "Selection",
    "Squeeze",
    "TrainResult",
    "__version__",
    "evaluate",
    "evaluate_files",
    "export",
    "load_settings",
    "localize",
    "read_annotations",
    "read_labels",
    "read_manifest",
    "read_predictions",
    "report",
    "train",
]


def __getattr__(name: str) -> object:
    """Load a public name on first use."""
    if name not in _HOME:
        raise AttributeError(f"module 'camtool' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted(__all__)
