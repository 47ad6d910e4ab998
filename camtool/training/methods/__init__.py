"""Training methods: how labels alone are made to teach where. One a file; the union is here."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from camtool.training.methods.acol import Acol
from camtool.training.methods.adl import Adl
from camtool.training.methods.cutmix import CutMix
from camtool.training.methods.foreground import Foreground
from camtool.training.methods.hide_and_seek import HideAndSeek
from camtool.training.methods.method import Plain, StepResult, TrainingMethod
from camtool.training.methods.spg import Spg

__all__ = [
    "Acol",
    "Adl",
    "CutMix",
    "Foreground",
    "HideAndSeek",
    "Method",
    "Plain",
    "Spg",
    "StepResult",
    "TrainingMethod",
]

Method = Annotated[
    Plain | HideAndSeek | CutMix | Adl | Acol | Spg | Foreground, Field(discriminator="name")
]
"""Every training method."""
