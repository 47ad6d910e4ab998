"""What a protocol is: it judges images one by one, and reduces the table of all to figures.

A protocol says in which frame boxes are compared, which criteria hold, and where the boxes of each
column come from. Where maps, masks and boxes lie is the matter of `camtool.evaluation`; here stands
what a protocol asks of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

from camtool.metrics.box_frames import BoxComparison
from camtool.metrics.diagnosis import DiagnosisSettings
from camtool.metrics.outcome import Criterion, Layout, Outcome
from camtool.metrics.trials import Trials
from camtool.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from camtool.metrics.curves import Curve
    from camtool.metrics.intervals import Bootstrap, Rate, Tally
    from camtool.metrics.thresholds import Chosen, Sweep, ThresholdChoice
    from camtool.structures import Annotation, ClassPrediction, Prediction, ScoreMap

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class MaskNames:
    """The files of one image's true masks.

    Attributes:
        instances: a file an instance.
        ignored: the file of what does not count; None for nothing.
    """

    instances: tuple[str, ...]
    ignored: str | None = None


class MaskSource(Protocol):
    """Where the true masks of images are."""

    def find(self, truth: Annotation, label: str | int) -> MaskNames:
        """Return the names of the masks of a class; they are not opened yet.

        Raises:
            EvaluationError: which masks are meant cannot be told.
            DataError: one is missing, or its name leads out of the folder; names it.
        """

    def read(self, names: MaskNames, size: tuple[int, int] | None) -> NDArray[np.uint8]:
        """Return 1 foreground, 255 ignored, 0 background, uint8 of shape (224, 224).

        Args:
            names: what `find` returned.
            size: (width, height) of the image; None where it is unknown.

        Raises:
            DataError: a file cannot be read, is no mask, or is of another size; names it.
        """


class MapSource(Protocol):
    """Where the maps of predictions are."""

    of_true_class: bool
    """Its maps are those of the true class, whatever this is."""
    masks: MaskSource | None
    """Where the true masks are; None where nobody said."""

    def has(self, prediction: Prediction, label: str | int) -> bool:
        """Tell whether there is a map of a class, without reading it."""

    def load(self, prediction: Prediction, label: str | int) -> NDArray[np.float32] | None:
        """Return the score map of a class, (224, 224) in [0, 1]; None where there is none.

        Raises:
            EvaluationError: the map cannot be scored; names the file.
            RunError: the map cannot be read.
        """

    def stored(self, prediction: Prediction, label: str | int) -> ScoreMap | None:
        """Return the low-resolution map of a class as it is stored; None where there is none.

        Raises:
            RunError: the map cannot be read.
        """


class SweptBoxes(Protocol):
    """Where the boxes of maps at all thresholds come from."""

    def boxes(
        self, prediction: Prediction, label: str | int, name: str
    ) -> tuple[NDArray[np.float64], tuple[int, int]] | None:
        """Return the box of a class in each column but `run`; None where its map is not stored.

        Args:
            prediction: the image.
            label: the class, as the annotation writes it.
            name: the class, as the network names it.

        Returns:
            x0, y0, x1, y1, float64 of shape (columns - 1, 4), zeros for no box; and the (width,
            height) of the frame that they are in.
        """


@dataclass(frozen=True, slots=True)
class Material:
    """What images are judged by, beside annotation and prediction.

    Attributes:
        layout: criteria and columns of the table.
        maps: where the maps are; None where there are none.
        swept: where the boxes of maps at all thresholds come from; None where not asked.
        diagnosis: whether kinds of errors are told, and their thresholds.
        chosen: a threshold that was chosen on other images.
    """

    layout: Layout
    maps: MapSource | None = None
    swept: SweptBoxes | None = None
    diagnosis: DiagnosisSettings = field(default_factory=DiagnosisSettings)
    chosen: Chosen | None = None


def _untracked(items: Iterable[T]) -> Iterable[T]:
    return items


@dataclass(frozen=True, slots=True)
class Figuring:
    """What figures are made by, beside the table.

    Attributes:
        bootstrap: how intervals are drawn.
        network_classes: number of classes of the network; None where it is unknown.
        sweep: thresholds at which maps were judged beside the stored boxes; None where not.
        run_threshold: the threshold that the stored boxes were made with.
        chosen: a threshold that was chosen on other images.
        track: passes images on and shows how far they are, where files are read.
    """

    bootstrap: Bootstrap
    network_classes: int | None = None
    sweep: Sweep | None = None
    run_threshold: float | str = "unknown"
    chosen: Chosen | None = None
    track: Callable[[Iterable[Any]], Iterable[Any]] = _untracked


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of a set of images.

    Attributes:
        metrics: rates by name.
        absent: why the other figures cannot be given, by name.
        thresholds: for figures with a threshold, what it was and what another would give.
        curves: what plots show of the figures, by name.
        baselines: the same figures of boxes and maps that need no network, where the protocol has
            its own; by baseline, then by metric.
        warnings: what a reader should look at, a sentence each.
    """

    metrics: dict[str, Rate]
    absent: dict[str, str]
    thresholds: dict[str, ThresholdChoice] = field(default_factory=dict)
    curves: dict[str, Curve] = field(default_factory=dict)
    baselines: dict[str, dict[str, Rate]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Tallies:
    """What each image adds to each figure that is a share: the form in which two runs compare.

    Attributes:
        classification: by metric, over all images.
        localization: by metric, over those that count for localization.
        absent: why the other metrics of the protocol cannot be given, by name.
    """

    classification: dict[str, Tally] = field(default_factory=dict)
    localization: dict[str, Tally] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)


