"""The rows of an evaluation's report, as text; how they are laid out is the renderer's matter."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from camtool.evaluation.result import Evaluation

__all__ = [
    "baseline_rows",
    "baseline_title",
    "best_side_note",
    "convention_rows",
    "count_rows",
    "joined_reasons",
    "map_baseline_rows",
    "metric_rows",
    "metric_title",
]

_TOP_N = re.compile(r"top(\d)_(\w+)_error")
_CENTRED = re.compile(r"centred_0\.(\d)")


_TITLES = {
    "gt_known_error": "GT-known localization",
    "max_box_acc": "MaxBoxAcc",
    "max_box_acc_v2": "MaxBoxAccV2",
    "pxap": "PxAP",
    "max_box_acc_30": "box accuracy, IoU >= 0.3",
    "max_box_acc_50": "box accuracy, IoU >= 0.5",
    "max_box_acc_70": "box accuracy, IoU >= 0.7",
    "top1_kinds": "kinds of errors of the top-1 guess",
    "gt_known_kinds": "kinds of errors of the true class's box",
    "corloc": "CorLoc",
    "mean_iou": "mean IoU of the true class's box",
    "largest_box_precision": "largest box of the true class",
    "pointing_game_0": "pointing game",
    "pointing_game_18": "pointing game, 18 px tolerance",
    "other_thresholds": "other thresholds",
}


def metric_title(name: str) -> str:
    """Return a metric's name for human readers."""
    if found := _TOP_N.fullmatch(name):
        return f"top-{found[1]} {found[2]}"
    return _TITLES.get(name, name)


def metric_rows(evaluation: Evaluation) -> list[tuple[str, str, str, str]]:
    """Return title, error, interval and n of each metric."""
    return [
        (
            metric_title(name),
            f"{rate.value:.2f}",
            _interval(rate.ci95),
            f"{rate.n:,}",
        )
        for name, rate in evaluation.metrics.items()
    ]


def baseline_rows(evaluation: Evaluation) -> list[tuple[str, ...]]:
    """Return title, GT-known error, accuracy with right boxes, interval and n of each baseline.

    The GT-known error of the predictions comes first, where there is one, to be compared.
    """
    rows: list[tuple[str, ...]] = []
    rate = evaluation.metrics.get("gt_known_error")
    if rate is not None:
        right = round(rate.n * (100 - rate.value) / 100)
        accuracy = f"{100 - rate.value:.2f} ({right:,})"
        interval = _interval((100 - rate.ci95[1], 100 - rate.ci95[0]))
        rows.append(("these predictions", f"{rate.value:.2f}", accuracy, interval, f"{rate.n:,}"))
    best, _ = evaluation.best_centred() or ("", 0.0)
    for name, baseline in evaluation.baselines.items():
        title = baseline_title(name) + (" *" if name == best else "")
        accuracy = f"{baseline.accuracy:.2f} ({baseline.right:,})"
        interval = _interval(baseline.rate.ci95)
        rows.append((title, f"{baseline.error:.2f}", accuracy, interval, f"{baseline.n:,}"))
    return rows


def map_baseline_rows(evaluation: Evaluation) -> list[tuple[str, ...]]:
    """Return title, figure, and the baselines' figures with their intervals, of each metric.

    The baselines are a centred Gaussian map, the whole image, and the best centred box.
    """
    rows: list[tuple[str, ...]] = []
    for name, rate in evaluation.metrics.items():
        best, side = evaluation.best_centred(name) or ("", 0.0)
        rates = (
            evaluation.map_baselines.get(baseline, {}).get(name)
            for baseline in ("centred_gaussian", "whole_image", best)
        )
        cells = [f"{r.value:.2f} ({r.ci95[0]:.1f}–{r.ci95[1]:.1f})" if r else "" for r in rates]
        cells[-1] += f", {side:g} *" if best else "–"
        rows.append((metric_title(name), f"{rate.value:.2f}", *cells))
    return rows


def best_side_note(evaluation: Evaluation) -> list[tuple[str, str]]:
    """Return which centred box is best, and a warning that this was seen on the scored images."""
    warning = "chosen on these images, as an oracle chooses its threshold"
    if evaluation.map_baselines and any(map(evaluation.best_centred, evaluation.metrics)):
        return [("*", f"best side of a centred box, as a share of the image's; {warning}")]
    best = evaluation.best_centred()
    return [("*", f"best side: {best[1]:g}; {warning}")] if best else []


def baseline_title(name: str) -> str:
    """Return a baseline's name for human readers."""
    if found := _CENTRED.fullmatch(name):
        return f"centred box, {found[1]}0 % of each side"
    return name.replace("_", " ").replace("gaussian", "Gaussian")


def _interval(ends: tuple[float, float]) -> str:
    return f"{ends[0]:.2f} to {ends[1]:.2f}"


def joined_reasons(absent: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return title and reason of the figures that are not given, equal reasons joined."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in absent.items():
        by_reason.setdefault(reason, []).append(metric_title(name))
    return [(", ".join(names), reason) for reason, names in by_reason.items()]


def count_rows(evaluation: Evaluation) -> list[tuple[str, str]]:
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


def convention_rows(convention: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return aspect and rule of the convention."""
    return [(aspect.replace("_", " "), rule) for aspect, rule in convention.items()]
