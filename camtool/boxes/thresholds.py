"""How the threshold of a map is found, where it is not a fixed number. No rule needs true boxes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, final

import numpy as np
from pydantic import BeforeValidator, Field

from camtool.errors import SettingsError, shorten
from camtool.kernels import BINS, level_histogram
from camtool.runs.threshold import read_threshold
from camtool.settings import FilePath, Settings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from camtool.structures import ScoreMap

Share = Annotated[float, Field(ge=0, lt=1)]
"""A threshold as a share of what the box rule scales by: the map's maximum, or its range."""


class ThresholdRule(Settings, ABC):
    """A rule that finds the threshold of each map anew."""

    summary: ClassVar[str]
    """What the threshold is, in a line."""

    @abstractmethod
    def share(
        self, score_map: ScoreMap, *, of_range: bool = False, label: str | None = None
    ) -> float:
        """Return the threshold of a map, in [0, 1).

        Args:
            score_map: the map; finite.
            of_range: the threshold is a share of the range from minimum to maximum, instead of one
                of the maximum.
            label: name of the map's class; None where it is unknown.
        """


def otsu_bin(counts: NDArray[np.int64]) -> int:
    """Return the highest bin of the background by Otsu's rule.

    Otsu, "A threshold selection method from gray-level histograms", IEEE Transactions on Systems,
    Man, and Cybernetics 1979: the bin at which the variance between the pixels up to it and those
    above is largest; the lowest among equals, 0 where all pixels lie in one bin (as OpenCV has it).

    Args:
        counts: number of pixels in each bin, int64 of shape (n,).
    """
    places = np.arange(len(counts), dtype=np.float64)
    below = np.cumsum(counts).astype(np.float64)
    above = below[-1] - below
    weighted = np.cumsum(counts * places)
    with np.errstate(divide="ignore", invalid="ignore"):
        gap = weighted / below - (weighted[-1] - weighted) / above
        between = below * above * gap**2
    return int(np.where((below > 0) & (above > 0), between, 0.0).argmax())


def percentile_bin(counts: NDArray[np.int64], q: float) -> int:
    """Return the lowest bin such that `q` percent of the pixels or more lie in it or below.

    The last bin but one, where only the last would do: some pixel stays above.
    """
    below = np.cumsum(counts)
    enough = int((below * 100 >= q * below[-1]).argmax())
    return min(enough, len(counts) - 2)


class HistogramRule(ThresholdRule):
    """A rule that looks at nothing but how many pixels lie at each of 256 levels."""

    @abstractmethod
    def level(self, counts: NDArray[np.int64]) -> int:
        """Return the highest level of the background, 0 to 254.

        Args:
            counts: number of pixels at each level, int64 of shape (256,).
        """

    def share(
        self, score_map: ScoreMap, *, of_range: bool = False, label: str | None = None
    ) -> float:
        """Return the threshold of a map; see `ThresholdRule`."""
        counts = level_histogram(score_map.values, *score_map.axes, of_range=of_range)
        return self.share_of(counts)

    def share_of(self, counts: NDArray[np.int64]) -> float:
        """Return the threshold of a map of this histogram, such as `SweptRule.histogram` gives."""
        return (self.level(counts) + 1) / BINS


@final
class Otsu(HistogramRule):
    """Otsu's rule on the map at image size: least variance within foreground and background.

    The map is taken in 256 levels of what the box rule scales by, all negative values in the
    lowest. Only pixels that the map covers count.
    """

    summary: ClassVar[str] = "each map's own, by Otsu's rule on its 256 levels at image size"
    paper: ClassVar[str] = "Otsu, IEEE SMC 1979"

    name: Literal["otsu"] = "otsu"

    def level(self, counts: NDArray[np.int64]) -> int:
        """Return the highest level of the background."""
        return otsu_bin(counts)


