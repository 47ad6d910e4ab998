"""Training methods: how labels alone are made to teach where. One a file; the union is here."""

from __future__ import annotations

from camtool.training.methods.base import StepResult, TrainingMethod
from camtool.training.methods.plain import Plain

__all__ = ["METHODS", "Method", "Plain", "StepResult", "TrainingMethod"]

Method = Plain
"""Every training method."""

METHODS: tuple[type[Plain], ...] = (Plain,)
"""The members of `Method`, for the tables that are derived from the code."""
