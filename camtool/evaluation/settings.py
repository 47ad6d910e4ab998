"""The section `eval` of an experiment: what is scored, and how."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from camtool.annotations import AnnotationReader
from camtool.metrics import Bootstrap, Ilsvrc, Protocol
from camtool.metrics.diagnosis import DiagnosisSettings
from camtool.metrics.thresholds import Sweep
from camtool.settings import FilePath, Settings

# YAML and the command line give text.


def _switch(value: Any) -> Any:  # noqa: ANN401 - pydantic hands over what the user wrote
    """Take `true` for the defaults and `false` for nothing."""
    return ({} if value else None) if isinstance(value, bool) else value


class EvalSettings(Settings):
    """Scoring predictions against annotations.

    Example:
        >>> EvalSettings(protocol="maxboxacc").protocol.whole
        'max_box_acc'
    """

    protocol: Protocol = Ilsvrc()
    """How predictions are scored; `all` for every protocol, side by side."""
    every_protocol: bool = False
    """Score by every protocol with its defaults; `protocol: all` sets it."""
    annotations: FilePath | None = None
    """True boxes (`--boxes`): XML, csv, json, archives, list folders: `camtool formats`."""
    format: AnnotationReader | None = None
    """Format of the annotations; recognised by content when not given."""
    predictions: FilePath | None = None
    """Predictions, instead of a run's: predictions.jsonl, guess file (.txt), Kaggle .csv."""
    masks: FilePath | None = None
    """Folder of true masks (`--masks`), for the protocol pxap: PNG files by image id."""
    blacklist: FilePath | None = None
    """Images that localization errors leave out: a number or an image id a line."""
    images: str | None = None
    """Range of the annotated images in name order, numbered from 1, such as `1-10000`."""
    allow_missing: bool = False
    """Score the rest when annotated images have no prediction."""
    difficult: Literal["count", "leave-out"] = "count"
    """Whether objects that the source marks as difficult count."""
    baselines_only: bool = False
    """Score only the whole image and centred boxes, without predictions."""
    bootstrap: Bootstrap = Bootstrap()
    """How the 95 % intervals are drawn."""
    diagnosis: DiagnosisSettings = DiagnosisSettings()
    """Kinds of errors, and figures beside those of the protocol."""
    sweep: Annotated[Sweep | None, BeforeValidator(_switch)] = Sweep()
    """Score the stored maps at many thresholds beside the boxes as stored; `false` for not."""
    calibrate_on: FilePath | None = None
    """Annotated images to choose a threshold on (`--calibrate-on`); none of them may be scored."""
    calibrate_run: FilePath | None = None
    """Run that holds the maps of these images; the scored run when not given."""
    calibrate_per: Literal["all", "class"] = "all"
    """One threshold for all classes, or for each its own."""
    calibrate_min_images: int = Field(default=10, ge=1)
    """Images that a class needs for a threshold of its own; the others take that of all."""

    @model_validator(mode="before")
    @classmethod
    def _all(cls, data: Any) -> Any:  # noqa: ANN401 - pydantic hands over what the user wrote
        if isinstance(data, dict) and data.get("protocol") in ("all", {"name": "all"}):
            others = {key: value for key, value in data.items() if key != "protocol"}
            return others | {"every_protocol": True}
        return data
