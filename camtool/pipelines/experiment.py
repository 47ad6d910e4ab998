"""One experiment, one YAML: the sections of a settings file, each with its defaults."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, final

from pydantic import Field

from camtool.boxes import BoxRule, PaperBoxes
from camtool.cam import Cam, CamMethod
from camtool.images import ImageSettings, One, Preprocess, Squeeze, Views
from camtool.models import ModelSettings
from camtool.pipelines.class_choice import ClassChoice, TopK
from camtool.pipelines.evaluate import EvalSettings
from camtool.report.overlay import OverlaySettings
from camtool.settings import Settings
from camtool.training.data import Data
from camtool.training.settings import TrainSettings


@final
class RunSettings(Settings):
    """Where a run is written, and how it runs here; no result depends on it but `seed`."""

    dir: Path = Path("runs/localize")
    """The run folder; `--out`."""

    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of everything random, such as `model.weights: none`."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the network runs; `--device`."""

    workers: Annotated[int, Field(ge=0, le=256)] = 2
    """Threads (of `localize`) or processes (of `train`, for each of its own) that read and decode
    images; 0: none beside the program's own."""

    batch_size: Annotated[int, Field(ge=1, le=4096)] = 32
    """Images per batch on a GPU. A CPU sees images one by one, on all cores: that is faster there,
    and a result then depends on its image alone."""


@final
class LocalizeSettings(Settings):
    """From images to maps and boxes.

    Example:
        >>> from camtool import PaperBoxes
        >>> settings = LocalizeSettings(classes=TopK(k=1), boxes=PaperBoxes(threshold=0.3))
        >>> settings.classes.k, settings.cam.name
        (1, 'cam')
    """

    images: ImageSettings = ImageSettings()
    """How image files are read."""

    preprocess: Preprocess = Squeeze()
    """How a picture is fitted into the network's input."""

    views: Views = One()
    """How often the network sees a picture: once, at several scales and mirrored, in ten crops."""

    classes: ClassChoice = TopK()
    """Which classes get a map."""

    cam: CamMethod = Cam()
    """How a map is made."""

    boxes: BoxRule = PaperBoxes()
    """How a map becomes boxes."""

    overlays: OverlaySettings = OverlaySettings()
    """The pictures to look at."""


@final
class Experiment(Settings):
    """Everything that can be set: the sections of a settings file.

    Example:
        >>> experiment = Experiment(run=RunSettings(dir=Path("runs/mine"), seed=1))
        >>> experiment.run.seed, experiment.localize.boxes.name, experiment.train.epochs
        (1, 'paper', 10)
        >>> from camtool import load_settings
        >>> _ = Path("mine.yaml").write_text("train: {epochs: 3}")
        >>> load_settings(Experiment, Path("mine.yaml"), ["train.batch_size=8"]).train.epochs
        3
    """

    run: RunSettings = RunSettings()
    """Folder, seed and device."""

    model: ModelSettings = ModelSettings()
    """The network."""

    data: Data | None = None
    """What `camtool train` trains and validates on."""

    train: TrainSettings = TrainSettings()
    """`camtool train`."""

    localize: LocalizeSettings = LocalizeSettings()
    """`camtool localize`."""

    eval: EvalSettings = EvalSettings()
    """`camtool eval`."""

    RESULTS: ClassVar[tuple[str, ...]] = ("model", "localize")
    """Sections that shape what `localize` writes: a run folder belongs to one value of them."""

    def identity(self) -> dict[str, Any]:
        """Return the settings that shape a run's results, as JSON data."""
        whole = self.model_dump(mode="json")
        return {**{k: whole[k] for k in self.RESULTS}, "run": {"seed": self.run.seed}}
