"""What every protocol gives for the same predictions: a row a metric, a column a protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from camtool.report.evaluation_json import as_text, to_record
from camtool.report.layout import bullets, columns, escaped, notes, pipes, wrapped
from camtool.report.rows import joined_reasons, metric_title
from camtool.report.threshold_rows import SUMMARY, threshold_summary

if TYPE_CHECKING:
    from collections.abc import Mapping

    from camtool.evaluation.result import Evaluation, EvaluationOfAll

__all__ = ["to_json", "to_markdown", "to_table"]

_NONE = "–"
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
_THRESHOLDS = ("by threshold, %", *SUMMARY)
_ASPECTS = ("hit", "true_boxes", "guess_box", "top_n", "pixels", "frame", "threshold")
"""What of a convention tells the protocols apart; the rest is the same for all."""


def to_table(result: EvaluationOfAll) -> str:
    """Return the report as plain text."""
    blocks = [columns(_head(result), _rows(result))]
    if chosen := _thresholds(result):
        blocks.append(columns(_THRESHOLDS, chosen))
    if not_given := _not_given(result):
        blocks.append("not given\n" + notes(not_given))
    blocks += ["images\n" + notes(_counts(result)), "conventions\n" + notes(_conventions(result))]
    if common := _common(result):
        blocks.append("in all of them\n" + notes(common))
    if warnings := _warnings(result):
        blocks.append("warnings\n" + "\n".join(wrapped("  - ", w) for w in warnings))
    return "every protocol\n\n" + "\n\n".join(blocks)


def to_markdown(result: EvaluationOfAll) -> str:
    """Return the report as Markdown."""
    blocks = ["## Evaluation: every protocol", pipes(_head(result), _rows(result))]
    if chosen := _thresholds(result):
        blocks.append(pipes(_THRESHOLDS, chosen))
    if not_given := _not_given(result):
        blocks.append("### Not given\n\n" + bullets(not_given))
    blocks.append("### Images\n\n" + bullets(_counts(result)))
    blocks.append("### Conventions\n\n" + bullets(_conventions(result)))
    if common := _common(result):
        blocks.append("### In all of them\n\n" + bullets(common))
    if warnings := _warnings(result):
        listed = "\n".join(f"- {escaped(warning)}" for warning in warnings)
        blocks.append(f"### Warnings\n\n{listed}")
    return "\n\n".join(blocks)


def to_json(result: EvaluationOfAll) -> str:
    """Return the report as one JSON object, without a line end.

    Its keys are those of a single evaluation; `metrics` are those whose name belongs to exactly one
    protocol, and `protocols` holds the whole object of each.
    """
    records = {name: to_record(evaluation) for name, evaluation in result.protocols.items()}
    record: dict[str, Any] = to_record(result.main) | {
        "protocol": "all",
        "convention": {name: _in_short(e) for name, e in result.protocols.items()},
        "metrics": _owned(records),
        "absent": dict(result.absent),
        "warnings": _warnings(result),
        "protocols": records,
    }
    return as_text(record)


def _owned(records: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the metrics whose name belongs to one protocol by definition, by this name."""
    owned: dict[str, Any] = {}
    for protocol, names in _OWNERS.items():
        metrics = records[protocol]["metrics"] if protocol in records else {}
        for name in names or metrics:
            if name in metrics:
                owned.setdefault(name, metrics[name])
    return owned


def _head(result: EvaluationOfAll) -> tuple[str, ...]:
    return ("metric, %", *result.protocols)


def _rows(result: EvaluationOfAll) -> list[tuple[str, ...]]:
    """Return title and value by protocol of each metric that any protocol has."""
    names = dict.fromkeys(n for e in result.protocols.values() for n in e.metrics)
    return [
        (
            _title(name, result),
            *(
                f"{e.metrics[name].value:.2f}" if name in e.metrics else _NONE
                for e in result.protocols.values()
            ),
        )
        for name in names
    ]


def _thresholds(result: EvaluationOfAll) -> list[tuple[str, ...]]:
    """Return what one may expect of each figure on new images, the oracle and the gap."""
    return [
        (f"{name}: {title}", *cells)
        for name, evaluation in result.protocols.items()
        for title, *cells in threshold_summary(evaluation)
    ]


def _title(name: str, result: EvaluationOfAll) -> str:
    """Return a metric's name with what it measures, since errors and accuracies stand together."""
    measures = {e.measure for e in result.protocols.values() if name in e.metrics}
    return f"{metric_title(name)} ({', '.join(sorted(measures))})"


def _not_given(result: EvaluationOfAll) -> list[tuple[str, str]]:
    rows = list(result.absent.items())
    for name, evaluation in result.protocols.items():
        rows += [(f"{name}: {t}", reason) for t, reason in joined_reasons(evaluation.absent)]
    return rows


def _counts(result: EvaluationOfAll) -> list[tuple[str, str]]:
    rows = []
    for name, evaluation in result.protocols.items():
        counts = evaluation.counts
        left_out = "; ".join(f"{reason}: {n:,}" for reason, n in counts.left_out.items())
        scored = f"{counts.scored:,} of {counts.annotated:,} annotated scored"
        rows.append((name, f"{scored}; left out: {left_out or 'none'}"))
    return rows


def _in_short(evaluation: Evaluation) -> str:
    """Return in a paragraph what tells a protocol from the others."""
    convention = evaluation.convention
    said = [aspect for aspect in _ASPECTS if aspect in convention]
    # Mostly the hit rule says which true boxes count.
    if convention["true_boxes"].split(";")[0] in convention["hit"]:
        said.remove("true_boxes")
    return "; ".join(f"{aspect.replace('_', ' ')}: {convention[aspect]}" for aspect in said)


def _conventions(result: EvaluationOfAll) -> list[tuple[str, str]]:
    return [(name, _in_short(evaluation)) for name, evaluation in result.protocols.items()]


def _common(result: EvaluationOfAll) -> list[tuple[str, str]]:
    """Return the aspects that all protocols state alike."""
    first, *others = (e.convention for e in result.protocols.values())
    return [
        (aspect.replace("_", " "), rule)
        for aspect, rule in first.items()
        if aspect not in _ASPECTS and all(other.get(aspect) == rule for other in others)
    ]


def _warnings(result: EvaluationOfAll) -> list[str]:
    """Return each warning once, whichever protocols give it."""
    return list(dict.fromkeys(w for e in result.protocols.values() for w in e.warnings))