class ScoringProtocol(Settings, ABC):
    """A published way to score localization, as a setting."""

    paper: ClassVar[str]
    measure: ClassVar[str] = "error"
    """What the metrics are: `error`, `accuracy`, `average precision`."""
    needs_maps: ClassVar[bool] = False
    """It judges maps, not the boxes that are stored."""
    threshold_metric: ClassVar[str | None] = None
    """What a threshold is chosen by on other images; None where it has no threshold."""
    unpaired: ClassVar[str | None] = None
    """Why runs cannot be compared image by image; None where they can."""

    @property
    def paired_threshold(self) -> str | None:
        """The threshold at which runs are compared; None: boxes as each run stored them."""
        return None

    @property
    def needs_boxes(self) -> bool:
        """Whether an image without true boxes cannot be scored."""
        return True

    @property
    def needs_masks(self) -> bool:
        """Whether true masks are needed."""
        return False

    @property
    def known(self) -> Criterion:
        """When the box of the true class is right (GT-known)."""
        return Criterion(0.5)

    @property
    def comparison(self) -> BoxComparison:
        """How boxes are compared."""
        return BoxComparison()

    @abstractmethod
    def layout(self, sweep: Sweep | None, chosen: Chosen | None = None) -> Layout:
        """Return what is judged of each image and class.

        Args:
            sweep: thresholds at which stored maps are judged beside the boxes; None for not.
            chosen: a threshold that was chosen on other images.
        """

    @abstractmethod
    def judge(self, truth: Annotation, prediction: Prediction, by: Material) -> Outcome:
        """Return how a prediction fares; its boxes must be in the frame of `truth`.

        Raises:
            EvaluationError: the frame needs the size of the image, and nobody gives it; or a map
                cannot be scored.
        """

    @abstractmethod
    def reduce(self, trials: Trials, by: Figuring) -> Figures:
        """Return all figures that the trials allow, and why the others are absent."""

    @abstractmethod
    def tallies(self, trials: Trials, network_classes: int | None) -> Tallies:
        """Return what each image adds to each figure; see `Tallies`."""

    @abstractmethod
    def aspects(self, box_rule: str | None) -> dict[str, str]:
        """Return the convention by aspect, for the reader of a report."""

    def choose(self, trials: Trials) -> tuple[float, dict[int, float], float]:
        """Return the threshold that suits the trials best, by `threshold_metric`.

        Returns:
            The threshold; where each intersection over union has its own, these by percent; the
            accuracy in percent that the first reaches.

        Raises:
            ValueError: the protocol has no threshold.
        """
        raise ValueError(f"no threshold to choose on {len(trials)} trials")

    def costly_resamples(self, bootstrap: Bootstrap) -> int:
        """Return how many resamples an interval rests on."""
        return bootstrap.samples


def matches(label: str | int, guess: ClassPrediction) -> bool:
    """Return whether `guess` is of the annotated class `label`.

    A name is the name or the title of the guess, exactly. A number is the name of a guess that is
    named by a number, and otherwise its class index.
    """
    if isinstance(label, str):
        return label in (guess.name, guess.title)
    name = guess.name
    if name.isascii() and name.isdecimal() and len(name) < 10:
        return label == int(name)
    return label == guess.index


def carried(guesses: Sequence[ClassPrediction]) -> tuple[int, int]:
    """Return how many best classes are stored without a gap, and how many of them are guesses."""
    by_rank = {guess.rank: guess for guess in guesses}
    ranks = 0
    while ranks + 1 in by_rank:
        ranks += 1
    # The true class, stored in any case, may happen to rank right behind the k guesses.
    return ranks, ranks - 1 if ranks > 1 and by_rank[ranks].target else ranks
