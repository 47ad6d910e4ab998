"""Box rules: from a class map to boxes. The union of all rules is here."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from camtool.boxes.dt import DtBoxes, TightLooseBoxes
from camtool.boxes.grabcut import GrabCutBoxes
from camtool.boxes.multi import MultiBoxes
from camtool.boxes.paper import PaperBoxes
from camtool.boxes.point import PointBoxes
from camtool.boxes.rule import Rule
from camtool.boxes.thresholds import THRESHOLD_RULES

__all__ = [
    "BOX_RULES",
    "THRESHOLD_RULES",
    "BoxRule",
    "DtBoxes",
    "GrabCutBoxes",
    "MultiBoxes",
    "PaperBoxes",
    "PointBoxes",
    "TightLooseBoxes",
]

BoxRule = Annotated[
    PaperBoxes | DtBoxes | TightLooseBoxes | GrabCutBoxes | MultiBoxes | PointBoxes,
    Field(discriminator="name"),
]
"""Every box rule, told apart by `name`."""

BOX_RULES: tuple[type[Rule], ...] = (
    PaperBoxes,
    DtBoxes,
    TightLooseBoxes,
    GrabCutBoxes,
    MultiBoxes,
    PointBoxes,
)
"""The members of `BoxRule`, for the tables that are derived from the code."""
