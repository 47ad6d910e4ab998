"""The section `train` of an experiment."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, final

from pydantic import Field

from camtool.settings import Settings
from camtool.training.augment import Augmentation, RandomResizedCrop
from camtool.training.losses import CrossEntropy, Loss
from camtool.training.methods import Method, Plain
from camtool.training.optimizer import Cosine, OptimizerSettings, Schedule, Sgd

BestRule = Literal["top1", "loss", "top1_localization", "gt_known", "last"]


@final
class TrainSettings(Settings):
    """How a network is trained. Images fit the input as `localize.preprocess` sizes it."""

    start: Literal["weights", "probe"] = "weights"
    """Where training begins: with a new last layer on the weights, or with one that is fitted on
    the network's features as they are (seconds to minutes), which is validated as epoch 0."""

    epochs: Annotated[int, Field(ge=0, le=100_000)] = 10
    """Passes over the training set; 0, with `start: probe`: the network stays as it is."""

    batch_size: Annotated[int, Field(ge=1, le=1_000_000)] = 32
    """Images a step of the optimizer, over all processes: their number changes no step."""

    accumulate: Annotated[int, Field(ge=1, le=4096)] = 1
    """Parts that a process takes its share of a batch in, to save memory."""

    method: Method = Plain()
    """What is done so that the network looks at whole objects."""

    loss: Loss = CrossEntropy()
    """What is made small."""

    augment: Augmentation = RandomResizedCrop()
    """How training images are varied."""

    optimizer: OptimizerSettings = Sgd()
    """What makes steps of gradients."""

    rates: dict[str, Annotated[float, Field(ge=0, le=1000)]] = Field(default_factory=dict)
    """Factors on the learning rates of parts of the network, by their names in its own code
    (`blocks.3`, `layer1`, `head`); the longest name that fits counts. A part of factor 0 stays as
    it is, and costs no backward pass where nothing before it is trained."""

    schedule: Schedule = Cosine()
    """How the learning rate goes over the run."""

    clip: Annotated[float, Field(gt=0)] | None = None
    """Largest norm of a step's gradient; longer ones are scaled down."""

    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Decay of a moving average of the weights; validated and stored in place of the weights."""

    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Number format of forward and backward pass; the weights stay float32."""

    channels_last: bool = True
    """Keep images and features with the channels last, as fast convolutions want them."""

    compile: bool = False
    """Compile the network by torch.compile: slow to begin with, faster then."""

    deterministic: bool = False
    """Use only kernels whose results repeat bit for bit on a GPU; a CPU repeats them anyway."""

    batch_norm: Literal["batch", "synchronized", "stored"] = "batch"
    """Whose mean and variance batch norms use: those of the process's own batch, of all processes'
    batches (GPU only), or those that came with the weights, which stay as they are. Pictures unlike
    those of the pretraining (enlarged, dimmed) and small batches ask for the last."""

    validate_every: Annotated[int, Field(ge=1)] = 1
    """Epochs between validations; the last epoch is always validated."""

    checkpoint_steps: Annotated[int, Field(ge=1)] | None = None
    """Steps between checkpoints within an epoch; every epoch ends with one anyway."""

    best: BestRule = "top1"
    """What the best checkpoint is best in, on the validation set: top-1 accuracy, loss, or (these
    use boxes) top-1 or GT-known localization; `last`: the last one."""

    tensorboard: bool = False
    """Write event files for TensorBoard beside `history.jsonl`."""

    USES_BOXES: ClassVar[tuple[str, ...]] = ("top1_localization", "gt_known")
    """Rules of `best` that look at boxes."""

    FREE: ClassVar[tuple[str, ...]] = ("checkpoint_steps", "tensorboard")
    """Settings that may change when a run goes on: no result depends on them."""
