"""A run whose images and classes have names that are hard to show."""

from __future__ import annotations

from typing import TYPE_CHECKING

from camtool.boxes import PaperBoxes
from camtool.structures import ClassPrediction, Prediction
from tests.builders import random_map, write_run

if TYPE_CHECKING:
    from pathlib import Path

AWKWARD = (
    "two\nlines",
    'it\'s "quoted"',
    "<img src=x onerror=pwned=1>",
    "</script><script>pwned=1</script>",
    "<!--<script>",
    "\x1b[31mred\x1b[0m\x07",
    "a" * 185,
    "Käse/Σ/猫/🦉",
    "--overwrite",
    "{{ 7 * 7 }} {% raw %}",
    "line\u2028separator",
    "latin\udce9",
)


def awkward_run(folder: Path) -> Path:
    """A run whose images and classes have the awkward names."""
    found = []
    for number, name in enumerate(AWKWARD):
        score_map = random_map(number, mean=0.5)
        classes = (ClassPrediction(name, 0.5, PaperBoxes().boxes(score_map), 1, number),)
        found.append((Prediction(name, f"absent/{name}", score_map.size, classes), [score_map]))
    rule = PaperBoxes().model_dump(mode="json")
    return write_run(folder, found, experiment={"localize": {"boxes": rule}})
