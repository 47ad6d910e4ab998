"""An evaluation as a table: plain text for the terminal, and Markdown."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from camtool.report.rows import (
    absent_rows,
    baseline_rows,
    convention_rows,
    count_rows,
    metric_rows,
    threshold_rows,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from camtool.pipelines.evaluation import Evaluation

__all__ = ["to_markdown", "to_table"]

_WIDTH = 96
_THRESHOLDS = ("accuracy %", "oracle threshold", "fixed threshold", "gap")
_BASELINES = ("GT-known, no network", "error %", "accuracy % (right)", "n")


def to_table(evaluation: Evaluation) -> str:
    """Return the report as plain text, at most 96 columns wide where names allow it."""
    blocks: list[str] = []
    if evaluation.metrics:
        blocks.append(_columns(_metrics(evaluation), metric_rows(evaluation)))
    if evaluation.thresholds:
        blocks.append(_columns(_THRESHOLDS, threshold_rows(evaluation)))
    if evaluation.baselines:
        blocks.append(_columns(_BASELINES, baseline_rows(evaluation)))
    if evaluation.absent:
        blocks.append("not given\n" + _notes(absent_rows(evaluation)))
    blocks.append(_notes(count_rows(evaluation)))
    blocks.append("convention\n" + _notes(convention_rows(evaluation)))
    if evaluation.warnings:
        blocks.append("warnings\n" + "\n".join(_wrapped("  - ", w) for w in evaluation.warnings))
    return f"protocol {evaluation.protocol}\n\n" + "\n\n".join(blocks)


def to_markdown(evaluation: Evaluation) -> str:
    """Return the report as Markdown."""
    blocks = [f"## Evaluation: {_escaped(evaluation.protocol)}"]
    if evaluation.metrics:
        blocks.append(_pipes(_metrics(evaluation), metric_rows(evaluation)))
    if evaluation.thresholds:
        blocks.append(_pipes(_THRESHOLDS, threshold_rows(evaluation)))
    if evaluation.baselines:
        blocks.append(_pipes(_BASELINES, baseline_rows(evaluation)))
    if evaluation.absent:
        blocks.append("### Not given\n\n" + _bullets(absent_rows(evaluation)))
    blocks.append("### Images\n\n" + _bullets(count_rows(evaluation)))
    blocks.append("### Convention\n\n" + _bullets(convention_rows(evaluation)))
    if evaluation.warnings:
        warnings = "\n".join(f"- {_escaped(warning)}" for warning in evaluation.warnings)
        blocks.append(f"### Warnings\n\n{warnings}")
    return "\n\n".join(blocks)


def _metrics(evaluation: Evaluation) -> tuple[str, ...]:
    return "metric", f"{evaluation.measure} %", "95 % interval", "n"


def _columns(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out rows in columns: the first to the left, the others to the right."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    lines = [head, ["-" * width for width in widths], *rows]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )


def _notes(rows: Sequence[tuple[str, str]]) -> str:
    return "\n".join(_wrapped(f"  {title}: ", text) for title, text in rows)


def _wrapped(lead: str, text: str) -> str:
    return textwrap.fill(
        lead + text,
        _WIDTH,
        subsequent_indent="      ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _pipes(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    aligned = ["---", *["---:"] * (len(head) - 1)]
    cells = [list(head), aligned, *([_escaped(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def _bullets(rows: Sequence[tuple[str, str]]) -> str:
    return "\n".join(f"- **{_escaped(title)}**: {_escaped(text)}" for title, text in rows)


def _escaped(text: str) -> str:
    """Return `text` with the characters escaped that Markdown and HTML would take as markup."""
    for character in "\\|*_<>[":
        text = text.replace(character, f"\\{character}")
    return text
