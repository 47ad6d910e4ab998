"""The stored maps of a run, judged at many thresholds beside the boxes as stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from camtool.evaluation.score_maps import RunMaps
from camtool.metrics.box_protocol import BoxProtocol, matches
from camtool.metrics.threshold_figures import Chosen, threshold_choices, threshold_curves
from camtool.metrics.threshold_sweep import SweptClass, judge_shares, right_by, swept_class
from camtool.metrics.threshold_table import GT_KNOWN, ThresholdTable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from camtool.boxes import SweptRule
    from camtool.evaluation.result import EvalSettings
    from camtool.metrics.confidence import Rate
    from camtool.metrics.curves import Curve
    from camtool.metrics.figures import ThresholdChoice
    from camtool.metrics.sources import MapSource
    from camtool.metrics.threshold_sweep import Sweep
    from camtool.structures import Annotation, Prediction

__all__ = ["Sweeper", "sweeper_of"]


@dataclass(frozen=True, slots=True)
class Sweeper:
    """Judges the maps of single images at all thresholds.

    Attributes:
        protocol: what is right.
        boxes: the run's box rule; its own threshold does not count.
        sweep: thresholds and rules.
        maps: the run's maps.
        chosen: a threshold that was chosen on other images.
    """

    protocol: BoxProtocol
    boxes: SweptRule
    sweep: Sweep
    maps: RunMaps
    chosen: Chosen | None = None

    @property
    def shares(self) -> NDArray[np.float64]:
        """All thresholds, ascending."""
        if self.chosen is None:
            return self.sweep.shares()
        return self.sweep.shares(self.chosen.value, *self.chosen.classes.values())

    def image(self, truth: Annotation, prediction: Prediction) -> tuple[SweptClass, ...]:
        """Judge each true class of an image that has boxes.

        Raises:
            RunError: a map cannot be read.
        """
        labels = (label for label in truth.labels if truth.boxes(label))
        return tuple(self._class(truth, prediction, label) for label in labels)

    def _class(self, truth: Annotation, prediction: Prediction, label: str | int) -> SweptClass:
        guesses = [guess for guess in prediction.classes if matches(label, guess)]
        first = min(guesses, key=lambda guess: guess.rank, default=None)
        name, rank = (str(label), None) if first is None else (first.name, first.rank)
        score_map = self.maps.stored(prediction, label)
        if score_map is None:
            return SweptClass(name, rank, None)
        found = judge_shares(self.boxes, self.sweep, score_map, self.shares)
        size = truth.size or score_map.size
        right = right_by(self.protocol, truth.boxes(label), score_map.size, size)
        return swept_class(name, rank, found, right)

    def table(self, images: Sequence[tuple[SweptClass, ...]]) -> ThresholdTable:
        """Collect the images that count for localization."""
        return ThresholdTable(images, self.shares)

    def figures(
        self,
        images: Sequence[tuple[SweptClass, ...]],
        metrics: Mapping[str, Rate],
        chosen: Chosen | None,
    ) -> tuple[dict[str, ThresholdChoice], dict[str, Curve], dict[str, str]]:
        """Return the figures under each rule, their curves, and why some are not given."""
        table = self.table(images)
        run = self.boxes.own_threshold
        choices = threshold_choices(table, metrics, self.sweep, run, chosen)
        curves = threshold_curves(table, choices, self.protocol)
        lacking = table.lacking(GT_KNOWN)
        if not lacking or "gt_known_error" in choices:
            return choices, curves, {}
        reason = (
            f"the true class's map is stored for {table.images - lacking:,} of {table.images:,} "
            "images; `camtool localize --labels` stores it for all"
        )
        return choices, curves, {"other_thresholds": reason}


def sweeper_of(
    settings: EvalSettings,
    boxes: SweptRule | None,
    maps: MapSource | None,
    chosen: Chosen | None = None,
) -> Sweeper | str | None:
    """Return what judges maps at all thresholds; the reason where none can; None where not asked.

    Args:
        settings: the settings of the evaluation.
        boxes: the box rule of the run; None where it is unknown.
        maps: where the maps are; None where there are none.
        chosen: a threshold that was chosen on other images.
    """
    protocol = settings.protocol
    if settings.sweep is None or not isinstance(protocol, BoxProtocol):
        return None
    if isinstance(maps, RunMaps) and boxes is None:
        return "the run's box rule has no threshold to change: only `paper` has one"
    if boxes is None or not isinstance(maps, RunMaps):
        return "the predictions come without maps: only a run folder keeps them"
    return Sweeper(protocol, boxes, settings.sweep, maps, chosen)
