"""Kinds of errors and further figures as plain data, for scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from camtool.evaluation.details import Details
    from camtool.metrics.diagnosis import Diagnosis, Group

__all__ = ["diagnosis_record", "figures_record"]


def figures_record(details: Details | None) -> dict[str, Any]:
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


def diagnosis_record(details: Details) -> dict[str, Any]:
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
