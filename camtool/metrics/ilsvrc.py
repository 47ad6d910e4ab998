"""The official ILSVRC classification and localization errors, and GT-known localization.

Figures follow the evaluation program of the ILSVRC 2014 development kit. A guess (class and box) is
right when its class is a class of the image and its box has an intersection over union of at least
one half with any true box of that class. An image is right at N when any of its first N guesses is
right. See Russakovsky et al., "ImageNet Large Scale Visual Recognition Challenge", IJCV 2015,
https://arxiv.org/abs/1409.0575, section 4.
"""

from __future__ import annotations

from typing import ClassVar, Literal, final

from camtool.metrics.box_protocol import BoxProtocol
from camtool.metrics.box_rules import OriginalFrame

__all__ = ["Ilsvrc"]


@final
class Ilsvrc(BoxProtocol):
    """ILSVRC: `>=`, any true box of the class, the original frame, a box for each guess."""

    paper: ClassVar[str] = "Russakovsky et al., IJCV 2015, arXiv:1409.0575"

    name: Literal["ilsvrc"] = "ilsvrc"

    @property
    def box_frame(self) -> OriginalFrame:
        """The frame of the annotation."""
        return OriginalFrame()
