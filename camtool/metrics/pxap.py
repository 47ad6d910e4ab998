"""PxAP: average precision of all pixels of all images, from score maps against true masks.

Choe et al., "Evaluating Weakly Supervised Object Localization Methods Right", CVPR 2020,
https://arxiv.org/abs/2001.07437. No threshold is chosen: every threshold is a point of the curve,
so nothing of the scored images enters the figure but the maps.
"""

from __future__ import annotations

import functools
import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Final, Literal, NamedTuple, final

import numpy as np
from pydantic import Field

from camtool.errors import EvaluationError, shorten
from camtool.metrics.baselines import GAUSSIAN, SIDES
from camtool.metrics.intervals import MOST_RESAMPLES, Rate
from camtool.metrics.outcome import Layout, Outcome, Trial
from camtool.metrics.pixels import (
    PixelCounts,
    PixelDraws,
    average_precision,
    combine_masks,
    pixel_histogram,
)
from camtool.metrics.protocol import Figures, Figuring, Material, ScoringProtocol, Tallies
from camtool.metrics.trials import Trials, stored_for
from camtool.metrics.wsol_frame import FRAME, boxes_to_frame, centred_gaussian
from camtool.parallel import cores_here

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from camtool.metrics.intervals import Bootstrap
    from camtool.metrics.protocol import MapSource, MaskNames
    from camtool.metrics.thresholds import Chosen, Sweep
    from camtool.structures import Annotation, Prediction

_AT_ONCE: Final = 64
"""Images whose histograms are in memory together, 1 MB."""


class Pixels(NamedTuple):
    """The pixels of an image that count, background and foreground.

    Attributes:
        by_score: by the score of its map, and by that of a centred Gaussian; a `pixel_histogram`
            each, int64 of shape (2, 2, BINS).
        by_box: those outside and those inside each centred box of `baselines.SIDES`, as of a map
            that is 1 in the box and 0 around it; int64 of shape (boxes, 2, 2).
    """

    by_score: NDArray[np.int64]
    by_box: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class PixelPair:
    """A map and a mask that are read when they are needed.

    Attributes:
        truth: the annotation.
        prediction: what names the map.
        label: the true class.
        maps: where the map is.
        names: the files of the mask; None where boxes are the mask.
        border: pixels of the frame around each box that do not count.
    """

    truth: Annotation
    prediction: Prediction
    label: str | int
    maps: MapSource
    names: MaskNames | None
    border: int

    def pixels(self) -> Pixels:
        """Read both and count the pixels by score.

        Raises:
            EvaluationError: the map cannot be scored.
            DataError: the mask cannot be read.
        """
        values = self.maps.load(self.prediction, self.label)
        if values is None:
            raise EvaluationError(f"{shorten(self.truth.image_id)}: its map is gone")
        mask = self._mask()
        both = (values, _gaussian())
        by_score = [pixel_histogram(v, mask) for v in both]
        return Pixels(np.stack(by_score), _by_centred_box(mask))

    def _mask(self) -> NDArray[np.uint8]:
        size = self.truth.size or self.prediction.size
        if self.names is None:
            return _boxes_as_mask(self.truth, self.label, size, self.border)
        if self.maps.masks is None:
            raise ValueError("masks in files without a folder of masks")
        return self.maps.masks.read(self.names, size)


@dataclass(frozen=True, slots=True)
class PixelPairs:
    """One image: for each true class map and mask; None where no map is stored."""

    pairs: tuple[PixelPair | None, ...]

    def pixels(self) -> Pixels:
        """Return the pixels of the image, all its true classes together; see `PixelPair`."""
        every = [pair.pixels() for pair in self.pairs if pair]
        by_score, by_box = (np.sum(counts, axis=0) for counts in zip(*every, strict=True))
        return Pixels(by_score, by_box)


