"""What was found in one picture: classes, boxes, heat maps, and pictures of them."""

from __future__ import annotations

import io
import math
import operator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from camtool.boxes import PaperBoxes, SweptRule
from camtool.errors import ImageReadError, SettingsError, shorten
from camtool.exports.objects import box_records, to_pandas, to_supervision
from camtool.images.decode import decode, quiet_pillow
from camtool.pipelines.experiment import LocalizeSettings
from camtool.reports.overlay import draw_overlay, thumbnail
from camtool.runs.predictions import to_json
from camtool.structures import ClassPrediction, Prediction, ScoreMap

if TYPE_CHECKING:
    import pandas
    import supervision
    from numpy.typing import NDArray
    from PIL import Image

    from camtool.images import ImageSource
    from camtool.structures import Box

_MOST_SHOWN: Final = 3
"""Boxes of a class that the printed lines name."""


@dataclass(frozen=True, eq=False, repr=False)
class Localization:
    """What was found in one picture: classes with probability, boxes and heat maps.

    Printed it is three lines; in a notebook it shows the picture with heat and boxes. Where a
    method takes a class, that is a name, a title or an index of the network, and without one the
    most probable class is meant.

    Example:
        >>> from camtool import Localizer
        >>> found = Localizer()("examples/images/cat.jpg")
        >>> print(found)
        examples/images/cat.jpg: 451×300 pixels
        Egyptian cat 0.80, box (0, 0, 380, 300)
        then tiger cat 0.08, tabby 0.07, lynx 0.01, plastic bag 0.00
        >>> found.boxes[0].tolist(), found.labels[0], round(float(found.scores[0]), 2)
        ([0.0, 0.0, 380.0, 300.0], 'Egyptian cat', 0.8)
        >>> found.heatmap("tabby").shape, int(found.mask(threshold=0.5).sum())
        ((300, 451), 88122)
        >>> found.crop().size
        (380, 300)
        >>> found.overlay().save("overlay.jpg")
        >>> [(r["label"], r["x0"], r["x1"]) for r in found.records()][:2]
        [('Egyptian cat', 0.0, 380.0), ('tiger cat', 0.0, 379.0)]

    Attributes:
        prediction: the record, as `predictions.jsonl` has it.
        maps: the low-resolution map of each class, in the order of `classes`.
        source: where the picture can be read again, for `crop` and `overlay`.
        settings: how maps and boxes were made.
        photo: the picture at overlay size; None where it is read again when it is asked for.
        warnings: what was odd about the picture.
    """

    prediction: Prediction
    maps: tuple[ScoreMap, ...] = ()
    source: ImageSource | None = None
    settings: LocalizeSettings = field(default_factory=LocalizeSettings)
    photo: Image.Image | None = None
    warnings: tuple[str, ...] = ()

    @property
    def classes(self) -> tuple[ClassPrediction, ...]:
        """The classes with probability and boxes, most probable first."""
        return self.prediction.classes

    @property
    def size(self) -> tuple[int, int] | None:
        """(width, height) of the picture, in pixels; None where it could not be read."""
        return self.prediction.size

    @property
    def error(self) -> str | None:
        """Why the picture could not be read; None where it could."""
        return self.prediction.error

    @property
    def boxes(self) -> NDArray[np.float64]:
        """All boxes of all classes, in the order of the classes, each class's strongest first.

        Shape (n, 4), float64: x0, y0, x1, y1, half-open, in pixels of the original picture, turned
        upright as its EXIF block says. (0, 4) where there is none.
        """
        rows = [scored.box.xyxy for found in self.classes for scored in found.boxes]
        return np.array(rows, np.float64).reshape(-1, 4)

    @property
    def labels(self) -> tuple[str, ...]:
        """The class of each of `boxes`, as people call it: its title, or its name without one."""
        return tuple(_title(found) for found in self.classes for _ in found.boxes)

    @property
    def scores(self) -> NDArray[np.float64]:
        """The probability of the class of each of `boxes`: shape (n,), float64, in [0, 1]."""
        rows = [found.score for found in self.classes for _ in found.boxes]
        return np.array(rows, np.float64)

    def heatmap(self, label: str | int | None = None) -> NDArray[np.float32]:
        """Return the map of a class at the size of the picture.

        Its share of the maximum, `map / max(map)`, negative values as 0; of the range from minimum
        to maximum where the box rule has `scale: min-max`. It is what thresholds are shares of.
        0 where the network did not see the picture, and everywhere where nothing is positive.

        Args:
            label: the class.

        Returns:
            Shape (height, width), float32, in [0, 1].

        Raises:
            ValueError: a class that was not localized.
        """
        values, low, high = self._at_image_size(self._place(label))
        if not high > low:
            return np.zeros(values.shape, np.float32)
        return np.clip((values - low) / (high - low), 0, 1).astype(np.float32)

    def mask(self, label: str | int | None = None, threshold: float | None = None) -> NDArray[Any]:
        """Return which pixels belong to a class: those whose share of heat is above a threshold.

        Args:
            label: the class.
            threshold: in [0, 1); by default that of the box rule.

        Returns:
            Shape (height, width), bool.

        Raises:
            ValueError: a class that was not localized.
            SettingsError: no threshold between 0 and 1; or none, and the box rule has not one.
        """
        place = self._place(label)
        share = self._share(place) if threshold is None else threshold
        if not 0 <= share < 1:
            raise SettingsError(f"threshold: must be at least 0 and less than 1, got {share:g}")
        values, low, high = self._at_image_size(place)
        result: NDArray[Any] = (values > low + share * (high - low)) & (high > low)
        return result

    def crop(self, label: str | int | None = None, margin: float = 0.0) -> Image.Image:
        """Return the part of the picture in the strongest box of a class, at full resolution.

        Args:
            label: the class.
            margin: how much wider and higher than the box, on each side, as a share of its sides.

        Raises:
            ValueError: a class that was not localized, or without a box.
            ImageReadError: the picture cannot be read again.
        """
        crops = self.crops(label, margin)
        if not crops:
            title = _title(self.classes[self._place(label)])
            raise ValueError(f"nothing to cut out: '{title}' has no box")
        return crops[0]

    def crops(self, label: str | int | None = None, margin: float = 0.0) -> list[Image.Image]:
        """Return the part of the picture in each box of a class, strongest first, see `crop`."""
        found = self.classes[self._place(label)]
        return [
            self.picture.crop(_grown(scored.box, margin, self.picture.size))
            for scored in found.boxes
        ]

    def overlay(self, label: str | int | None = None) -> Image.Image:
        """Draw heat and boxes over the picture, as `localize.overlays` says.

        Args:
            label: the class; by default the most probable one, and the boxes of the true ones.

        Raises:
            ValueError: the picture could not be read, or no class was asked for.
            ImageReadError: the picture cannot be read again.
        """
        if not self.classes:
            raise ValueError(f"nothing to draw: {self.error or 'no class was localized'}")
        pairs = list(zip(self.classes, self.maps, strict=True))
        if label is not None:
            pairs = [pairs[self._place(label)]]
        settings = self.settings.overlays
        return draw_overlay(self.photo or thumbnail(self.picture, settings), pairs, settings)

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON data: a line of `predictions.jsonl`."""
        return to_json(self.prediction)

    def records(self) -> list[dict[str, Any]]:
        """Return a record for each of `boxes`, in their order.

        Its fields: `image`, `path`; `width`, `height` of the picture; `label`, `name`, `index`,
        `rank`, `score` (probability) and `target` (named as true) of the class; the corners `x0`,
        `y0`, `x1`, `y1` and `box_score` of the box.
        """
        return box_records(self.prediction, _title)

    def to_pandas(self) -> pandas.DataFrame:
        """Return the records as a table, a row a box.

        Raises:
            SettingsError: pandas is missing.
        """
        return to_pandas(self.records())

    def to_supervision(self) -> supervision.Detections:
        """Return `boxes` as detections of supervision, for its annotators, trackers and metrics.

        `xyxy` is float32 (n, 4) with the corners as they are here, `confidence` the probability of
        the class, `class_id` its index in the network, `data["class_name"]` its label. Empty where
        the picture could not be read.

        Raises:
            SettingsError: supervision is missing.
        """
        return to_supervision(self.prediction, _title, operator.attrgetter("index"))

    @cached_property
    def picture(self) -> Image.Image:
        """The picture in RGB at full size, upright as the boxes are; read again, and then kept.

        Raises:
            ImageReadError: it is not there any more, or is another one.
        """
        if self.source is None:
            raise ImageReadError(self.prediction.path, "nothing says where to read it again")
        with quiet_pillow():
            upright, limit = self.prediction.upright, self.settings.images.max_pixels
            image = decode(self.source, upright, limit).image
        if image.size != self.size:
            raise ImageReadError(self.prediction.path, "has changed since it was localized")
        return image

    def __repr__(self) -> str:
        """Return three lines: the picture, the most probable class with its boxes, the others."""
        name = shorten(self.prediction.path, 100)
        if self.size is None:
            return f"{name}: could not be read\n{self.error}\nno class, no box"
        first = f"{name}: {self.size[0]}×{self.size[1]} pixels"
        if not self.classes:
            return f"{first}\nno class\nno box"
        best, *others = self.classes
        more = ", ".join(map(_scored, others)) if others else "no other class"
        return f"{first}\n{_scored(best)}, {_boxes(best)}\n{f'then {more}' if others else more}"

    def _repr_png_(self) -> bytes | None:
        """Return the overlay as PNG, for notebooks; None where there is nothing to draw."""
        try:
            picture = self.overlay()
        except (ValueError, ImageReadError):
            return None
        buffer = io.BytesIO()
        picture.save(buffer, "PNG")
        return buffer.getvalue()

    def _place(self, label: str | int | None) -> int:
        """Return the place of a class among `classes`."""
        if not self.classes:
            raise ValueError(f"nothing was localized: {self.error or 'no class was asked for'}")
        if label is None:
            return 0
        wanted = label if isinstance(label, str) else operator.index(label)
        for names in self._names(wanted):
            if names.count(wanted) == 1:
                return names.index(wanted)
        known = ", ".join(_title(c) for c in self.classes[:10])
        raise ValueError(
            f"no map of {label!r}: localized were {known}; name it when localizing (labels=, or"
            " classes= of the localizer)"
        )

    def _names(self, label: str | int) -> tuple[list[str | int | None], ...]:
        """What a label may be of each class, as `NetworkClasses.index` reads labels."""
        if not isinstance(label, int):
            return [c.name for c in self.classes], [c.title for c in self.classes]
        numbers = [int(c.name) if c.name.isdecimal() else None for c in self.classes]
        if any(number is not None for number in numbers):
            return (list(numbers),)
        return ([c.index for c in self.classes],)

    def _at_image_size(self, place: int) -> tuple[NDArray[np.float64], float, float]:
        """A map at image size, -inf where it does not cover the picture; what is cold, and hot."""
        score_map, rule = self.maps[place], self.settings.boxes
        values = score_map.at_image_size(outside=-math.inf)
        covered = values[values > -math.inf]
        if not covered.size or not np.isfinite(score_map.values).all():
            return np.zeros_like(values), 0.0, 0.0
        of_range = isinstance(rule, SweptRule) and rule.of_range
        return values, float(covered.min()) if of_range else 0.0, float(covered.max())

    def _share(self, place: int) -> float:
        """The box rule's own threshold for a map."""
        rule = self.settings.boxes
        if isinstance(rule, PaperBoxes):
            return rule.share(self.maps[place], self.classes[place].name)
        if isinstance(rule, SweptRule) and isinstance(rule.own_threshold, float):
            return rule.own_threshold
        raise SettingsError(
            f"threshold: the box rule {rule.name} has no single one: say which, e.g. threshold=0.2"
        )


def _title(found: ClassPrediction) -> str:
    return found.title or found.name


def _scored(found: ClassPrediction) -> str:
    score = "" if found.score is None else f" {found.score:.2f}"
    return f"{shorten(_title(found), 40)}{score}"


def _boxes(found: ClassPrediction) -> str:
    corners = [f"({', '.join(f'{v:g}' for v in b.box.xyxy)})" for b in found.boxes]
    if not corners:
        return "no box"
    more = f" and {len(corners) - _MOST_SHOWN} more" if len(corners) > _MOST_SHOWN else ""
    return f"{'box' if len(corners) == 1 else 'boxes'} {', '.join(corners[:_MOST_SHOWN])}{more}"


def _grown(box: Box, margin: float, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return the whole pixels of a box with a margin, within the picture."""
    if not margin >= 0:
        raise SettingsError(f"margin: must be at least 0, got {margin:g}")
    across, down = margin * (box.x1 - box.x0), margin * (box.y1 - box.y0)
    return (
        max(0, math.floor(box.x0 - across)),
        max(0, math.floor(box.y0 - down)),
        min(size[0], math.ceil(box.x1 + across)),
        min(size[1], math.ceil(box.y1 + down)),
    )
