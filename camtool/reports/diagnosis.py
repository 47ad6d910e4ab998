"""Kinds of errors and further figures as tables of a report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from camtool.errors import shorten
from camtool.reports.document import Table
from camtool.reports.titles import interval, metric_title

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from camtool.evaluation.details import Details
    from camtool.metrics.diagnosis import Diagnosis

_SHOWN: Final = 10
KIND_OWNERS: Final = {"top1": "top-1 guess", "gt_known": "true class's box"}
"""Whose kinds of errors a diagnosis tells, by its name."""
_HEADS: Final = {
    "right": "right",
    "wrong_class": "class",
    "part": "part",
    "too_large": "too large",
    "several_instances": "several",
    "background": "backgr.",
    "other": "other",
}
_FIGURES: Final = ("further figures", "measure", "%", "95 % interval", "n")


def detail_tables(details: Details | None) -> list[Table]:
    """Return the tables of kinds and further figures; none where there is nothing to tell."""
    if details is None:
        return []
    tables: list[Table] = []
    if details.figures:
        tables.append(Table(_FIGURES, _figure_rows(details)))
    for name, diagnosis in details.diagnoses.items():
        tables.append(_overall(name, diagnosis))
        tables.append(_by_group(name, diagnosis))
    if details.diagnoses:
        tables.append(_by_class(*next(iter(details.diagnoses.items())), details.class_titles))
    return tables


def change_tables(kinds: Mapping[str, Mapping[str, Mapping[str, int]]]) -> list[Table]:
    """Return a table from kind to kind, for each that two runs have in common.

    Args:
        kinds: number of images by `top1` or `gt_known`, kind in the first run, kind in the second.
    """
    return [
        Table(
            (
                f"{KIND_OWNERS[name]}: first run, then",
                *(_HEADS[kind] for kind in _possible(name)),
                "n",
            ),
            [
                (
                    before.replace("_", " "),
                    *(f"{after[kind]:,}" for kind in _possible(name)),
                    f"{sum(after.values()):,}",
                )
                for before, after in changes.items()
            ],
        )
        for name, changes in kinds.items()
    ]


def _figure_rows(details: Details) -> list[tuple[str, ...]]:
    return [
        (
            metric_title(name),
            figure.measure,
            f"{figure.rate.value:.2f}",
            interval(figure.rate.ci95),
            f"{figure.rate.n:,}",
        )
        for name, figure in details.figures.items()
    ]


def _overall(name: str, diagnosis: Diagnosis) -> Table:
    rows: list[tuple[str, ...]] = [
        (
            kind.replace("_", " "),
            f"{rate.value:.2f}",
            interval(rate.ci95),
            f"{diagnosis.counts[kind]:,} of {rate.n:,}",
        )
        for kind, rate in diagnosis.kinds.items()
        if kind in _possible(name)
    ]
    return Table((f"{KIND_OWNERS[name]}: what it is", "share %", "95 % interval", "number"), rows)


def _by_group(name: str, diagnosis: Diagnosis) -> Table:
    rows = [
        (group.title, *_cells(name, group.counts))
        for groups in (diagnosis.by_size, diagnosis.by_aspect, diagnosis.by_instances)
        for group in groups
    ]
    return Table(_head(f"{KIND_OWNERS[name]}, by object, %", name), rows)


def _by_class(name: str, diagnosis: Diagnosis, titles: dict[str, str]) -> Table:
    """Return the classes with the smallest share of right ones, and those with the largest."""
    ordered = sorted(diagnosis.by_class.items(), key=_rank)
    chosen = ordered
    if len(ordered) > 2 * _SHOWN:
        chosen = [*ordered[:_SHOWN], *ordered[-_SHOWN:]]
    rows = [(_class(label, titles), *_cells(name, counts)) for label, counts in chosen]
    if len(ordered) > 2 * _SHOWN:
        left_out = f"… {len(ordered) - 2 * _SHOWN:,} classes between"
        rows.insert(_SHOWN, (left_out, *[""] * (len(rows[0]) - 1)))
    return Table(_head(f"{KIND_OWNERS[name]}, worst and best, %", name), rows)


def _rank(row: tuple[str, tuple[int, ...]]) -> tuple[float, int, str]:
    """Order by the share of right ones; among equals the more images, the further outside."""
    label, counts = row
    share, n = counts[0] / sum(counts), sum(counts)
    return share, n if share >= 0.5 else -n, label


def _class(label: str, titles: dict[str, str]) -> str:
    title = titles.get(label)
    return shorten(label if title is None else f"{label} {title}", 28)


def _possible(name: str) -> tuple[str, ...]:
    """Of the box of a true class, the class is never wrong."""
    return tuple(kind for kind in _HEADS if name == "top1" or kind != "wrong_class")


def _head(title: str, name: str) -> tuple[str, ...]:
    return title, *(_HEADS[kind] for kind in _possible(name)), "n"


def _cells(name: str, counts: Sequence[int]) -> Iterator[str]:
    n = sum(counts)
    possible = _possible(name)
    for kind, count in zip(_HEADS, counts, strict=True):
        if kind in possible:
            yield f"{100 * count / n:.1f}"
    yield f"{n:,}"
