"""The report of a comparison of runs: what fits a screen, or with details all that is known.

Figures are accuracies, and columns are named by the runs. Two runs stand side by side; of more,
each has a row.
"""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, Final

from camtool.errors import shorten
from camtool.reports.diagnosis import change_tables
from camtool.reports.document import Block, Document, Heading, Notes, Table
from camtool.reports.evaluation import warning_block
from camtool.reports.records import comparison_record
from camtool.reports.titles import (
    accuracy,
    convention_rows,
    joined_reasons,
    measure_title,
    metric_title,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from camtool.evaluation.result import Comparison, PairedMetric, RunGroup, RunPair

_OF_MANY: Final = frozenset(f"top5_{what}_error" for what in ("classification", "localization"))
"""Figures that a table of many runs leaves out besides, to fit a screen."""
_LEFT_TO_DETAILS: Final = frozenset(f"top{n}_{what}_error" for n in (2, 3, 4) for what in (
    "classification", "localization",
))  # fmt: skip
_LONGEST_NAME: Final = 12
_SHOWN_WARNINGS: Final = 3


def comparison_document(comparison: Comparison, *, details: bool = False) -> Document:
    """Return the report of a comparison.

    Args:
        comparison: the result.
        details: every figure with McNemar's test, images that changed, kinds of errors and the
            whole convention, too.
    """
    names = short_names(n for pair in comparison.pairs for n in (pair.first, pair.second))
    blocks: list[Block] = []
    if details or len(comparison.pairs) == 1:
        for pair in comparison.pairs:
            blocks += _pair(pair, comparison.measure, names, details=details)
    if comparison.groups and (len(comparison.pairs) > 1 or _repeated(comparison)):
        blocks = [*_side_by_side(comparison, names, details=details), *blocks]
    blocks.append(Notes("", _verdicts(comparison, names)))
    if details:
        blocks.append(Notes("convention", _convention(comparison)))
        blocks += warning_block(comparison.warnings)
    else:
        stated = comparison.convention
        blocks.append(Notes("", [("convention", f"{stated['hit']}; {stated['threshold']}")]))
        blocks += warning_block(comparison.warnings, _SHOWN_WARNINGS)
        more = "--details: every figure, tests, images that changed, the whole convention"
        blocks.append(Notes("", [("more", more)]))
    title = f"protocol {comparison.protocol}"
    return Document(title, blocks, comparison_record(comparison))


def short_names(names: Iterable[str]) -> dict[str, str]:
    """Return the last parts of paths, as few as tell them apart, by path.

    Example:
        >>> short_names(["runs/cam", "runs/grad-cam"])
        {'runs/cam': 'cam', 'runs/grad-cam': 'grad-cam'}
        >>> short_names(["a/cam", "b/cam"])
        {'a/cam': 'a/cam', 'b/cam': 'b/cam'}
    """
    every = list(dict.fromkeys(names))
    for depth in range(1, 1 + max((len(PurePath(name).parts) for name in every), default=0)):
        short = {name: "/".join(PurePath(name).parts[-depth:]) for name in every}
        if len(set(short.values())) == len(every):
            return short
    return {name: name for name in every}


def _pair(pair: RunPair, measure: str, names: Mapping[str, str], *, details: bool) -> list[Block]:
    left_out = f" ({pair.left_out:,} left out: in one run only)" if pair.left_out else ""
    blocks: list[Block] = [
        Heading(f"{pair.first} → {pair.second}: {pair.images:,} images{left_out}")
    ]
    if pair.metrics:
        blocks.append(_figures(pair, measure, names, details=details))
    if details:
        blocks += change_tables(pair.kinds)
        if changes := _changes(pair):
            blocks.append(Notes("images that changed", changes))
    if pair.absent:
        blocks.append(Notes("not given", joined_reasons(pair.absent)))
    return blocks


def _figures(pair: RunPair, measure: str, names: Mapping[str, str], *, details: bool) -> Table:
    """Return each figure of both runs; with details those that few ask for, and the test."""
    first, second = (names[name] for name in (pair.first, pair.second))
    if max(len(first), len(second)) > _LONGEST_NAME:
        first, second = "first", "second"
    head = [measure_title(measure), first, second, "change", "95 % interval", "better", "worse"]
    rows = [
        [*_cells(name, metric, measure), *(_test(metric) if details else ())]
        for name, metric in pair.metrics.items()
        if details or name not in _LEFT_TO_DETAILS
    ]
    return Table([*head, *(("p", "n") if details else ())], rows)


def _cells(name: str, metric: PairedMetric, measure: str) -> list[str]:
    change, low, high = _change(metric, measure)
    return [
        metric_title(name),
        f"{accuracy(metric.difference.first, measure):.2f}",
        f"{accuracy(metric.difference.second, measure):.2f}",
        f"{change:+.2f}",
        f"{low:+.2f} to {high:+.2f}",
        f"{metric.better:,}",
        f"{metric.worse:,}",
    ]


def _test(metric: PairedMetric) -> tuple[str, str]:
    p = f"{metric.test.p:.4f}" if metric.test.p >= 0.0001 else "<0.0001"
    return p, f"{metric.difference.n:,}"


def _change(metric: PairedMetric, measure: str) -> tuple[float, float, float]:
    """Return the change and its interval; more is better."""
    value, (low, high) = metric.difference.value, metric.difference.ci95
    # Less of an error is more right: the ends change places. Not "-0": that reads like a loss.
    return (0.0 - value, 0.0 - high, 0.0 - low) if measure == "error" else (value, low, high)


def _side_by_side(
    comparison: Comparison, names: Mapping[str, str], *, details: bool
) -> list[Block]:
    """Return a row for each run, or group of runs: its figures, and of several their change."""
    measure = comparison.measure
    hidden = frozenset[str]() if details else _LEFT_TO_DETAILS | _OF_MANY
    shown = [
        name
        for name in comparison.groups[0].rates
        if name not in hidden and all(name in group.rates for group in comparison.groups)
    ]
    titles = [metric_title(name) for name in shown]
    values = [
        [names[group.name], *(_value(group, name, measure) for name in shown)]
        for group in comparison.groups
    ]
    notes = []
    if _repeated(comparison):
        notes.append(("±", "standard deviation over the runs of a group"))
    figures = Table([measure_title(measure), *titles], values, notes)
    if len(comparison.pairs) == 1:
        return [figures]
    first = names[comparison.groups[0].name]
    changes = [
        [names[pair.second], *(_change_cell(pair.metrics.get(name), measure) for name in shown)]
        for pair in comparison.pairs
    ]
    below = [("change", f"against {first}, in points; in brackets the 95 % interval, paired")]
    return [figures, Table(["change", *titles], changes, below)]


def _repeated(comparison: Comparison) -> bool:
    return any(len(group.runs) > 1 for group in comparison.groups)


def _value(group: RunGroup, name: str, measure: str) -> str:
    spread = group.sd(name)
    value = f"{accuracy(group.mean(name), measure):.2f}"
    return value if spread is None else f"{value} ± {spread:.2f}"


def _change_cell(metric: PairedMetric | None, measure: str) -> str:
    if metric is None:
        return "–"
    change, low, high = _change(metric, measure)
    return f"{change:+.1f} ({low:+.1f} to {high:+.1f})"


def _verdicts(comparison: Comparison, names: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return for each pair in which figures the second run is better, and in which worse."""
    return [("verdict", _verdict(pair, comparison.measure, names)) for pair in comparison.pairs]


def _verdict(pair: RunPair, measure: str, names: Mapping[str, str]) -> str:
    first, second = (names[name] for name in (pair.first, pair.second))
    clear: dict[str, list[str]] = {"better": [], "worse": []}
    for name, metric in pair.metrics.items():
        _, low, high = _change(metric, measure)
        if (low > 0 or high < 0) and name not in _LEFT_TO_DETAILS:
            clear["better" if low > 0 else "worse"].append(metric_title(name))
    said = [f"{how} in {', '.join(titles)}" for how, titles in clear.items() if titles]
    if not said:
        return f"{second} is not told apart from {first}: every interval holds 0"
    return f"{second} is {'; '.join(said)}, beyond the interval, than {first}"


def _convention(comparison: Comparison) -> list[tuple[str, str]]:
    return convention_rows(comparison.convention)


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