def _by_centred_box(mask: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Count the pixels outside and inside of centred boxes; see `Pixels`."""
    result = np.empty((len(SIDES), 2, 2), np.int64)
    for value in (0, 1):
        chosen = mask == value
        for k, side in enumerate(SIDES.values()):
            inside = slice(round(FRAME * (1 - side) / 2), round(FRAME * (1 + side) / 2))
            result[k, value, 1] = np.count_nonzero(chosen[inside, inside])
        result[:, value, 0] = np.count_nonzero(chosen) - result[:, value, 1]
    return result


@functools.cache
def _gaussian() -> NDArray[np.float32]:
    return centred_gaussian()


def _boxes_as_mask(
    truth: Annotation, label: str | int, size: tuple[int, int] | None, border: int
) -> NDArray[np.uint8]:
    """Return the boxes of a class as a mask, with a border that does not count."""
    inclusive = [box.to_inclusive() for box in truth.boxes(label)]
    foreground = np.zeros((FRAME, FRAME), np.bool_)
    around = np.zeros((FRAME, FRAME), np.bool_)
    for x0, y0, x1, y1 in boxes_to_frame(inclusive, size or (FRAME, FRAME)).tolist():
        foreground[y0 : y1 + 1, x0 : x1 + 1] = True
        low_x, low_y = max(x0 - border, 0), max(y0 - border, 0)
        around[low_y : y1 + 1 + border, low_x : x1 + 1 + border] = True
    return combine_masks([foreground], around)


@final
class PxAP(ScoringProtocol):
    """Area under the precision–recall curve of all pixels of all images, against true masks.

    An image by itself is neither right nor wrong, so the table of trials holds no hits: `judge`
    notes where map and mask of each image are, and `reduce` reads them, a few images at a time.

    Example:
        >>> PxAP(masks="boxes").needs_masks
        False
    """

    paper: ClassVar[str] = "Choe et al., CVPR 2020"
    needs_maps: ClassVar[bool] = True
    measure: ClassVar[str] = "average precision"
    unpaired: ClassVar[str | None] = (
        "PxAP is one curve of all pixels of all images: no image has an outcome of its own that "
        "could be paired; score each run by itself, or compare by maxboxacc-v2 or ilsvrc"
    )

    name: Literal["pxap"] = "pxap"
    masks: Literal["files", "boxes"] = "files"
    """`boxes` takes the true boxes for masks, where no masks are there: a rougher figure."""
    border: int = Field(default=0, ge=0, le=FRAME)
    """With `masks: boxes`: pixels of the 224×224 frame around each box that do not count."""

    @property
    def needs_boxes(self) -> bool:
        """Whether an image without true boxes cannot be scored."""
        return self.masks == "boxes"

    @property
    def needs_masks(self) -> bool:
        """Whether true masks are needed."""
        return not self.needs_boxes

    def layout(self, sweep: Sweep | None, chosen: Chosen | None = None) -> Layout:
        """Return a table without hits."""
        del sweep, chosen
        return Layout()

    def judge(self, truth: Annotation, prediction: Prediction, by: Material) -> Outcome:
        """Note where map and mask of each true class are; `reduce` reads them.

        Raises:
            EvaluationError: the image has masks by its name, but several classes; or boxes are the
                masks, and nobody gives the size of the image.
            DataError: a mask is missing.
        """
        if self.needs_boxes and (truth.size or prediction.size) is None:
            raise EvaluationError(
                f"{shorten(truth.image_id)}: neither annotation nor prediction gives the image's"
                " size, which the 224×224 frame needs"
            )
        # What of the prediction leads to the map, and nothing that would only be kept.
        small = replace(
            prediction,
            classes=tuple(replace(c, boxes=()) for c in prediction.classes if c.map is not None),
        )
        rows: list[Trial] = []
        pairs: list[PixelPair | None] = []
        for label in truth.labels:
            rows.append(Trial(boxed=bool(truth.boxes(label))))
            if self.needs_boxes and not rows[-1].boxed:
                continue
            names = None if self.needs_boxes else _names(truth, label, by.maps)
            if by.maps is None or not by.maps.has(prediction, label):
                pairs.append(None)
            else:
                pairs.append(PixelPair(truth, small, label, by.maps, names, self.border))
        return Outcome(rows, extra=PixelPairs(tuple(pairs)))

    def reduce(self, trials: Trials, by: Figuring) -> Figures:
        """Read maps and masks of all images, a few at a time, and return PxAP with its interval.

        Raises:
            EvaluationError: a map cannot be scored, or no image has a foreground pixel.
            DataError: a mask cannot be read, is no mask, or is of another size.
        """
        kept = trials.of_images(trials.counting)
        located = [pairs for pairs in kept.extra if isinstance(pairs, PixelPairs)]
        if not located:
            what = "box" if self.needs_boxes else "mask"
            return Figures({}, {"pxap": f"no scored image has a true {what}"})
        if lacking := sum(None in pairs.pairs for pairs in located):
            return Figures({}, {"pxap": stored_for("map", len(located) - lacking, len(located))})
        strata = by.bootstrap.strata(kept.truths)
        sums = _Sums.of(
            located, self.costly_resamples(by.bootstrap), by.bootstrap.seed, strata, by.track
        )
        if sums.bare == len(located):
            raise EvaluationError(
                f"no mask of the {sums.bare:,} images has a foreground pixel that counts: PxAP is"
                " not defined; foreground is what is not zero"
            )
        n = sum(len(pairs.pairs) for pairs in located)
        drawn, of_gaussian = sums.draws.values().T
        baselines = {GAUSSIAN: _rate(sums.gaussian.compute(), of_gaussian, n)}
        values, of_boxes = 100 * average_precision(sums.boxes), sums.box_draws.values().T
        for name, value, of_box in zip(SIDES, values.tolist(), of_boxes, strict=True):
            baselines[name] = _rate(value, of_box, n)
        warning = f"{sums.bare:,} of {len(located):,} images have no foreground that counts"
        return Figures(
            {"pxap": _rate(sums.maps.compute(), drawn, n)},
            {},
            curves={"precision_recall": sums.maps.curve()},
            baselines={name: {"pxap": rate} for name, rate in baselines.items()},
            warnings=(warning,) if sums.bare else (),
        )

    def tallies(self, trials: Trials, network_classes: int | None) -> Tallies:
        """Return none: an image by itself is neither right nor wrong."""
        del trials, network_classes
        return Tallies(absent={"pxap": self.unpaired or ""})

    def costly_resamples(self, bootstrap: Bootstrap) -> int:
        """Return how many resamples an interval rests on; each adds up all pixels anew."""
        return min(bootstrap.samples, MOST_RESAMPLES)

    def aspects(self, box_rule: str | None) -> dict[str, str]:
        """Return the convention by aspect, for the reader of a report."""
        del box_rule
        return {
            "hit": "pixel by pixel: precision and recall of the score against the mask",
            "pixels": (
                "all pixels of all images in one curve; scores in bins of 0.001, area as the sum of"
                " precision times gained recall"
            ),
            "true_boxes": self._truth(),
            "frame": (
                "224×224: maps resized (bicubic) and scaled to [0, 1], zeros where flat or NaN; "
                "masks by nearest neighbour, foreground above one half"
            ),
            "threshold": "none chosen: every threshold is a point of the curve, so no oracle",
            "resampling": (
                "images with all their pixels, drawn one group after the other with the "
                "distribution of drawing from all at once"
            ),
        }

    def _truth(self) -> str:
        if self.needs_boxes:
            border = f"{self.border} pixels around each do not count" if self.border else "no rim"
            return f"taken for masks (masks: boxes), scaled and truncated to the frame; {border}"
        return (
            "not used: masks of all instances joined, where they intersect too; the ignore region, "
            "less the foreground, does not count"
        )


def _names(truth: Annotation, label: str | int, maps: MapSource | None) -> MaskNames:
    """Find the mask files of a class."""
    if maps is None or maps.masks is None:
        raise EvaluationError(
            "PxAP scores maps against masks, and nobody says where they are: give --masks DIR "
            "(eval.masks)"
        )
    return maps.masks.find(truth, label)


@dataclass(frozen=True, slots=True)
class _Sums:
    """The pixels of all images, added up.

    Attributes:
        maps: by the score of the maps.
        gaussian: by that of a centred Gaussian.
        boxes: outside and inside of centred boxes, int64 of shape (boxes, 2, 2).
        draws: resamples of maps and Gaussian.
        box_draws: resamples of centred boxes.
        bare: number of images without foreground.
    """

    maps: PixelCounts
    gaussian: PixelCounts
    boxes: NDArray[np.int64]
    draws: PixelDraws
    box_draws: PixelDraws
    bare: int

    @classmethod
    def of(
        cls,
        located: Sequence[PixelPairs],
        resamples: int,
        seed: int,
        strata: Sequence[Hashable] | None,
        track: Callable[[Iterable[PixelPairs]], Iterable[PixelPairs]],
    ) -> _Sums:
        """Read all images."""
        drawn = len(located), resamples, seed, strata
        draws = PixelDraws(*drawn, maps=2)
        box_draws = PixelDraws(*drawn, maps=len(SIDES), bins=2)
        maps, gaussian = PixelCounts(), PixelCounts()
        boxes = np.zeros((len(SIDES), 2, 2), np.int64)
        bare = 0
        for by_score, by_box in _pixels(track(located)):
            maps.add(by_score[:, 0].sum(0))
            gaussian.add(by_score[:, 1].sum(0))
            boxes += by_box.sum(0)
            draws.add(by_score)
            box_draws.add(by_box)
            bare += int((by_score[:, 0, 1].sum(1) == 0).sum())
        return cls(maps, gaussian, boxes, draws, box_draws, bare)


def _pixels(
    located: Iterable[PixelPairs],
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield the pixels of a few images at a time, read on all cores; a `Pixels` of arrays."""
    source = iter(located)
    with ThreadPoolExecutor(cores_here()) as pool:
        while chunk := list(itertools.islice(source, _AT_ONCE)):
            by_score, by_box = zip(*pool.map(PixelPairs.pixels, chunk), strict=True)
            yield np.array(by_score), np.array(by_box)


def _rate(value: float, drawn: NDArray[np.float64], n: int) -> Rate:
    low, high = np.percentile(drawn, (2.5, 97.5))
    return Rate(value, (float(low), float(high)), n)
