"""An evaluation as one JSON object, for scripts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from camtool.metrics.figures import ThresholdChoice
    from camtool.pipelines.evaluation import Evaluation

__all__ = ["SCHEMA_VERSION", "to_json", "to_record"]

SCHEMA_VERSION = 1


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
            name: {"value": rate.value, "ci95": list(rate.ci95), "n": rate.n}
            for name, rate in evaluation.metrics.items()
        },
        "baselines": {
            name: {
                "gt_known_accuracy": baseline.accuracy,
                "gt_known_error": baseline.error,
                "right": baseline.right,
                "n": baseline.n,
            }
            for name, baseline in evaluation.baselines.items()
        },
        "absent": evaluation.absent,
        "join": evaluation.join,
        "warnings": list(evaluation.warnings),
    }
    if evaluation.thresholds:
        record["thresholds"] = {n: _threshold(c) for n, c in evaluation.thresholds.items()}
    return record


def _threshold(choice: ThresholdChoice) -> dict[str, Any]:
    return {
        "oracle": {"threshold": choice.oracle, "value": choice.oracle_value},
        "fixed": {"threshold": choice.fixed, "value": choice.fixed_value},
        "gap": choice.oracle_value - choice.fixed_value,
    }


def to_json(evaluation: Evaluation) -> str:
    """Return the evaluation as one JSON object, without a line end."""
    return json.dumps(to_record(evaluation), indent=2, ensure_ascii=False, allow_nan=False)
