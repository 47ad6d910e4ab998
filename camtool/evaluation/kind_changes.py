"""What became of each kind of error from one run to another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from camtool.metrics.diagnosis import KINDS
from camtool.metrics.findings import ABSENT, findings_table, first_row

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

    from camtool.evaluation.judging import Judged

__all__ = ["KindChanges", "kind_changes"]

KindChanges = dict[str, dict[str, int]]
"""Number of images, or pairs of image and class, by kind in the first run, then in the second."""

_METRICS: Final = {"top1": "top1_localization_error", "gt_known": "gt_known_error"}


def kind_changes(
    first: Sequence[Judged], second: Sequence[Judged], metrics: Collection[str]
) -> dict[str, KindChanges]:
    """Return the changes of the top-1 guess (`top1`) and of the true class's box (`gt_known`).

    Args:
        first: the images of the first run that count for localization.
        second: the same images of the second run, in the same order.
        metrics: names of the metrics that both runs allow; the kinds need theirs.
    """
    changes: dict[str, KindChanges] = {}
    for name, metric in _METRICS.items():
        before, after = (_kinds(run, name) for run in (first, second))
        if metric in metrics and len(before) and max(before.max(), after.max()) < ABSENT:
            numbers = np.zeros((len(KINDS), len(KINDS)), np.int64)
            np.add.at(numbers, (before, after), 1)
            changes[name] = {
                kind: dict(zip(KINDS, row, strict=True))
                for kind, row in zip(KINDS, numbers.tolist(), strict=True)
                if any(row)
            }
    return changes


def _kinds(run: Sequence[Judged], name: str) -> NDArray[np.uint8]:
    """Return the kinds of the top-1 guess of each image, or of each true class's box."""
    if name == "top1":
        return findings_table(b"".join(first_row(j.findings) for j in run))["top1"]
    return findings_table(b"".join(j.findings for j in run))["known"]
