"""A comparison of runs as tables: plain text for the terminal, and Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from camtool.errors import shorten
from camtool.report.diagnosis_rows import change_tables
from camtool.report.layout import bullets, columns, escaped, notes, pipes, wrapped
from camtool.report.rows import convention_rows, joined_reasons, metric_title

if TYPE_CHECKING:
    from collections.abc import Sequence

    from camtool.evaluation.result import Comparison, PairedMetric, RunPair

__all__ = ["to_markdown", "to_table"]

_HEAD = (
    "metric", "first %", "second %", "change", "95 % interval", "better", "worse", "p", "n",
)  # fmt: skip


def to_table(comparison: Comparison) -> str:
    """Return the comparison as plain text."""
    blocks = [f"protocol {comparison.protocol}"]
    for pair in comparison.pairs:
        blocks.append(f"first   {pair.first}\nsecond  {pair.second}\nimages  {_images(pair)}")
        if pair.metrics:
            blocks.append(columns(_HEAD, _rows(pair)))
        blocks += [columns(head, rows) for head, rows in change_tables(pair.kinds)]
        if changes := _changes(pair):
            blocks.append("images that changed\n" + notes(changes))
        if pair.absent:
            blocks.append("not given\n" + notes(joined_reasons(pair.absent)))
    blocks.append("convention\n" + notes(_convention(comparison)))
    if comparison.warnings:
        blocks.append("warnings\n" + "\n".join(wrapped("  - ", w) for w in comparison.warnings))
    return "\n\n".join(blocks)


def to_markdown(comparison: Comparison) -> str:
    """Return the comparison as Markdown."""
    blocks = [f"## Comparison: {escaped(comparison.protocol)}"]
    for pair in comparison.pairs:
        blocks.append(
            f"### {escaped(pair.first)} → {escaped(pair.second)}, images: {_images(pair)}"
        )
        if pair.metrics:
            blocks.append(pipes(_HEAD, _rows(pair)))
        blocks += [pipes(head, rows) for head, rows in change_tables(pair.kinds)]
        if changes := _changes(pair):
            blocks.append("#### Images that changed\n\n" + bullets(changes))
        if pair.absent:
            blocks.append("#### Not given\n\n" + bullets(joined_reasons(pair.absent)))
    blocks.append("### Convention\n\n" + bullets(_convention(comparison)))
    if comparison.warnings:
        warnings = "\n".join(f"- {escaped(warning)}" for warning in comparison.warnings)
        blocks.append(f"### Warnings\n\n{warnings}")
    return "\n\n".join(blocks)


def _rows(pair: RunPair) -> list[tuple[str, ...]]:
    return [_row(name, metric) for name, metric in pair.metrics.items()]


def _row(name: str, metric: PairedMetric) -> tuple[str, ...]:
    low, high = metric.difference.ci95
    return (
        metric_title(name),
        f"{metric.difference.first:.2f}",
        f"{metric.difference.second:.2f}",
        f"{metric.difference.value:+.2f}",
        f"{low:+.2f} to {high:+.2f}",
        f"{metric.better:,}",
        f"{metric.worse:,}",
        f"{metric.test.p:.4f}" if metric.test.p >= 0.0001 else "<0.0001",
        f"{metric.difference.n:,}",
    )


def _convention(comparison: Comparison) -> list[tuple[str, str]]:
    measure = ("first, second", f"{comparison.measure} in percent")
    return [*convention_rows(comparison.convention), measure]


def _images(pair: RunPair) -> str:
    left_out = f" ({pair.left_out:,} left out: in one run only)" if pair.left_out else ""
    return f"{pair.images:,}{left_out}"


def _changes(pair: RunPair) -> list[tuple[str, str]]:
    """Return title and the first images that changed, for the metrics that changed at all."""
    found: list[tuple[str, str]] = []
    for name, metric in pair.metrics.items():
        better = _named("better", metric.better, metric.better_ids)
        worse = _named("worse", metric.worse, metric.worse_ids)
        if sides := [side for side in (better, worse) if side]:
            found.append((metric_title(name), "; ".join(sides)))
    return found


def _named(side: str, number: int, ids: Sequence[str]) -> str:
    if not number:
        return ""
    more = " …" if number > len(ids) else ""
    return f"{number:,} {side} ({', '.join(shorten(i) for i in ids)}{more})"
