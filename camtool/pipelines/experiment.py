"""One experiment, one YAML: the sections of a settings file, each with its defaults."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, final

import numpy as np
from pydantic import Field

from camtool.boxes import BoxRule, PaperBoxes
from camtool.cam import Cam, CamMethod, ForegroundCam
from camtool.errors import SettingsError, shorten
from camtool.evaluation.settings import EvalSettings
from camtool.images import ImageSettings, One, Preprocess, Squeeze, Views
from camtool.models import ModelSettings
from camtool.reports.overlay import OverlaySettings
from camtool.settings import FilePath, Settings
from camtool.training.data import Data
from camtool.training.settings import TrainSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from camtool.annotations import NetworkClasses


class BaseClassChoice(Settings, ABC):
    """Base of the choices of classes."""

    summary: ClassVar[str]

    def check(self, names: NetworkClasses, *, labelled: bool) -> None:
        """Refuse what does not fit the network's classes or the images, before any work is done.

        Args:
            names: the network's classes.
            labelled: something says which classes of the images are true.

        Raises:
            SettingsError: it does not fit.
        """

    @abstractmethod
    def choose(
        self,
        order: NDArray[np.int64],
        scores: NDArray[np.float32],
        targets: Sequence[int],
        names: NetworkClasses,
    ) -> list[int]:
        """Return the class indices of one image, most probable first.

        Args:
            order: all class indices, most probable first.
            scores: the probability of each class, by its index.
            targets: indices of the true classes.
            names: the network's classes.
        """


@final
class TopK(BaseClassChoice):
    """The k most probable classes, and the true ones (`--labels`) that are not among them."""

    summary: ClassVar[str] = "the k most probable classes, and the true ones of --labels"

    name: Literal["top-k"] = "top-k"

    k: Annotated[int, Field(ge=1, le=100)] = 5
    """Number of classes; the protocols need 5."""

    min_score: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Classes of a smaller probability are left out: an image may then have none."""

    def choose(
        self,
        order: NDArray[np.int64],
        scores: NDArray[np.float32],
        targets: Sequence[int],
        names: NetworkClasses,
    ) -> list[int]:
        """Return the most probable classes, then the true ones that are not among them."""
        del names
        best = [int(i) for i in order[: self.k] if scores[i] >= self.min_score]
        return best + [t for t in targets if t not in best]


@final
class Above(BaseClassChoice):
    """The classes above a probability, and the true ones (`--labels`) that are not among them.

    For networks of several classes an image (`model.scores: sigmoid`): an image may have none.
    """

    summary: ClassVar[str] = "the classes above a probability, and the true ones of --labels"

    name: Literal["above"] = "above"

    probability: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Classes of at least this probability; see `model.scores`."""

    most: Annotated[int, Field(ge=1, le=1000)] = 100
    """Of more classes, only the most probable."""

    def choose(
        self,
        order: NDArray[np.int64],
        scores: NDArray[np.float32],
        targets: Sequence[int],
        names: NetworkClasses,
    ) -> list[int]:
        """Return the classes above the probability, then the true ones not among them."""
        del names
        best = [int(i) for i in order[: self.most] if scores[i] >= self.probability]
        return best + [t for t in targets if t not in best]


@final
class Labels(BaseClassChoice):
    """The true classes only, from `--labels`: for GT-known localization."""

    summary: ClassVar[str] = "only the true classes of --labels"

    name: Literal["labels"] = "labels"

    def check(self, names: NetworkClasses, *, labelled: bool) -> None:
        """Refuse images without labels, before any work is done.

        Raises:
            SettingsError: nothing says which classes are true.
        """
        del names
        if not labelled:
            raise SettingsError(
                "localize.classes: 'labels' needs the true classes of the images: give --labels,"
                " or a list of images and classes"
            )

    def choose(
        self,
        order: NDArray[np.int64],
        scores: NDArray[np.float32],
        targets: Sequence[int],
        names: NetworkClasses,
    ) -> list[int]:
        """Return the true classes, most probable first."""
        del scores, names
        return [int(i) for i in order if i in targets]


@final
class Listed(BaseClassChoice):
    """Classes given by name, the same for every image; true classes are added."""

    summary: ClassVar[str] = "the classes given by name or wnid, in every image"

    name: Literal["list"] = "list"

    classes: Annotated[tuple[str, ...], Field(min_length=1, max_length=1000)]
    """Wnids, names or indices of classes."""

    def check(self, names: NetworkClasses, *, labelled: bool) -> None:
        """Refuse classes that the network does not have, before any work is done.

        Raises:
            SettingsError: names the class, and the nearest one.
        """
        del labelled
        for name in self.classes:
            self._index(name, names)

    def choose(
        self,
        order: NDArray[np.int64],
        scores: NDArray[np.float32],
        targets: Sequence[int],
        names: NetworkClasses,
    ) -> list[int]:
        """Return the listed classes, most probable first."""
        del scores
        wanted = {self._index(c, names) for c in self.classes} | set(targets)
        return [int(i) for i in order if i in wanted]

    def _index(self, name: str, names: NetworkClasses) -> int:
        # So long a number is no index; Python refuses to read one of thousands of digits.
        is_index = name.isascii() and name.isdigit() and len(name) < 10
        index = names.index(int(name) if is_index else name)
        if index is None:
            raise SettingsError(
                f"localize.classes.classes: the network has no class '{shorten(name)}'"
                f"{names.hint(name)}"
            )
        return index


ClassChoice = Annotated[TopK | Above | Labels | Listed, Field(discriminator="name")]
"""Every way to choose classes."""


@final
class RunSettings(Settings):
    """Where a run is written, and how it runs here; no result depends on it but `seed`."""

    dir: FilePath = Path("runs/localize")
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
    """How a map is made. Where it is not set: `foreground` for the bundled network, whose head
    comes with camtool, and `cam` for every other."""

    boxes: BoxRule = PaperBoxes()
    """How a map becomes boxes. Where it is not set, the threshold goes by the map: 0.5 for
    `foreground`, 0.2 for all others."""

    overlays: OverlaySettings = OverlaySettings()
    """The pictures to look at."""

    crops: bool = False
    """Write what is in the boxes of the most probable class, at full resolution, to `crops/`."""

    heatmaps: Literal["none", "png", "npy"] = "none"
    """Write the map of the most probable class at the size of the picture to `heatmaps/`: as a gray
    picture, or as float32 shares of its maximum."""

    def filled(self, *, bundled: bool) -> LocalizeSettings:
        """Return the settings with the map that is best known, and the threshold that fits it.

        What is set stays.

        Example:
            >>> LocalizeSettings().filled(bundled=True).cam.name
            'foreground'
            >>> LocalizeSettings(cam=Cam()).filled(bundled=True).boxes.threshold
            0.2

        Args:
            bundled: whether the features are those of the bundled network as it comes.
        """
        changed: dict[str, object] = {}
        if bundled and "cam" not in self.model_fields_set:
            changed["cam"] = ForegroundCam()
        cam = changed.get("cam", self.cam)
        if isinstance(cam, ForegroundCam) and "boxes" not in self.model_fields_set:
            changed["boxes"] = PaperBoxes(threshold=ForegroundCam.THRESHOLD)
        return self.model_copy(update=changed)


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
