"""What is optimised: a classifier, and what a training method adds to it while it trains."""

from __future__ import annotations

from camtool.training.trainees.base import Trainee

__all__ = ["Trainee"]
