"""The report of a comparison of runs: what fits a screen, or with details all that is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from camtool.errors import shorten
from camtool.reports.diagnosis import change_tables
from camtool.reports.document import Block, Document, Heading, Notes, Table
from camtool.reports.evaluation import warning_block
from camtool.reports.records import comparison_record
from camtool.reports.titles import convention_rows, joined_reasons, metric_title

if TYPE_CHECKING:
    from collections.abc import Sequence

    from camtool.evaluation.result import Comparison, PairedMetric, RunPair

_HEAD: Final = (
    "metric", "first %", "second %", "change", "95 % interval", "better", "worse", "p", "n",
)  # fmt: skip
_SHOWN_WARNINGS: Final = 3


def comparison_document(comparison: Comparison, *, details: bool = False) -> Document:
    """Return the report of a comparison.

    Args:
        comparison: the result.
        details: images that changed, kinds of errors and the whole convention, too.
    """
    blocks: list[Block] = []
    for pair in comparison.pairs:
        blocks += _pair(pair, details=details)
    if details:
        blocks.append(Notes("convention", _convention(comparison)))
        blocks += warning_block(comparison.warnings)
    else:
        stated = comparison.convention
        hit = f"{comparison.measure} in percent; {stated['hit']}; {stated['threshold']}"
        blocks.append(Notes("", [("convention", hit)]))
        blocks += warning_block(comparison.warnings, _SHOWN_WARNINGS)
        more = "--details: images that changed, kinds of errors, the whole convention"
        blocks.append(Notes("", [("more", more)]))
    title = f"protocol {comparison.protocol}"
    return Document(title, blocks, comparison_record(comparison))


def _pair(pair: RunPair, *, details: bool) -> list[Block]:
    left_out = f" ({pair.left_out:,} left out: in one run only)" if pair.left_out else ""
    blocks: list[Block] = [Heading(f"{pair.first} → {pair.second}")]
    blocks.append(Notes("", [("images", f"{pair.images:,}{left_out}")]))
    if pair.metrics:
        blocks.append(Table(_HEAD, _rows(pair)))
    if details:
        blocks += change_tables(pair.kinds)
        if changes := _changes(pair):
            blocks.append(Notes("images that changed", changes))
    if pair.absent:
        blocks.append(Notes("not given", joined_reasons(pair.absent)))
    return blocks


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
