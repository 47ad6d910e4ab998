"""The conventions of TS-CAM and of ADL and its followers, which score boxes in the network's frame.

Both count errors under the same names as ILSVRC, and differ in what is a hit, which true boxes
count and where boxes are compared. Read in the evaluation programs that the authors published.
"""

from __future__ import annotations

from abc import ABC
from typing import ClassVar, Literal, final

from camtool.metrics.box_protocol import BoxProtocol
from camtool.metrics.box_rules import CropFrame, Hit, TopN, TrueBoxes

__all__ = ["AdlFirstBox", "TsCam"]


class _CropProtocol(BoxProtocol, ABC):
    """What both share: boxes are compared in the network's frame."""

    frame: CropFrame
    """How images are resized and cropped."""

    @property
    def box_frame(self) -> CropFrame:
        """The frame of the network."""
        return self.frame


@final
class TsCam(_CropProtocol):
    """TS-CAM: top-N with `>`, GT-known with `>=`, any true box, a box for each guess.

    Gao et al., "TS-CAM: Token Semantic Coupled Attention Map for Weakly Supervised Object
    Localization", ICCV 2021, https://arxiv.org/abs/2103.14862. Its validation images are squashed
    to 224×224 whole: the loader's crop has the side of the resized image.
    """

    paper: ClassVar[str] = "Gao et al., ICCV 2021, arXiv:2103.14862"
    guess_hit: ClassVar[Hit] = Hit.ABOVE
    known_hit: ClassVar[Hit] = Hit.AT_LEAST
    true_boxes: ClassVar[TrueBoxes] = TrueBoxes.ANY
    top_n: ClassVar[TopN] = TopN.OWN_BOX

    name: Literal["ts-cam"] = "ts-cam"
    frame: CropFrame = CropFrame(resize=224, crop=224)


@final
class AdlFirstBox(_CropProtocol):
    """ADL and followers: `>=`, only the first true box, the true class's box for any N.

    Choe and Shim, "Attention-based Dropout Layer for Weakly Supervised Object Localization", CVPR
    2019, https://arxiv.org/abs/1908.10028. Its validation images are squashed to 256×256, and the
    centred 224×224 is cut out; its list holds one box an image.
    """

    paper: ClassVar[str] = "Choe and Shim, CVPR 2019, arXiv:1908.10028"
    guess_hit: ClassVar[Hit] = Hit.AT_LEAST
    known_hit: ClassVar[Hit] = Hit.AT_LEAST
    true_boxes: ClassVar[TrueBoxes] = TrueBoxes.FIRST
    top_n: ClassVar[TopN] = TopN.TRUE_CLASS_BOX

    name: Literal["adl-first-box"] = "adl-first-box"
    frame: CropFrame = CropFrame(resize=256, crop=224)
