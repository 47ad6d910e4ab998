"""Localizers: from a network and a class to a class map. One family a file; the union is here.

Importing this package does not import torch: a method does so when it makes maps.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from camtool.cam.eigen import EigenCam
from camtool.cam.gradient import GradCam, GradCamPlusPlus, HiResCam, XGradCam
from camtool.cam.layer_cam import LayerCam
from camtool.cam.linear import Cam
from camtool.cam.method import MapMethod
from camtool.cam.occlusion import Occlusion
from camtool.cam.patches import Patches
from camtool.cam.recipro import ReciproCam
from camtool.cam.rise import Rise
from camtool.cam.rollout import AttentionRollout, LeGrad, TsCam
from camtool.cam.saliency import Backprop
from camtool.cam.scored import AblationCam, ScoreCam
from camtool.cam.self_taught import SelfTaught
from camtool.cam.smooth import SmoothGradCamPlusPlus

__all__ = [
    "CAMS",
    "AblationCam",
    "AttentionRollout",
    "Backprop",
    "Cam",
    "CamMethod",
    "EigenCam",
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

CAMS: tuple[type[MapMethod], ...] = (
    Cam,
    GradCam,
    GradCamPlusPlus,
    XGradCam,
    HiResCam,
    LayerCam,
    SmoothGradCamPlusPlus,
    Backprop,
    ScoreCam,
    AblationCam,
    EigenCam,
    ReciproCam,
    Rise,
    Occlusion,
    Patches,
    SelfTaught,
    AttentionRollout,
    LeGrad,
    TsCam,
)
"""The members of `CamMethod`, for the tables that are derived from the code."""
