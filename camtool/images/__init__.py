"""Images: found, decoded without surprises, and prepared for a network with the way back."""

from __future__ import annotations

from camtool.images.decode import Decoded, ImageSettings
from camtool.images.find import FoundImages, find_images
from camtool.images.preprocess import BasePreprocess, CenterCrop, Preprocess, Squeeze
from camtool.images.sources import ImageSource
from camtool.images.views import BaseViews, MultiScale, One, TenCrop, Tiles, Views

__all__ = [
    "BasePreprocess",
    "BaseViews",
    "CenterCrop",
    "Decoded",
    "FoundImages",
    "ImageSettings",
    "ImageSource",
    "MultiScale",
    "One",
    "Preprocess",
    "Squeeze",
    "TenCrop",
    "Tiles",
    "Views",
    "find_images",
]
