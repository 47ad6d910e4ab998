"""An evaluation as one JSON object, for scripts."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from camtool.report.diagnosis_json import diagnosis_record, figures_record

if TYPE_CHECKING:
    from camtool.evaluation.result import Evaluation
    from camtool.metrics.curves import Curve
    from camtool.metrics.intervals import Rate
    from camtool.metrics.thresholds import ThresholdChoice

__all__ = ["SCHEMA_VERSION", "as_text", "to_json", "to_record"]

SCHEMA_VERSION = 1

_NUMBERS = re.compile(r"\[\n([-+.\deE,\s]+)\]")


def to_record(evaluation: Evaluation) -> dict[str, Any]:
    """Return the evaluation as plain data; all rates are in percent."""
    counts = evaluation.counts
    record: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "protocol": evaluation.protocol,
        "convention": evaluation.convention,
        "counts": {
            "annotated": counts.annotated,
            "predicted": counts.predicted,
            "scored": counts.scored,
            "left_out": counts.left_out,
        },
        "metrics": {
            name: {**_rate(rate), "measure": evaluation.measure}
            for name, rate in evaluation.metrics.items()
        }
        | figures_record(evaluation.details),
        "baselines": {
            name: {
                "gt_known_accuracy": baseline.accuracy,
                "gt_known_accuracy_ci95": list(baseline.rate.ci95),
                "gt_known_error": baseline.error,
                "right": baseline.right,
                "n": baseline.n,
            }
            for name, baseline in evaluation.baselines.items()
        },
        "absent": evaluation.all_absent,
        "join": evaluation.join,
        "warnings": list(evaluation.warnings),
    }
    if evaluation.thresholds:
        record["thresholds"] = {n: _threshold(c) for n, c in evaluation.thresholds.items()}
    if best := evaluation.best_centred():
        record["best_centred_box"] = {"name": best[0], "side": best[1]}
    if evaluation.map_baselines:
        record["map_baselines"] = {
            baseline: {name: _rate(rate) for name, rate in rates.items()}
            for baseline, rates in evaluation.map_baselines.items()
        }
    if evaluation.curves:
        record["curves"] = {name: _curve(curve) for name, curve in evaluation.curves.items()}
    if evaluation.details is not None:
        record["diagnosis"] = diagnosis_record(evaluation.details)
    return record


def _rate(rate: Rate) -> dict[str, Any]:
    return {"value": rate.value, "ci95": list(rate.ci95), "n": rate.n}


def _curve(curve: Curve) -> dict[str, Any]:
    return {
        "x_label": curve.x_label,
        "y_label": curve.y_label,
        "x": list(curve.x),
        "y": {label: list(values) for label, values in curve.y.items()},
    }


def _threshold(choice: ThresholdChoice) -> dict[str, Any]:
    return {
        **{r: {"threshold": at.threshold, "value": at.value} for r, at in choice.rules.items()},
        "deployable": choice.deployable,
        "gap": choice.gap,
    }


def to_json(evaluation: Evaluation) -> str:
    """Return the evaluation as one JSON object, without a line end."""
    return as_text(to_record(evaluation))


def as_text(record: dict[str, Any]) -> str:
    """Return a record as JSON, without a line end."""
    text = json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False)
    # Curves are long: their numbers go on one line. No text holds a line end, so none is touched.
    return _NUMBERS.sub(lambda found: f"[{' '.join(found[1].split())}]", text)
