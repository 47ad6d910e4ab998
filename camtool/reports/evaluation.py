"""The report of an evaluation: what fits a screen, or with details all that is known.

By default each figure stands with its interval, what a centred box reaches on the same images
without a network, and what the best threshold would give.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from camtool.reports.diagnosis import detail_tables
from camtool.reports.document import Block, Document, Items, Notes, Table
from camtool.reports.records import evaluation_record, record_of_all
from camtool.reports.titles import (
    accuracy,
    baseline_title,
    convention_rows,
    interval,
    joined_reasons,
    measure_title,
    metric_title,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from camtool.evaluation.result import Evaluation, EvaluationOfAll
    from camtool.metrics.intervals import Rate
    from camtool.metrics.thresholds import AtThreshold, ThresholdChoice

_BASELINES: Final = (
    "GT-known, no network", "accuracy %", "right", "95 % interval", "n",
)  # fmt: skip
_MAP_BASELINES: Final = (
    "no network", "these maps", "centred Gaussian", "whole image", "centred box",
)  # fmt: skip
_FURTHER: Final = frozenset(f"top{n}_localization_error" for n in (2, 3, 4, 5))
"""Figures that only the JSON gives under each rule for the threshold."""
_SUMMARY: Final = ("deployable threshold", "oracle threshold", "gap")
_RULES: Final = {
    "run": "boxes as stored",
    "fixed": "fixed",
    "otsu": "Otsu",
    "percentile": "percentile",
    "calibrated": "calibrated on other images",
    "stored": "calibrated before",
    "oracle": "oracle: best on these images",
}
_BESIDE: Final = {
    "calibrated": "calibrated now", "stored": "calibrated before", "oracle": "oracle",
}  # fmt: skip
"""The rules that stand beside the figures by default: chosen on other images, and on these."""
_SHOWN_WARNINGS: Final = 3
_NONE: Final = "–"


def evaluation_document(evaluation: Evaluation, *, details: bool = False) -> Document:
    """Return the report of an evaluation.

    Args:
        evaluation: the result.
        details: all tables and the whole convention, instead of what fits a screen.
    """
    record = evaluation_record(evaluation)
    if details:
        title = f"protocol {evaluation.protocol}"
        return Document(title, _all_of(evaluation), record)
    title = f"protocol {evaluation.protocol}"
    return Document(title, _in_short(evaluation), record)


def _in_short(evaluation: Evaluation) -> list[Block]:
    """Return what fits a screen."""
    blocks: list[Block] = []
    if evaluation.metrics:
        blocks.append(_figures(evaluation))
    elif evaluation.baselines:
        blocks.append(Table(_BASELINES, _baseline_rows(evaluation)))
    blocks += _not_given(evaluation.absent)
    rows = [_counts(evaluation), ("convention", _convention(evaluation))]
    blocks.append(Notes("", [*_verdict(evaluation), *rows]))
    blocks += warning_block(evaluation.warnings, _SHOWN_WARNINGS)
    more = "--details: all tables, the convention; --per-image FILE: the table of images"
    blocks.append(Notes("", [("more", more)]))
    return blocks


def _figures(evaluation: Evaluation) -> Table:
    """Return each figure with its interval, a centred box and the best threshold beside it."""
    measure = evaluation.measure
    # Narrow titles: 50,000 images fit a terminal of 80 columns.
    title = "right %" if measure in ("error", "accuracy") else measure_title(measure)
    head = ["metric", title, "95 % interval", "n"]
    boxes = {name: _centred(evaluation, name) for name in evaluation.metrics}
    beside = [("centred", boxes)]
    for rule, title in _BESIDE.items():
        cells = {n: _cell(c.rules.get(rule), measure) for n, c in evaluation.thresholds.items()}
        beside.append((title, cells))
    shown = [(title, cells) for title, cells in beside if any(cells.values())]
    rows = [
        (*_rate_cells(name, rate, measure), *(cells.get(name, "") for _, cells in shown))
        for name, rate in evaluation.metrics.items()
    ]
    return Table([*head, *(title for title, _ in shown)], rows)


def _rate_cells(name: str, rate: Rate, measure: str) -> tuple[str, ...]:
    """Return title, value, interval and n of a figure."""
    value = f"{accuracy(rate.value, measure):.2f}"
    return metric_title(name), value, interval(rate.ci95, measure), f"{rate.n:,}"


def _centred(evaluation: Evaluation, metric: str) -> str:
    """Return what the best centred box reaches by a metric; nothing where no box has it."""
    best = evaluation.best_centred(metric)
    if best is None:
        return ""
    value = accuracy(best[2], evaluation.measure) if evaluation.map_baselines else best[2]
    return f"{value:.2f}"


def _verdict(evaluation: Evaluation) -> list[tuple[str, str]]:
    """Return in a sentence whether the boxes are better than a centred box; nothing without one."""
    verdict, best = evaluation.verdict, evaluation.best_centred()
    if verdict is None or best is None:
        return []
    low, high = verdict.ci95
    judged = "not told apart from"
    if low > 0 or high < 0:
        judged = "better than" if low > 0 else "worse than"
    return [
        (
            "verdict",
            f"{judged} the best centred box ({100 * best[1]:.0f} % of each side), GT-known: "
            f"{verdict.second:.2f} against {verdict.first:.2f}, {verdict.value:+.2f} "
            f"({low:+.2f} to {high:+.2f}) on the same {verdict.n:,}",
        )
    ]


def _counts(evaluation: Evaluation) -> tuple[str, str]:
    counts = evaluation.counts
    left_out = "; ".join(f"{reason}: {n:,}" for reason, n in counts.left_out.items())
    scored = f"{counts.scored:,} of {counts.annotated:,} annotated scored"
    return "images", f"{scored}; left out: {left_out or 'none'}"


def _convention(evaluation: Evaluation) -> str:
    """Return the hit rule and where the boxes come from."""
    stated = evaluation.convention
    return "; ".join(stated[aspect] for aspect in ("hit", "threshold") if aspect in stated)


def _all_of(evaluation: Evaluation) -> list[Block]:
    """Return all that is known."""
    blocks: list[Block] = []
    measure = evaluation.measure
    if evaluation.metrics:
        rows = [_rate_cells(name, rate, measure) for name, rate in evaluation.metrics.items()]
        blocks.append(Table(("metric", measure_title(measure), "95 % interval", "n"), rows))
    blocks += _threshold_tables(evaluation)
    notes = _best_side(evaluation)
    if evaluation.map_baselines:
        blocks.append(Table(_MAP_BASELINES, _map_baseline_rows(evaluation), notes))
    elif evaluation.baselines:
        blocks.append(Table(_BASELINES, _baseline_rows(evaluation), notes))
    blocks += detail_tables(evaluation.details)
    blocks += _not_given(evaluation.all_absent)
    blocks.append(Notes("", [*_verdict(evaluation), *_count_rows(evaluation)]))
    blocks.append(Notes("convention", convention_rows(evaluation.convention)))
    return blocks + warning_block(evaluation.warnings)


def _not_given(absent: Mapping[str, str]) -> list[Block]:
    return [Notes("not given", joined_reasons(absent))] if absent else []


def warning_block(warnings: Sequence[str], most: int | None = None) -> list[Block]:
    """Return warnings, at most some of them, under their title; nothing where there are none."""
    if not warnings:
        return []
    shown = list(warnings[:most])
    if left := len(warnings) - len(shown):
        shown.append(f"and {left:,} more: --details")
    return [Items("warnings", shown)]


def _baseline_rows(evaluation: Evaluation) -> list[tuple[str, ...]]:
    """Return title, GT-known accuracy, number of right boxes, interval and n of each baseline.

    The accuracy of the predictions comes first, where there is one, to be compared.
    """
    rows: list[tuple[str, ...]] = []
    rate = evaluation.metrics.get("gt_known_error")
    if rate is not None:
        share = accuracy(rate.value, "error")
        right = f"{round(rate.n * share / 100):,}"
        ends = interval(rate.ci95, "error")
        rows.append(("these predictions", f"{share:.2f}", right, ends, f"{rate.n:,}"))
    best, _, _ = evaluation.best_centred() or ("", 0.0, 0.0)
    for name, baseline in evaluation.baselines.items():
        title = baseline_title(name) + (" *" if name == best else "")
        right = f"{baseline.right:,}"
        ends = interval(baseline.rate.ci95)
        rows.append((title, f"{baseline.accuracy:.2f}", right, ends, f"{baseline.n:,}"))
    return rows


def _map_baseline_rows(evaluation: Evaluation) -> list[tuple[str, ...]]:
    """Return title, figure, and the baselines' figures with their intervals, of each metric.

    The baselines are a centred Gaussian map, the whole image, and the best centred box.
    """
    rows: list[tuple[str, ...]] = []
    for name, rate in evaluation.metrics.items():
        best, side, _ = evaluation.best_centred(name) or ("", 0.0, 0.0)
        rates = (
            evaluation.map_baselines.get(baseline, {}).get(name)
            for baseline in ("centred_gaussian", "whole_image", best)
        )
        cells = [f"{r.value:.2f} ({r.ci95[0]:.1f}–{r.ci95[1]:.1f})" if r else "" for r in rates]
        cells[-1] += f", {side:g} *" if best else _NONE
        rows.append((metric_title(name), f"{rate.value:.2f}", *cells))
    return rows


def _best_side(evaluation: Evaluation) -> list[tuple[str, str]]:
    """Return which centred box is best, and a warning that this was seen on the scored images."""
    warning = "chosen on these images, as an oracle chooses its threshold"
    if evaluation.map_baselines and any(map(evaluation.best_centred, evaluation.metrics)):
        return [("*", f"best side of a centred box, as a share of the image's; {warning}")]
    best = evaluation.best_centred()
    return [("*", f"best side: {best[1]:g}; {warning}")] if best else []


def _count_rows(evaluation: Evaluation) -> list[tuple[str, str]]:
    """Return what was scored and what was left out, and how predictions and images were joined."""
    counts = evaluation.counts
    left_out = "; ".join(f"{reason}: {n:,}" for reason, n in counts.left_out.items())
    join = "; ".join(f"{way.replace('_', ' ')}: {n:,}" for way, n in evaluation.join.items() if n)
    scored = (
        f"{counts.scored:,} scored ({counts.annotated:,} annotated, {counts.predicted:,} predicted)"
    )
    return [
        ("images", scored),
        ("left out", left_out or "none"),
        *([("joined by image id", join)] if join else []),
    ]


def _threshold_tables(evaluation: Evaluation) -> list[Block]:
    """Return two tables; none where no figure has a threshold.

    The first holds, for each of the main figures, what one may expect on new images against the
    best threshold on these, and the gap; the second the same figures under each rule.
    """
    shown = _main_thresholds(evaluation)
    if not shown:
        return []
    measure = evaluation.measure
    rules = dict.fromkeys(rule for choice in shown.values() for rule in choice.rules)
    by_rule = [
        (_RULES[rule], *(_cell(choice.rules.get(rule), measure) for choice in shown.values()))
        for rule in rules
    ]
    titles = (metric_title(name) for name in shown)
    return [
        Table((measure_title(measure), *_SUMMARY), _threshold_summary(evaluation)),
        Table((f"threshold, {measure_title(measure)}", *titles), by_rule),
    ]


def _threshold_summary(evaluation: Evaluation) -> list[tuple[str, ...]]:
    """Return title, deployable figure, oracle and gap of each main figure with a threshold."""
    return [
        (
            metric_title(name),
            f"{_cell(choice.rules[choice.deployable], evaluation.measure)}, {choice.deployable}",
            _cell(choice.rules["oracle"], evaluation.measure),
            f"{choice.gap:.2f}",
        )
        for name, choice in _main_thresholds(evaluation).items()
    ]


def _main_thresholds(evaluation: Evaluation) -> dict[str, ThresholdChoice]:
    return {n: c for n, c in evaluation.thresholds.items() if n not in _FURTHER}


def _cell(at: AtThreshold | None, measure: str) -> str:
    if at is None:
        return ""
    where = at.threshold if isinstance(at.threshold, str) else f"{at.threshold:.3g}"
    return f"{accuracy(at.value, measure):.2f} at {where}"


def document_of_all(result: EvaluationOfAll, *, details: bool = False) -> Document:
    """Return what every protocol gives for the same predictions: a row a metric.

    Args:
        result: the evaluations.
        details: thresholds, counts and conventions of each protocol, too.
    """
    blocks: list[Block] = [Table(("more is better, %", *result.protocols), _side_by_side(result))]
    if details and (thresholds := _thresholds_of_all(result)):
        blocks.append(Table(("by threshold, %", *_SUMMARY), thresholds))
    if not_given := _not_given_of_all(result):
        blocks.append(Notes("not given", not_given))
    counts = [(name, _counts(evaluation)[1]) for name, evaluation in result.protocols.items()]
    if details:
        blocks.append(Notes("images", counts))
        in_short = [(name, e.convention_in_short) for name, e in result.protocols.items()]
        blocks.append(Notes("conventions", in_short))
        if common := convention_rows(result.common_convention):
            blocks.append(Notes("in all of them", common))
        blocks += warning_block(result.warnings)
    else:
        same = len({text for _, text in counts}) == 1
        blocks.append(Notes("", [("images", counts[0][1])] if same else counts))
        blocks += warning_block(result.warnings, _SHOWN_WARNINGS)
        more = "--details: thresholds, and the convention of each; --protocol NAME: one of them"
        blocks.append(Notes("", [("more", more)]))
    return Document("every protocol", blocks, record_of_all(result))


def _side_by_side(result: EvaluationOfAll) -> list[tuple[str, ...]]:
    """Return title and value by protocol of each metric that any protocol has."""
    names = dict.fromkeys(n for e in result.protocols.values() for n in e.metrics)
    return [
        (
            metric_title(name),
            *(
                f"{accuracy(e.metrics[name].value, e.measure):.2f}" if name in e.metrics else _NONE
                for e in result.protocols.values()
            ),
        )
        for name in names
    ]


def _thresholds_of_all(result: EvaluationOfAll) -> list[tuple[str, ...]]:
    """Return what one may expect of each figure on new images, the oracle and the gap."""
    return [
        (f"{name}: {title}", *cells)
        for name, evaluation in result.protocols.items()
        for title, *cells in _threshold_summary(evaluation)
    ]


def _not_given_of_all(result: EvaluationOfAll) -> list[tuple[str, str]]:
    rows = list(result.absent.items())
    for name, evaluation in result.protocols.items():
        rows += [(f"{name}: {t}", reason) for t, reason in joined_reasons(evaluation.absent)]
    return rows
