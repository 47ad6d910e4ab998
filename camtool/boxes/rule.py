"""What every box rule offers, and what one offers that has a threshold on the map."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from camtool.boxes.enlarged import by_pixel
from camtool.kernels import level_histogram
from camtool.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from camtool.boxes.enlarged import Interpolation, Scale
    from camtool.structures import ScoredBox, ScoreMap

    Picture = NDArray[np.uint8]
    """What a rule keeps of an image: RGB in [0, 255], shape (height, width, 3)."""


class Rule(Settings, ABC):
    """A rule from a class map to boxes.

    Most rules need nothing but the map. One that looks at the picture says by `picture` what to
    keep of it; one whose boxes are several guesses of an image says by `entered` which.

    Example:
        >>> from camtool.boxes import BoxRule
        >>> from camtool.settings import members
        >>> [rule.model_fields["name"].default for rule in members(BoxRule, Rule)]
        ['paper', 'dt', 'tight-loose', 'grabcut', 'multi', 'point']
    """

    summary: ClassVar[str]
    """What the rule does, in a line."""
    paper: ClassVar[str]
    """Where it comes from."""

    @abstractmethod
    def boxes(
        self, score_map: ScoreMap, label: str | None = None, picture: Picture | None = None
    ) -> tuple[ScoredBox, ...]:
        """Return the boxes of a class map, in original pixels, strongest first; empty if none.

        Args:
            score_map: the map.
            label: name of its class, for settings of single classes.
            picture: what `picture` returned for the image; only rules that ask for it look at it.
        """

    def picture(self, image: Image.Image) -> Picture | None:
        """Return what the rule keeps of the image for `boxes`; None where it needs the map only."""
        return None

    def entered(self, boxes: Sequence[ScoredBox], rank: int) -> tuple[ScoredBox, ...]:
        """Return the boxes of a class with their places among the image's guesses.

        Args:
            boxes: the boxes of the class, from `boxes`.
            rank: place of the class among the classes of the image, 1 = most probable.
        """
        return tuple(boxes)


class SweptRule(Rule, ABC):
    """A box rule with a threshold on the map, which gives its boxes at many thresholds at once.

    `camtool eval` scores and calibrates every such rule at other thresholds than its own, without
    knowing its name. Thresholds are shares, in [0, 1), of the map's maximum at image size, or with
    `of_range` of the way from its minimum to its maximum.

    Example:
        >>> import numpy as np
        >>> from camtool.boxes import MultiBoxes, PaperBoxes
        >>> from camtool.structures import ScoreMap
        >>> score_map = ScoreMap(np.eye(3, dtype=np.float32), (0, 0, 9, 9), (9, 9))
        >>> for rule in (PaperBoxes(), MultiBoxes()):
        ...     (box,) = rule.boxes_at(score_map, np.array([0.9]))
        ...     first = rule.at(0.9).boxes(score_map)[0].box
        ...     print(rule.own_threshold, first.xyxy == tuple(box))
        0.2 True
        0.2, 0.4, 0.6 True
    """

    if TYPE_CHECKING:
        # Each rule declares both, at their place in the order of its settings.
        scale: Scale
        interpolation: Interpolation

    threshold_setting: ClassVar[str]
    """Name of the setting that holds the threshold, or the thresholds."""

    @abstractmethod
    def boxes_at(self, score_map: ScoreMap, thresholds: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the first box, which is the class's guess, at each of many thresholds.

        Equal to the first of `self.at(threshold).boxes(score_map)` for each threshold.

        Args:
            score_map: the map; any values.
            thresholds: ascending, in [0, 1), shape (n,).

        Returns:
            x0, y0, x1, y1 in pixels of the map's image, int64 of shape (n, 4); zeros where there
            is no box.
        """

    @abstractmethod
    def at(self, threshold: float) -> Self:
        """Return the same rule with this single threshold in place of its own."""

    @property
    @abstractmethod
    def own_threshold(self) -> float | str:
        """What a report calls the rule's own threshold: a number, or the name of what finds it."""

    @property
    def of_range(self) -> bool:
        """Whether thresholds are shares of the map's range instead of its maximum."""
        return self.scale == "min-max"

    def conditions(self) -> dict[str, Any]:
        """Return what a threshold holds for, as JSON data: all settings but the threshold."""
        return self.model_dump(mode="json", exclude={self.threshold_setting})

    def histogram(self, score_map: ScoreMap) -> NDArray[np.int64]:
        """Return how many pixels lie at each of 256 levels, from which rules find a threshold.

        See `camtool.kernels.level_histogram`.

        Args:
            score_map: the map; any values.
        """
        worked = by_pixel(score_map, self.interpolation)
        return level_histogram(worked.values, *worked.axes, of_range=self.of_range)
