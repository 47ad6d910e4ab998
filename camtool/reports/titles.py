"""How figures, baselines and reasons are named for the reader of a report."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_TOP_N: Final = re.compile(r"top(\d)_(\w+)_error")
_CENTRED: Final = re.compile(r"centred_0\.(\d)")


_TITLES: Final = {
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


def baseline_title(name: str) -> str:
    """Return a baseline's name for human readers."""
    if found := _CENTRED.fullmatch(name):
        return f"centred box, {found[1]}0 % of each side"
    return name.replace("_", " ").replace("gaussian", "Gaussian")


def accuracy(value: float, measure: str) -> float:
    """Return a figure as people read it: more is better; an error becomes the share that is right.

    Args:
        value: a rate in percent.
        measure: what it is; `error` is turned round, all others are as they are.
    """
    return 100 - value if measure == "error" else value


def measure_title(measure: str) -> str:
    """Return what stands above figures of a measure."""
    return "accuracy %" if measure == "error" else f"{measure} %"


def interval(ends: tuple[float, float], measure: str = "accuracy") -> str:
    """Return the ends of an interval, of accuracies where the measure is an error."""
    low, high = sorted(accuracy(end, measure) for end in ends)
    return f"{low:.2f} to {high:.2f}"


def joined_reasons(absent: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return title and reason of the figures that are not given, equal reasons joined."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in absent.items():
        by_reason.setdefault(reason, []).append(metric_title(name))
    return [(", ".join(names), reason) for reason, names in by_reason.items()]


def convention_rows(convention: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return aspect and rule of the convention."""
    return [(aspect.replace("_", " "), rule) for aspect, rule in convention.items()]
