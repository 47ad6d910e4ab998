"""Curves of an evaluation as drawings within a page, in the colours of its style sheet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from camtool.metrics.curves import Curve

WIDTH: Final = 460
HEIGHT: Final = 250
_LEFT: Final = 44
_RIGHT: Final = 12
_TOP: Final = 10
_BOTTOM: Final = 40
_TITLES: Final = {
    "gt_known": "GT-known localization against the threshold",
    "top1_localization": "Top-1 localization against the threshold",
    "box_accuracy": "Box accuracy against the threshold",
    "precision_recall": "Precision against recall",
}


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing of lines, for the template; coordinates in a frame of `WIDTH` × `HEIGHT`.

    Example:
        >>> from camtool.metrics.curves import Curve
        >>> curve = Curve((0.0, 1.0), {"IoU ≥ 0.5": (0.0, 100.0)}, "threshold", "right, %")
        >>> chart = Chart.of("gt_known", curve)
        >>> chart.lines
        [('IoU ≥ 0.5', '44.0,210.0 448.0,10.0')]

    Attributes:
        name: of the curve, as the evaluation calls it.
        title: for the reader.
        x_label: what the places are.
        y_label: what the values are.
        lines: label and corner points of each line.
        points: label, place and height of what is named on a line.
        levels: label and height of what the lines are held against.
        x_ticks: place and text.
        y_ticks: height and text.
        told: what the drawing shows, in a sentence, for those who do not see it.
    """

    name: str
    title: str
    x_label: str
    y_label: str
    lines: Sequence[tuple[str, str]]
    points: Sequence[tuple[str, float, float]]
    levels: Sequence[tuple[str, float]]
    x_ticks: Sequence[tuple[float, str]]
    y_ticks: Sequence[tuple[float, str]]
    told: str

    @classmethod
    def of(cls, name: str, curve: Curve) -> Chart:
        """Lay a curve out; values in percent, places from 0 to 1 or in percent."""
        across = 100.0 if max(curve.x, default=0.0) > 1 else 1.0
        highest = max((max(v, default=0.0) for v in curve.y.values()), default=0.0)
        up = 1.0 if highest <= 1 else 100.0

        def place(x: float) -> float:
            return round(_LEFT + x / across * (WIDTH - _LEFT - _RIGHT), 1)

        def height(y: float) -> float:
            return round(HEIGHT - _BOTTOM - y / up * (HEIGHT - _TOP - _BOTTOM), 1)

        lines = [
            (label, " ".join(f"{place(x)},{height(y)}" for x, y in zip(curve.x, v, strict=True)))
            for label, v in curve.y.items()
        ]
        title = _TITLES.get(name, name.replace("_", " "))
        return cls(
            name,
            title,
            curve.x_label,
            curve.y_label,
            lines,
            [(f"{p.label}: {p.y:.2f} at {p.x:g}", place(p.x), height(p.y)) for p in curve.points],
            [(level.label, height(level.y)) for level in curve.levels],
            [(place(k * across / 5), f"{k * across / 5:g}") for k in range(6)],
            [(height(k * up / 4), f"{k * up / 4:g}") for k in range(5)],
            f"{title}. {_told(curve)}",
        )


def _told(curve: Curve) -> str:
    best = (
        f"{label}: at most {max(values):.2f} at {curve.x[values.index(max(values))]:g}"
        for label, values in curve.y.items()
        if values
    )
    return "; ".join(best) + "."
