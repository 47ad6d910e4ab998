"""Results as plain data, for scripts: the objects that `--format json` prints."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from camtool.evaluation.details import Details
    from camtool.evaluation.result import Comparison, Evaluation, EvaluationOfAll, PairedMetric
    from camtool.metrics.curves import Curve
    from camtool.metrics.diagnosis import Diagnosis, Group
    from camtool.metrics.intervals import Rate
    from camtool.metrics.thresholds import ThresholdChoice

_EVALUATION_VERSION: Final = 1
_COMPARISON_VERSION: Final = 1
_OWNERS: dict[str, tuple[str, ...]] = {
    "ilsvrc": (),
    "maxboxacc": ("max_box_acc",),
    "maxboxacc-v2": (),
    "pxap": (),
}
"""The protocols whose metrics stand for all by their bare name; empty for every one that it has.

Errors are those of `ilsvrc`: TS-CAM and ADL have others of the same names. Box accuracy at an IoU
is that of `maxboxacc-v2`; of `maxboxacc` comes its own metric alone.
"""


def evaluation_record(evaluation: Evaluation) -> dict[str, Any]:
    """Return the evaluation as plain data; all rates are in percent."""
    record: dict[str, Any] = {
        "schema_version": _EVALUATION_VERSION,
        "protocol": evaluation.protocol,
        "convention": evaluation.convention,
        "counts": asdict(evaluation.counts),
        "metrics": {
            name: {**_rate(rate), "measure": evaluation.measure}
            for name, rate in evaluation.metrics.items()
        }
        | _figures(evaluation.details),
        "baselines": {
            name: {
                "gt_known_accuracy": baseline.accuracy,
                "gt_known_accuracy_ci95": list(baseline.rate.ci95),
                "gt_known_error": baseline.error,
                "right": baseline.right,
                "n": baseline.n,
                **({"top1_localization_accuracy": baseline.top1.value} if baseline.top1 else {}),
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
    if evaluation.verdict is not None:
        record["against_centred_box"] = {
            "gt_known_accuracy": evaluation.verdict.second,
            "centred_box": evaluation.verdict.first,
            "difference": evaluation.verdict.value,
            "ci95": list(evaluation.verdict.ci95),
            "n": evaluation.verdict.n,
        }
    if evaluation.map_baselines:
        record["map_baselines"] = {
            baseline: {name: _rate(rate) for name, rate in rates.items()}
            for baseline, rates in evaluation.map_baselines.items()
        }
    if evaluation.curves:
        record["curves"] = {name: _curve(curve) for name, curve in evaluation.curves.items()}
    if evaluation.details is not None:
        record["diagnosis"] = _details(evaluation.details)
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


def _figures(details: Details | None) -> dict[str, Any]:
    """Return the further figures in the form of metrics; rates are in percent."""
    figures = {} if details is None else details.figures
    return {
        name: {
            "value": figure.rate.value,
            "ci95": list(figure.rate.ci95),
            "n": figure.rate.n,
            "measure": figure.measure,
        }
        for name, figure in figures.items()
    }


def _details(details: Details) -> dict[str, Any]:
    """Return counts and shares (in percent) of each kind of error, and the histogram of IoU."""
    record: dict[str, Any] = {
        name: _diagnosis(diagnosis, details.class_titles)
        for name, diagnosis in details.diagnoses.items()
    }
    if details.iou_histogram is not None:
        bins = len(details.iou_histogram)
        record["iou_histogram"] = {
            "edges": [k / bins for k in range(bins + 1)],
            "counts": list(details.iou_histogram),
        }
    return record


def _diagnosis(diagnosis: Diagnosis, titles: dict[str, str]) -> dict[str, Any]:
    kinds = list(diagnosis.kinds)
    return {
        "kinds": {
            kind: {
                "count": diagnosis.counts[kind],
                "share": rate.value,
                "ci95": list(rate.ci95),
                "n": rate.n,
            }
            for kind, rate in diagnosis.kinds.items()
        },
        "by_size": [_group(group, kinds) for group in diagnosis.by_size],
        "by_aspect": [_group(group, kinds) for group in diagnosis.by_aspect],
        "by_instances": [_group(group, kinds) for group in diagnosis.by_instances],
        "by_class": {
            label: {
                **({"title": titles[label]} if label in titles else {}),
                "n": sum(counts),
                "counts": dict(zip(kinds, counts, strict=True)),
            }
            for label, counts in diagnosis.by_class.items()
        },
    }


def _group(group: Group, kinds: Sequence[str]) -> dict[str, Any]:
    return {
        "title": group.title,
        "from": group.low,
        "below": group.high,
        "n": group.n,
        "counts": dict(zip(kinds, group.counts, strict=True)),
        "shares": {k: 100 * c / group.n for k, c in zip(kinds, group.counts, strict=True)},
    }


def record_of_all(result: EvaluationOfAll) -> dict[str, Any]:
    """Return every protocol's evaluation as plain data.

    Its keys are those of a single evaluation; `metrics` are those whose name belongs to exactly one
    protocol, and `protocols` holds the whole object of each.
    """
    records = {name: evaluation_record(e) for name, e in result.protocols.items()}
    return evaluation_record(result.main) | {
        "protocol": "all",
        "convention": {name: e.convention_in_short for name, e in result.protocols.items()},
        "metrics": _owned(records),
        "absent": dict(result.absent),
        "warnings": result.warnings,
        "protocols": records,
    }


def _owned(records: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the metrics whose name belongs to one protocol by definition, by this name."""
    owned: dict[str, Any] = {}
    for protocol, names in _OWNERS.items():
        metrics = records[protocol]["metrics"] if protocol in records else {}
        for name in names or metrics:
            if name in metrics:
                owned.setdefault(name, metrics[name])
    return owned


def comparison_record(comparison: Comparison) -> dict[str, Any]:
    """Return the comparison as plain data; rates are in percent, differences in points of it."""
    return {
        "schema_version": _COMPARISON_VERSION,
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
        "groups": [
            {
                "name": group.name,
                "runs": list(group.runs),
                "metrics": {
                    name: {"mean": group.mean(name), "sd": group.sd(name), "values": list(values)}
                    for name, values in group.rates.items()
                },
            }
            for group in comparison.groups
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
