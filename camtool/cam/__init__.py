"""Localizers: from a network and a class to a class map. One family a file; the union is here.

Importing this package does not import torch: a method does so when it makes maps.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from camtool.cam.channels import AblationCam, EigenCam, ReciproCam, ScoreCam
from camtool.cam.foreground import ForegroundCam
from camtool.cam.gradient import (
    GradCam,
    GradCamPlusPlus,
    HiResCam,
    LayerCam,
    SmoothGradCamPlusPlus,
    XGradCam,
)
from camtool.cam.linear import Cam
from camtool.cam.method import MapMethod
from camtool.cam.perturbation import Occlusion, Patches, Rise
from camtool.cam.saliency import Backprop
from camtool.cam.self_taught import SelfTaught
from camtool.cam.transformer import AttentionRollout, LeGrad, TsCam
from camtool.settings import members

__all__ = [
    "CAMS",
    "AblationCam",
    "AttentionRollout",
    "Backprop",
    "Cam",
    "CamMethod",
    "EigenCam",
    "ForegroundCam",
    "GradCam",
    "GradCamPlusPlus",
    "HiResCam",
    "LayerCam",
    "LeGrad",
    "MapMethod",
    "Occlusion",
    "Patches",
    "ReciproCam",
    "Rise",
    "ScoreCam",
    "SelfTaught",
    "SmoothGradCamPlusPlus",
    "TsCam",
    "XGradCam",
]

CamMethod = Annotated[
    Cam
    | ForegroundCam
    | GradCam
    | GradCamPlusPlus
    | XGradCam
    | HiResCam
    | LayerCam
    | SmoothGradCamPlusPlus
    | Backprop
    | ScoreCam
    | AblationCam
    | EigenCam
    | ReciproCam
    | Rise
    | Occlusion
    | Patches
    | SelfTaught
    | AttentionRollout
    | LeGrad
    | TsCam,
    Field(discriminator="name"),
]
"""Every localizer; joined as a union discriminated by `name`."""

CAMS = members(CamMethod, MapMethod)
"""The members of `CamMethod`, for the tables that are derived from the code."""
