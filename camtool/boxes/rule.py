"""What every box rule offers: boxes of a map, and what it needs beside the map."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from camtool.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from camtool.structures import ScoredBox, ScoreMap

__all__ = ["Rule"]


class Rule(Settings, ABC):
    """A rule from a class map to boxes.

    Most rules need nothing but the map. One that looks at the picture says by `picture` what to
    keep of it; one whose boxes are several guesses of an image says by `entered` which.
    """

    summary: ClassVar[str]
    """What the rule does, in a line."""
    paper: ClassVar[str]
    """Where it comes from."""

    @abstractmethod
    def boxes(
        self,
        score_map: ScoreMap,
        label: str | None = None,
        picture: NDArray[np.uint8] | None = None,
    ) -> tuple[ScoredBox, ...]:
        """Return the boxes of a class map, in original pixels, strongest first; empty if none.

        Args:
            score_map: the map.
            label: name of its class, for settings of single classes.
            picture: what `picture` returned for the image; only rules that ask for it look at it.
        """

    def picture(self, image: Image.Image) -> NDArray[np.uint8] | None:  # noqa: ARG002
        """Return what the rule keeps of the image for `boxes`; None where it needs the map only."""
        return None

    def entered(self, boxes: Sequence[ScoredBox], rank: int) -> tuple[ScoredBox, ...]:  # noqa: ARG002
        """Return the boxes of a class with their places among the image's guesses.

        Args:
            boxes: the boxes of the class, from `boxes`.
            rank: place of the class among the classes of the image, 1 = most probable.
        """
        return tuple(boxes)
