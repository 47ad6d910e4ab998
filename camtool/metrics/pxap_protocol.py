"""PxAP as a setting: which pixels are scored, and how certain the figure is.

Choe et al., "Evaluating Weakly Supervised Object Localization Methods Right", CVPR 2020,
https://arxiv.org/abs/2001.07437. No threshold is chosen: every threshold is a point of the curve,
so nothing of the scored images enters the figure but the maps.
"""

from __future__ import annotations

import itertools
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal, final

import numpy as np
from pydantic import Field

from camtool.errors import EvaluationError, shorten
from camtool.metrics.baselines import SIDES
from camtool.metrics.confidence import Rate
from camtool.metrics.figures import Figures
from camtool.metrics.map_protocols import MOST_RESAMPLES
from camtool.metrics.marks import Marks
from camtool.metrics.oracle import GAUSSIAN
from camtool.metrics.pixel_draws import PixelDraws
from camtool.metrics.pixel_outcomes import PixelOutcome, PixelPair
from camtool.metrics.pxap import PixelCounts, average_precision
from camtool.metrics.resampling import ONE_STRATUM, Strata
from camtool.metrics.unit_frame import FRAME
from camtool.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from camtool.metrics.confidence import Bootstrap
    from camtool.metrics.sources import MapSource, MaskNames
    from camtool.structures import Annotation, Prediction

__all__ = ["PxAP"]

_AT_ONCE = 64
"""Images whose histograms are in memory together, 1 MB."""


@final
class PxAP(Settings):
    """Area under the precision–recall curve of all pixels of all images, against true masks."""

    paper: ClassVar[str] = "Choe et al., CVPR 2020"
    needs_maps: ClassVar[bool] = True
    measure: ClassVar[str] = "average precision"

    name: Literal["pxap"] = "pxap"
    masks: Literal["files", "boxes"] = "files"
    """`boxes` takes the true boxes for masks, where no masks are there: a rougher figure."""
    border: int = Field(default=0, ge=0, le=FRAME)
    """With `masks: boxes`: pixels of the 224×224 frame around each box that do not count."""

    @property
    def needs_boxes(self) -> bool:
        """Whether an image without true boxes cannot be scored."""
        return self.masks == "boxes"

    def judge(
        self, truth: Annotation, prediction: Prediction, maps: MapSource | None = None
    ) -> PixelOutcome:
        """Return where map and mask of each true class are; `figures` reads them.

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
        labels = [i for i in truth.labels if not self.needs_boxes or truth.boxes(i)]
        pairs: list[PixelPair | None] = []
        for label in labels:
            names = None if self.needs_boxes else _names(truth, label, maps)
            if maps is None or not maps.has(prediction, label):
                pairs.append(None)
            else:
                # What of the prediction leads to the map, and nothing that would only be kept.
                small = replace(
                    prediction,
                    classes=tuple(
                        replace(c, boxes=()) for c in prediction.classes if c.map is not None
                    ),
                )
                pairs.append(PixelPair(truth, small, label, maps, names, self.border))
        return PixelOutcome(tuple(pairs))

    def figures(
        self,
        classified: Sequence[PixelOutcome],
        located: Sequence[PixelOutcome],
        *,
        network_classes: int | None,
        bootstrap: Bootstrap,
        strata: Strata = ONE_STRATUM,
        track: Callable[[Iterable[PixelOutcome]], Iterable[PixelOutcome]] = iter,
    ) -> Figures:
        """Read maps and masks of all images, a few at a time, and return PxAP with its interval.

        Args:
            classified: not used.
            located: where map and mask of each image are.
            network_classes: not used.
            bootstrap: how the interval is drawn.
            strata: within which images the resamples are drawn.
            track: passes the images on and shows how far they are.

        Raises:
            EvaluationError: a map cannot be scored, or no image has a foreground pixel.
            DataError: a mask cannot be read, is no mask, or is of another size.
        """
        del classified, network_classes
        if not located:
            what = "box" if self.needs_boxes else "mask"
            return Figures({}, {"pxap": f"no scored image has a true {what}"})
        if reason := _lacking(located):
            return Figures({}, {"pxap": reason})
        drawn = len(located), self.resamples(bootstrap), bootstrap.seed, strata.located
        draws = PixelDraws(*drawn, maps=2)
        draws_of_boxes = PixelDraws(*drawn, maps=len(SIDES), bins=2)
        counts, gaussian = PixelCounts(), PixelCounts()
        boxes = np.zeros((len(SIDES), 2, 2), np.int64)
        bare = 0
        for by_score, by_box in _pixels(track(located)):
            counts.add(by_score[:, 0].sum(0))
            gaussian.add(by_score[:, 1].sum(0))
            boxes += by_box.sum(0)
            draws.add(by_score)
            draws_of_boxes.add(by_box)
            bare += int((by_score[:, 0, 1].sum(1) == 0).sum())
        if bare == len(located):
            raise EvaluationError(
                f"no mask of the {bare:,} images has a foreground pixel that counts: PxAP is not"
                " defined; foreground is what is not zero"
            )
        pairs = sum(len(outcome.pairs) for outcome in located)
        ours, theirs = draws.values().T
        floor = {GAUSSIAN: _rate(gaussian.compute(), theirs, pairs)}
        values, of_resamples = 100 * average_precision(boxes), draws_of_boxes.values().T
        for name, value, of_box in zip(SIDES, values.tolist(), of_resamples, strict=True):
            floor[name] = _rate(value, of_box, pairs)
        lacking = f"{bare:,} of {len(located):,} images have no foreground that counts"
        return Figures(
            {"pxap": _rate(counts.compute(), ours, pairs)},
            {},
            curves={"precision_recall": counts.curve()},
            map_baselines={name: {"pxap": rate} for name, rate in floor.items()},
            warnings=(lacking,) if bare else (),
        )

    def marks(
        self,
        classified: Sequence[PixelOutcome],
        located: Sequence[PixelOutcome],
        *,
        network_classes: int | None,
    ) -> Marks:
        """Return no marks: an image by itself is neither right nor wrong."""
        del classified, located, network_classes
        return Marks(absent={"pxap": self.unpaired})

    unpaired: ClassVar[str] = (
        "PxAP is one curve of all pixels of all images: no image has an outcome of its own that "
        "could be paired; score each run by itself, or compare by maxboxacc-v2 or ilsvrc"
    )
    """Why runs cannot be compared image by image."""

    def paired_threshold(self) -> str | None:
        """Return None: there is no threshold."""
        return None

    def resamples(self, bootstrap: Bootstrap) -> int:
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


def _lacking(located: Sequence[PixelOutcome]) -> str | None:
    """Return why there is no figure; None where every image has the maps that it needs."""
    lacking = sum(None in outcome.pairs for outcome in located)
    if not lacking:
        return None
    return (
        f"the true class's map is stored for {len(located) - lacking:,} of"
        f" {len(located):,} images; `camtool localize --labels` stores it for all"
    )


def _pixels(
    located: Iterable[PixelOutcome],
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield the pixels of a few images at a time, read on all cores; a `Pixels` of arrays."""
    source = iter(located)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        while chunk := list(itertools.islice(source, _AT_ONCE)):
            by_score, by_box = zip(*pool.map(PixelOutcome.pixels, chunk), strict=True)
            yield np.array(by_score), np.array(by_box)


def _rate(value: float, drawn: NDArray[np.float64], n: int) -> Rate:
    low, high = np.percentile(drawn, (2.5, 97.5))
    return Rate(value, (float(low), float(high)), n)
