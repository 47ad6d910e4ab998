"""Weakly supervised object localization: class activation maps, boxes and honest scores."""

__version__ = "0.1.0"
