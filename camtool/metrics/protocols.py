"""Every protocol that `camtool eval` scores by: those on boxes, and the union of all."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, final

from pydantic import BeforeValidator, Field

from camtool.metrics.box_frames import CropFrame, TopN, TrueBoxes
from camtool.metrics.box_protocol import BoxProtocol
from camtool.metrics.map_protocols import MaxBoxAcc, MaxBoxAccV2
from camtool.metrics.protocol import ScoringProtocol
from camtool.metrics.pxap import PxAP
from camtool.settings import members


@final
class Ilsvrc(BoxProtocol):
    """The official ILSVRC errors: `>=`, any true box of the class, a box for each guess.

    Figures follow the evaluation program of the ILSVRC 2014 development kit. A guess (class and
    box) is right when its class is a class of the image and its box has an intersection over union
    of at least one half with any true box of that class. An image is right at N when any of its
    first N guesses is right. See Russakovsky et al., "ImageNet Large Scale Visual Recognition
    Challenge", IJCV 2015, https://arxiv.org/abs/1409.0575, section 4.

    Example:
        >>> Ilsvrc().hit_rule
        'class right and IoU >= 0.5 with any true box of the class'
    """

    paper: ClassVar[str] = "Russakovsky et al., IJCV 2015, arXiv:1409.0575"

    name: Literal["ilsvrc"] = "ilsvrc"


@final
class TsCam(BoxProtocol):
    """TS-CAM: top-N with `>`, GT-known with `>=`, any true box, a box for each guess.

    Gao et al., "TS-CAM: Token Semantic Coupled Attention Map for Weakly Supervised Object
    Localization", ICCV 2021, https://arxiv.org/abs/2103.14862. Boxes are compared in the network's
    frame: its validation images are squashed to 224×224 whole, since the loader's crop has the side
    of the resized image. Read in the evaluation program that the authors published.

    Example:
        >>> TsCam().hit_rule
        'class right and IoU > 0.5 with any true box of the class; GT-known: IoU >= 0.5'
    """

    paper: ClassVar[str] = "Gao et al., ICCV 2021, arXiv:2103.14862"
    guess_above: ClassVar[bool] = True

    name: Literal["ts-cam"] = "ts-cam"
    frame: CropFrame = CropFrame(resize=224, crop=224)
    """How images are resized and cropped."""

    @property
    def box_frame(self) -> CropFrame:
        """The frame of the network."""
        return self.frame


@final
class AdlFirstBox(BoxProtocol):
    """ADL and followers: `>=`, only the first true box, the true class's box for any N.

    Choe and Shim, "Attention-based Dropout Layer for Weakly Supervised Object Localization", CVPR
    2019, https://arxiv.org/abs/1908.10028. Boxes are compared in the network's frame: validation
    images are squashed to 256×256, and the centred 224×224 is cut out; the list of true boxes holds
    one an image. Read in the evaluation program that the authors published.

    Example:
        >>> AdlFirstBox().true_boxes.value
        'only the first true box of the class, in the order of the annotation'
    """

    paper: ClassVar[str] = "Choe and Shim, CVPR 2019, arXiv:1908.10028"
    true_boxes: ClassVar[TrueBoxes] = TrueBoxes.FIRST
    top_n: ClassVar[TopN] = TopN.TRUE_CLASS_BOX

    name: Literal["adl-first-box"] = "adl-first-box"
    frame: CropFrame = CropFrame(resize=256, crop=224)
    """How images are resized and cropped."""

    @property
    def box_frame(self) -> CropFrame:
        """The frame of the network."""
        return self.frame


def _name_to_settings(value: Any) -> Any:  # noqa: ANN401 - pydantic hands over what the user wrote
    return {"name": value} if isinstance(value, str) else value


Protocol = Annotated[
    Ilsvrc | TsCam | AdlFirstBox | MaxBoxAcc | MaxBoxAccV2 | PxAP,
    Field(discriminator="name"),
    BeforeValidator(_name_to_settings),
]
"""How predictions are scored; the bare name stands for the protocol with its defaults."""

PROTOCOLS = members(Protocol, ScoringProtocol)
"""The members of `Protocol`, for the tables that are derived from the code."""
