"""What a map protocol keeps of an image, and what a reader should know of all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from camtool.metrics.max_box_acc import ROW

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from camtool.metrics.level_hits import LevelHits
    from camtool.metrics.max_box_acc import BoxAccuracy

__all__ = ["MapOutcome", "flat", "lacking"]


@dataclass(frozen=True, slots=True)
class MapOutcome:
    """One image: for each true class with boxes the levels at which it is hit.

    All images are kept until the figures are made, so it is small: no array, no object a class.

    Attributes:
        packed: `LevelHits.packed` of each class with a map, one after the other.
        missing: number of classes without map.
    """

    packed: bytes
    missing: int = 0

    @classmethod
    def of(cls, hits: Sequence[LevelHits | None]) -> Self:
        """Keep the hits of each class; None without map."""
        packed = b"".join(of_class.packed() for of_class in hits if of_class is not None)
        return cls(packed, sum(of_class is None for of_class in hits))

    @property
    def classes(self) -> int:
        """Number of true classes with boxes."""
        return len(self.packed) // ROW + self.missing


def lacking(located: Sequence[MapOutcome]) -> str | None:
    """Return why there are no figures; None where every image has the maps that they need."""
    if not located:
        return "no scored image has a true box"
    missing = sum(outcome.missing > 0 for outcome in located)
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
