"""Box rules: from a class map to boxes. The union of all rules is here."""

from __future__ import annotations

from camtool.boxes.paper import PaperBoxes
from camtool.boxes.thresholds import THRESHOLD_RULES

__all__ = ["BOX_RULES", "THRESHOLD_RULES", "BoxRule", "PaperBoxes"]

BoxRule = PaperBoxes
"""Every box rule; joined as a union discriminated by `name`."""

BOX_RULES: tuple[type[PaperBoxes], ...] = (PaperBoxes,)
"""The members of `BoxRule`, for the tables that are derived from the code."""
