"""The settings of an evaluation and its result."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from camtool.annotations import AnnotationReader
from camtool.metrics.baselines import SIDES, best_centred
from camtool.metrics.confidence import Bootstrap
from camtool.metrics.error_kinds import DiagnosisSettings
from camtool.metrics.ilsvrc import Ilsvrc
from camtool.metrics.protocols import Protocol
from camtool.metrics.threshold_sweep import Sweep
from camtool.settings import Settings

if TYPE_CHECKING:
    from camtool.metrics.baselines import Baseline
    from camtool.metrics.confidence import Rate
    from camtool.metrics.curves import Curve
    from camtool.metrics.figures import ThresholdChoice
    from camtool.metrics.further_figures import Details

__all__ = ["Counts", "EvalSettings", "Evaluation", "EvaluationOfAll"]

# YAML and the command line give text.
_Path = Annotated[Path, Field(strict=False)]


def _switch(value: Any) -> Any:  # noqa: ANN401 - pydantic hands over what the user wrote
    """Take `true` for the defaults and `false` for nothing."""
    return ({} if value else None) if isinstance(value, bool) else value


class EvalSettings(Settings):
    """Scoring predictions against annotations."""

    protocol: Protocol = Ilsvrc()
    """How predictions are scored; `all` for every protocol, side by side."""
    every_protocol: bool = False
    """Score by every protocol with its defaults; `protocol: all` sets it."""
    annotations: _Path | None = None
    """True boxes (`--boxes`): XML, csv, json, archives, list folders: `camtool formats`."""
    format: AnnotationReader | None = None
    """Format of the annotations; recognised by content when not given."""
    predictions: _Path | None = None
    """Predictions, instead of a run's: predictions.jsonl, guess file (.txt), Kaggle .csv."""
    masks: _Path | None = None
    """Folder of true masks (`--masks`), for the protocol pxap: PNG files by image id."""
    blacklist: _Path | None = None
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
    calibrate_on: _Path | None = None
    """Annotated images to choose a threshold on (`--calibrate-on`); none of them may be scored."""
    calibrate_run: _Path | None = None
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


@dataclass(frozen=True, slots=True)
class Counts:
    """What was scored.

    Attributes:
        annotated: usable annotations, in the range of images.
        predicted: predictions read, those with an error included.
        scored: images that count for at least one figure.
        left_out: number of annotations, predictions or images left out, by reason.
    """

    annotated: int
    predicted: int
    scored: int
    left_out: dict[str, int]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The result of an evaluation: figures, and all that a reader needs to compare them.

    Attributes:
        protocol: name of the protocol.
        convention: how was scored, by aspect; sentences for human readers.
        counts: what was scored.
        metrics: rates by name, in percent; errors or accuracies, see `measure`.
        absent: why the other figures of the protocol are not given, by name.
        baselines: whole image and centred boxes on the images of the GT-known error; empty where
            no image has both a size and a true box.
        join: number of predictions joined to annotated images, by the way their ids agreed.
        warnings: what a reader should look at, a sentence each.
        measure: `error` or `accuracy`: what the metrics are.
        thresholds: metrics under several rules for the threshold: fixed ones, the oracle, …
        map_baselines: where maps are scored, the same metrics of a centred Gaussian map and of
            centred boxes: by baseline, then by metric.
        curves: what plots show, by name.
        details: kinds of errors and further figures; None where none were asked for.
    """

    protocol: str
    convention: dict[str, str]
    counts: Counts
    metrics: dict[str, Rate]
    absent: dict[str, str]
    baselines: dict[str, Baseline]
    join: dict[str, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    measure: str = "error"
    thresholds: dict[str, ThresholdChoice] = field(default_factory=dict)
    map_baselines: dict[str, dict[str, Rate]] = field(default_factory=dict)
    curves: dict[str, Curve] = field(default_factory=dict)
    details: Details | None = None

    @property
    def all_absent(self) -> dict[str, str]:
        """Why figures are not given, those of `details` among them, by name."""
        return self.absent | (self.details.absent if self.details else {})

    def best_centred(self, metric: str | None = None) -> tuple[str, float] | None:
        """Return name and side of the best centred box; None where there are no boxes.

        Args:
            metric: one of `map_baselines`; None for the GT-known accuracy of `baselines`.
        """
        values = {name: baseline.accuracy for name, baseline in self.baselines.items()}
        if metric is not None:
            floor = self.map_baselines.items()
            values = {name: rates[metric].value for name, rates in floor if metric in rates}
        best = best_centred(values)
        return None if best is None else (best, SIDES[best])


@dataclass(frozen=True, slots=True)
class EvaluationOfAll:
    """The results of every protocol.

    Attributes:
        protocols: by name, those that the data allow; at least one.
        absent: why the others cannot be given, by name.
    """

    protocols: dict[str, Evaluation]
    absent: dict[str, str]

    @property
    def main(self) -> Evaluation:
        """The evaluation that speaks for all where one must: the first, `ilsvrc` if it is there."""
        return next(iter(self.protocols.values()))
