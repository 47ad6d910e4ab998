"""Evaluate by every protocol: the same predictions, side by side, annotations read once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from camtool.annotations import read_annotations
from camtool.annotations.reader import bulk_creation
from camtool.errors import CamtoolError, SettingsError
from camtool.evaluation.calibration import recall
from camtool.evaluation.predictions import load_predictions
from camtool.evaluation.result import EvaluationOfAll
from camtool.metrics.protocols import PROTOCOLS
from camtool.pipelines.evaluate import evaluate_loaded

if TYPE_CHECKING:
    from pathlib import Path

    from camtool.evaluation.result import EvalSettings, Evaluation

__all__ = ["evaluate_all"]


@bulk_creation()
def evaluate_all(settings: EvalSettings, run: Path | None = None) -> EvaluationOfAll:
    """Score a run folder, or the predictions that the settings name, by every protocol.

    Args:
        settings: what to score, and how; its protocol is not looked at, every one has its defaults.
        run: a run folder of `camtool localize`.

    Raises:
        SettingsError: there is nothing to score, or only baselines are asked for.
        CamtoolError: no protocol can be scored: the reason of the first; see `evaluate_files`.
    """
    if settings.annotations is None:
        raise SettingsError("no true boxes to score against: give --boxes PATH (eval.annotations)")
    if settings.baselines_only:
        raise SettingsError(
            "--baselines-only needs no predictions, so no protocol: leave out --protocol all"
        )
    if settings.calibrate_on is not None:
        raise SettingsError(
            "--calibrate-on chooses a threshold for one protocol: name it instead of --protocol all"
        )
    annotations = read_annotations(settings.annotations, settings.format)
    found: dict[str, Evaluation] = {}
    absent: dict[str, str] = {}
    errors: list[CamtoolError] = []
    try:
        for kind in PROTOCOLS:
            name = str(kind.model_fields["name"].default)
            one = settings.model_copy(update={"protocol": kind(), "every_protocol": False})
            try:
                loaded = load_predictions(one, run, annotations)
                found[name] = evaluate_loaded(loaded, annotations, one, recall(one, run))
            except CamtoolError as error:
                absent[name] = str(error)
                errors.append(error)
        if not found:
            raise errors[0]
    finally:
        # An error holds what its frames held, open files among them.
        errors.clear()
    return EvaluationOfAll(found, absent)
