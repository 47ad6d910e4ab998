"""The errors that the guesses of each image add to each figure of a box protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING

from camtool.metrics.marks import Mark, Marks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from camtool.metrics.figures import ImageOutcome

__all__ = ["DEPTHS", "box_marks"]

DEPTHS = (1, 2, 3, 4, 5)
"""The N of the reported top-N errors."""


def box_marks(
    classified: Sequence[ImageOutcome],
    located: Sequence[ImageOutcome],
    network_classes: int | None,
) -> Marks:
    """Return the errors of each image, for all metrics that the outcomes allow.

    An image is one trial, but for GT-known: there each true class with a box is one.
    See `BoxProtocol.figures`.
    """
    marks = Marks()
    for n in DEPTHS:
        lacking = _lacking(n, classified, network_classes) or _empty(classified)
        name = f"top{n}_classification_error"
        _add(marks, marks.classification, name, lacking, [o.class_rank for o in classified], n)
    for n in DEPTHS:
        lacking = _lacking(n, located, network_classes) or _without_boxes(located)
        name = f"top{n}_localization_error"
        _add(marks, marks.localization, name, lacking, [o.box_rank for o in located], n)
    if lacking := _lacking_known(located):
        marks.absent["gt_known_error"] = lacking
    else:
        known = [(outcome.known.count(False), len(outcome.known)) for outcome in located]
        marks.localization["gt_known_error"] = known
    return marks


def _lacking(n: int, outcomes: Sequence[ImageOutcome], network_classes: int | None) -> str | None:
    """Return why a top-n error cannot be given; None where it can.

    An image may carry fewer guesses than another one (ragged guess files): then it has no further
    guess. What must not be scored as top-5 is a set in which no image has five.
    """
    needed = n if network_classes is None else min(n, network_classes)
    carried = max((outcome.guesses for outcome in outcomes), default=n)
    if needed <= carried or all(o.complete or o.ranks >= needed for o in outcomes):
        return None
    guesses = "1 guess" if carried == 1 else f"{carried} guesses"
    return (
        f"the predictions carry {guesses} an image, not {needed}; "
        f"`camtool localize --set localize.classes.k={needed}` stores them"
    )


def _without_boxes(located: Sequence[ImageOutcome]) -> str | None:
    return None if located else "no scored image has a true box"


def _lacking_known(located: Sequence[ImageOutcome]) -> str | None:
    """Return why the GT-known error cannot be given; None where it can."""
    stored = sum(None not in outcome.known for outcome in located)
    if stored == len(located):
        return _without_boxes(located)
    return (
        f"the true class's box is stored for {stored:,} of {len(located):,} images; "
        "`camtool localize --labels` stores it for all"
    )


def _empty(classified: Sequence[ImageOutcome]) -> str | None:
    return None if classified else "no image is scored"


def _add(
    marks: Marks,
    to: dict[str, list[Mark]],
    name: str,
    lacking: str | None,
    ranks: Sequence[int | None],
    n: int,
) -> None:
    """Put one top-n error into `marks`: wrong is an image without a right guess in the first n."""
    if lacking is None:
        to[name] = [(int(rank is None or rank > n), 1) for rank in ranks]
    else:
        marks.absent[name] = lacking
