"""Data sets to train on: each a settings class that lists its own examples."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from camtool.training.data.cub import CubData
from camtool.training.data.folder import FolderData
from camtool.training.data.imagenet import ImageNetData
from camtool.training.data.images import ImagesData
from camtool.training.data.sets import DataSettings, Example, ExampleSets
from camtool.training.data.shards import ShardData
from camtool.training.data.tables import CsvData
from camtool.training.data.tiny_imagenet import TinyImageNetData

__all__ = [
    "CsvData",
    "CubData",
    "Data",
    "DataSettings",
    "Example",
    "ExampleSets",
    "FolderData",
    "ImageNetData",
    "ImagesData",
    "ShardData",
    "TinyImageNetData",
]

Data = Annotated[
    FolderData | TinyImageNetData | ImageNetData | CubData | CsvData | ShardData | ImagesData,
    Field(discriminator="name"),
]
"""Every kind of data set."""
