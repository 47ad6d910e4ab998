"""Box rules: from a class map to boxes. The union of all rules is here."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from camtool.boxes.dt import DtBoxes, TightLooseBoxes
from camtool.boxes.grabcut import GrabCutBoxes
from camtool.boxes.paper import MultiBoxes, PaperBoxes
from camtool.boxes.point import PointBoxes
from camtool.boxes.rule import Rule, SweptRule

__all__ = [
    "BoxRule",
    "DtBoxes",
    "GrabCutBoxes",
    "MultiBoxes",
    "PaperBoxes",
    "PointBoxes",
    "Rule",
    "SweptRule",
    "TightLooseBoxes",
]

BoxRule = Annotated[
    PaperBoxes | DtBoxes | TightLooseBoxes | GrabCutBoxes | MultiBoxes | PointBoxes,
    Field(discriminator="name"),
]
"""Every box rule, told apart by `name`."""
