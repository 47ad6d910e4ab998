"""What a map protocol keeps of an image, and what a reader should know of all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from camtool.metrics.level_hits import LevelHits
    from camtool.metrics.max_box_acc import BoxAccuracy

__all__ = ["MapOutcome", "flat", "lacking"]


@dataclass(frozen=True, slots=True)
class MapOutcome:
    """One image: for each true class with boxes the levels at which it is hit; None without map."""

    hits: tuple[LevelHits | None, ...]


def lacking(located: Sequence[MapOutcome]) -> str | None:
    """Return why there are no figures; None where every image has the maps that they need."""
    if not located:
        return "no scored image has a true box"
    missing = sum(None in outcome.hits for outcome in located)
    if not missing:
        return None
    return (
        f"the true class's map is stored for {len(located) - missing:,} of"
        f" {len(located):,} images; `camtool localize --labels` stores it for all"
    )


def flat(accuracy: BoxAccuracy) -> tuple[str, ...]:
    """Return a sentence where maps tell nothing, which is scored and easily overlooked."""
    if not accuracy.flat:
        return ()
    return (
        f"{accuracy.flat:,} of {len(accuracy):,} maps are flat or hold NaN: they count as zeros, "
        "whose only box is (0, 0, 0, 0)",
    )
