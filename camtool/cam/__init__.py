"""Localizers: from a network and a class to a class map. One family a file; the union is here."""

from __future__ import annotations

from camtool.cam.linear import Cam

__all__ = ["CAMS", "Cam", "CamMethod"]

CamMethod = Cam
"""Every localizer; joined as a union discriminated by `name`."""

CAMS: tuple[type[Cam], ...] = (Cam,)
"""The members of `CamMethod`, for the tables that are derived from the code."""
