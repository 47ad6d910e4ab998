"""A comparison of runs as one JSON object, for scripts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from camtool.evaluation.result import Comparison, PairedMetric

__all__ = ["SCHEMA_VERSION", "to_json", "to_record"]

SCHEMA_VERSION = 1


def to_record(comparison: Comparison) -> dict[str, Any]:
    """Return the comparison as plain data; rates are in percent, differences in points of it."""
    return {
        "schema_version": SCHEMA_VERSION,
        "protocol": comparison.protocol,
        "measure": comparison.measure,
        "convention": comparison.convention,
        "pairs": [
            {
                "first": pair.first,
                "second": pair.second,
                "counts": {"images": pair.images, "left_out": pair.left_out},
                "metrics": {name: _metric(metric) for name, metric in pair.metrics.items()},
                "absent": pair.absent,
                "kinds": pair.kinds,
            }
            for pair in comparison.pairs
        ],
        "warnings": list(comparison.warnings),
    }


def _metric(metric: PairedMetric) -> dict[str, Any]:
    difference = metric.difference
    return {
        "first": difference.first,
        "second": difference.second,
        "difference": difference.value,
        "ci95": list(difference.ci95),
        "n": difference.n,
        "mcnemar": {
            "p": metric.test.p,
            "test": "exact" if metric.test.chi2 is None else "chi2",
            "chi2": metric.test.chi2,
        },
        "better": {"images": metric.better, "first_ids": list(metric.better_ids)},
        "worse": {"images": metric.worse, "first_ids": list(metric.worse_ids)},
    }


def to_json(comparison: Comparison) -> str:
    """Return the comparison as one JSON object, without a line end."""
    return json.dumps(to_record(comparison), indent=2, ensure_ascii=False, allow_nan=False)