@final
class Percentile(HistogramRule):
    """The lowest of 256 levels that leaves at least `q` percent of the covered pixels below."""

    summary: ClassVar[str] = "each map's own: q percent of the pixels lie below"

    name: Literal["percentile"] = "percentile"

    q: Annotated[float, Field(gt=0, lt=100)] = 80.0
    """Percentage of the pixels at image size that are background."""

    def level(self, counts: NDArray[np.int64]) -> int:
        """Return the highest level of the background."""
        return percentile_bin(counts, self.q)


@final
class ByClass(ThresholdRule):
    """A fixed threshold for each class, as `camtool eval --calibrate-on` chooses them."""

    summary: ClassVar[str] = "fixed, a number for each class"

    name: Literal["by-class"] = "by-class"

    otherwise: Share
    """Threshold of the classes that are not listed."""
    classes: dict[str, Share]
    """Threshold by name of the class (a wnid for ImageNet classes)."""

    def share(
        self, score_map: ScoreMap, *, of_range: bool = False, label: str | None = None
    ) -> float:
        """Return the threshold of a class; see `ThresholdRule`."""
        return self.classes.get(label, self.otherwise) if label is not None else self.otherwise


@final
class Stored(ThresholdRule):
    """What `camtool eval --calibrate-on` chose; read at once, so that results keep the numbers."""

    summary: ClassVar[str] = "fixed, read from a run's threshold.json"

    name: Literal["stored"] = "stored"

    file: FilePath
    """A run's `threshold.json`, or the run folder."""

    def share(
        self, score_map: ScoreMap, *, of_range: bool = False, label: str | None = None
    ) -> float:
        """Return the threshold of a class, from the file; see `ThresholdRule`."""
        found = self.resolve("min-max" if of_range else "max")
        if isinstance(found, ByClass):
            return found.share(score_map, of_range=of_range, label=label)
        return found

    def resolve(self, scale: str, interpolation: str | None = None) -> float | ByClass:
        """Return the threshold that the file holds.

        Args:
            scale: what the box rule takes thresholds as shares of.
            interpolation: how it brings maps to the image's size; None where that is not asked.

        Raises:
            SettingsError: there is no such file, or it was chosen for another box rule, scale or
                interpolation.
            RunError: it cannot be read.
        """
        found = read_threshold(self.file)
        if found is None:
            raise SettingsError(
                f"{shorten(str(self.file), 200)}: no threshold is stored there; `camtool eval RUN"
                " --calibrate-on PATH` chooses and stores one"
            )
        if found.boxes is None:
            raise SettingsError(
                f"{self.file}: was chosen by the protocol {found.chosen_on.protocol}, whose boxes"
                " are no box rule of localize; choose one by the protocol ilsvrc"
            )
        if found.boxes.get("scale", scale) != scale:
            raise SettingsError(
                f"{self.file}: was chosen with scale {found.boxes['scale']}, and these boxes have"
                f" scale {scale}: set localize.boxes.scale to the same"
            )
        chosen_by = found.boxes.get("interpolation", interpolation)
        if interpolation is not None and chosen_by != interpolation:
            raise SettingsError(
                f"{self.file}: was chosen with interpolation {chosen_by}, and these boxes have"
                f" {interpolation}: set localize.boxes.interpolation to the same"
            )
        if not found.classes:
            return found.value
        return ByClass(otherwise=found.value, classes=found.classes)


def _name_to_settings(value: Any) -> Any:  # noqa: ANN401 - pydantic hands over what the user wrote
    # A number in quotes is no name: the settings say how to write it.
    is_name = isinstance(value, str) and not value[:1].isdigit()
    return {"name": value} if is_name else value


FoundThreshold = Annotated[Otsu | Percentile | ByClass | Stored, Field(discriminator="name")]
"""Every rule that finds a threshold, told apart by `name`."""

Threshold = Annotated[Share | FoundThreshold, BeforeValidator(_name_to_settings)]
"""A number, or a rule; the bare name stands for the rule with its defaults."""
