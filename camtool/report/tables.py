"""An evaluation as a table: plain text for the terminal, and Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from camtool.report.diagnosis_rows import detail_tables
from camtool.report.layout import bullets, columns, escaped, notes, pipes, wrapped
from camtool.report.rows import (
    baseline_rows,
    best_side_note,
    convention_rows,
    count_rows,
    joined_reasons,
    map_baseline_rows,
    metric_rows,
)
from camtool.report.threshold_rows import threshold_tables

if TYPE_CHECKING:
    from camtool.evaluation.result import Evaluation

__all__ = ["to_markdown", "to_table"]

_BASELINES = ("GT-known, no network", "error %", "accuracy % (right)", "its 95 % interval", "n")
_MAP_BASELINES = ("no network", "these maps", "centred Gaussian", "whole image", "centred box")


def to_table(evaluation: Evaluation) -> str:
    """Return the report as plain text, at most 96 columns wide where names allow it."""
    blocks: list[str] = []
    if evaluation.metrics:
        blocks.append(columns(_metrics(evaluation), metric_rows(evaluation)))
    blocks += [columns(head, rows) for head, rows in threshold_tables(evaluation)]
    if evaluation.baselines or evaluation.map_baselines:
        below = notes(best_side_note(evaluation))
        blocks.append(f"{columns(*_baselines(evaluation))}\n{below}".rstrip())
    blocks += [columns(head, rows) for head, rows in detail_tables(evaluation.details)]
    if absent := evaluation.all_absent:
        blocks.append("not given\n" + notes(joined_reasons(absent)))
    blocks.append(notes(count_rows(evaluation)))
    blocks.append("convention\n" + notes(convention_rows(evaluation.convention)))
    if evaluation.warnings:
        blocks.append("warnings\n" + "\n".join(wrapped("  - ", w) for w in evaluation.warnings))
    return f"protocol {evaluation.protocol}\n\n" + "\n\n".join(blocks)


def to_markdown(evaluation: Evaluation) -> str:
    """Return the report as Markdown."""
    blocks = [f"## Evaluation: {escaped(evaluation.protocol)}"]
    if evaluation.metrics:
        blocks.append(pipes(_metrics(evaluation), metric_rows(evaluation)))
    blocks += [pipes(head, rows) for head, rows in threshold_tables(evaluation)]
    if evaluation.baselines or evaluation.map_baselines:
        below = bullets(best_side_note(evaluation))
        blocks.append(f"{pipes(*_baselines(evaluation))}\n\n{below}".rstrip())
    blocks += [pipes(head, rows) for head, rows in detail_tables(evaluation.details)]
    if absent := evaluation.all_absent:
        blocks.append("### Not given\n\n" + bullets(joined_reasons(absent)))
    blocks.append("### Images\n\n" + bullets(count_rows(evaluation)))
    blocks.append("### Convention\n\n" + bullets(convention_rows(evaluation.convention)))
    if evaluation.warnings:
        warnings = "\n".join(f"- {escaped(warning)}" for warning in evaluation.warnings)
        blocks.append(f"### Warnings\n\n{warnings}")
    return "\n\n".join(blocks)


def _metrics(evaluation: Evaluation) -> tuple[str, ...]:
    return "metric", f"{evaluation.measure} %", "95 % interval", "n"


def _baselines(evaluation: Evaluation) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return head and rows: by the protocol's own metrics where it has such baselines."""
    if evaluation.map_baselines:
        return _MAP_BASELINES, map_baseline_rows(evaluation)
    return _BASELINES, baseline_rows(evaluation)
