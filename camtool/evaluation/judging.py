"""Every prediction against the annotation of its image, one after the other in one pass.

What is kept of an image is small: the predictions never are in memory as a whole.
"""

from __future__ import annotations

import functools
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from camtool.errors import shorten
from camtool.evaluation.frames import Frame, compare_frames, frame_warnings, to_frame
from camtool.evaluation.truths import KnownClasses, countable, named_by_target
from camtool.metrics.findings import findings

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from camtool.evaluation.result import EvalSettings
    from camtool.evaluation.sweeping import Sweeper
    from camtool.metrics.figures import ImageOutcome
    from camtool.metrics.map_outcome import MapOutcome
    from camtool.metrics.pixel_outcomes import PixelOutcome
    from camtool.metrics.sources import MapSource
    from camtool.metrics.threshold_sweep import SweptClass
    from camtool.structures import Annotation, Prediction

__all__ = ["UNREADABLE", "Judge", "Judged", "judging_warnings", "listed"]

UNREADABLE = "image could not be read"


@dataclass(frozen=True, slots=True)
class Judged:
    """One image after judging.

    Attributes:
        truth: what of the annotation counts, with the size of its frame if any side knows it.
        outcome: how the guesses fare; None where the image is left out.
        reason: why the image is left out; None otherwise.
        frame: how the sizes of both sides compare.
        sizes: predicted and annotated size where they differ.
        unknown: true classes that the network does not know.
        findings: what the image adds to kinds of errors and further figures; see `findings_table`.
        swept: each true class with boxes at many thresholds, where that is asked for.
    """

    truth: Annotation
    outcome: ImageOutcome | MapOutcome | PixelOutcome | None = None
    reason: str | None = None
    frame: Frame = Frame.SAME
    sizes: str = ""
    unknown: tuple[str | int, ...] = ()
    findings: bytes = b""
    swept: tuple[SweptClass, ...] = ()


@dataclass(frozen=True, slots=True)
class Judge:
    """Judges single images under fixed settings.

    Attributes:
        settings: protocol, and what counts.
        known: the classes of the network; None where they are unknown.
        maps: where the maps are; None where there are none.
        sweeper: judges maps at many thresholds, beside the boxes as stored; None where not asked.
    """

    settings: EvalSettings
    known: KnownClasses | None
    maps: MapSource | None = None
    sweeper: Sweeper | None = None

    def truth(self, annotation: Annotation) -> tuple[Annotation, str | None]:
        """Return what of the annotation counts, and the reason when nothing does."""
        leave_out = self.settings.difficult == "leave-out"
        return countable(annotation, leave_out_difficult=leave_out, known=self.known)

    def judge(self, annotation: Annotation, prediction: Prediction) -> Judged:
        """Return how a prediction fares."""
        if prediction.error is not None:
            return Judged(annotation, reason=UNREADABLE)
        named, reason = named_by_target(annotation, prediction)
        # A map from a file is that of the true class, whatever its name.
        if reason is not None and not (self.maps and self.maps.of_true_class):
            return Judged(annotation, reason=reason)
        truth, reason = self.truth(named)
        unknown: tuple[str | int, ...] = ()
        if self.known is not None:
            unknown = tuple(i for i in named.labels if i not in self.known.labels)
        if reason is not None:
            return Judged(truth, reason=reason, unknown=unknown)
        frame = compare_frames(prediction.size, truth.size)
        framed = to_frame(prediction, truth.size)
        outcome = self.settings.protocol.judge(truth, framed, self.maps)
        found = self._findings(truth, framed, outcome)
        sizes = "" if frame in (Frame.SAME, Frame.UNKNOWN) else _sizes(prediction, truth)
        if truth.size is None:
            truth = replace(truth, size=_shared(prediction.size))
        swept = self.sweeper.image(truth, prediction) if self.sweeper else ()
        return Judged(truth, outcome, None, frame, sizes, unknown, found, swept)

    def _findings(
        self,
        truth: Annotation,
        prediction: Prediction,
        outcome: ImageOutcome | MapOutcome | PixelOutcome,
    ) -> bytes:
        asked = self.settings.diagnosis
        maps = self.maps if asked.pointing else None
        rule = self.settings.protocol
        return findings(truth, prediction, outcome, rule, asked, maps) if asked.enabled else b""


@functools.lru_cache(maxsize=4096)
def _shared(size: tuple[int, int] | None) -> tuple[int, int] | None:
    """Return one and the same size for all images of this size."""
    return size


def _sizes(prediction: Prediction, truth: Annotation) -> str:
    (pw, ph), (tw, th) = prediction.size or (0, 0), truth.size or (0, 0)
    return f"{shorten(truth.image_id)}, predicted at {pw}x{ph}, annotated at {tw}x{th}"


def judging_warnings(judged: Sequence[Judged]) -> list[str]:
    """Return what a reader should know about the judged images, a sentence each."""
    warnings: list[str] = []
    unreadable = [j.truth.image_id for j in judged if j.reason == UNREADABLE]
    if unreadable:
        warnings.append(
            f"{len(unreadable):,} images could not be read and are left out ({listed(unreadable)})"
        )
    unknown = Counter(label for j in judged for label in j.unknown)
    if unknown:
        names = [f"{label} in {n:,} images" for label, n in unknown.most_common()]
        warnings.append(
            f"{len(unknown):,} true classes are unknown to the network ({listed(names)}); "
            "images without another class are left out"
        )
    frames = Counter(j.frame for j in judged if j.outcome is not None)
    example = {j.frame: j.sizes for j in reversed(judged)}
    return warnings + frame_warnings(frames, example)


def listed(names: Iterable[str], most: int = 5) -> str:
    """Return the first few names for a message."""
    names = list(names)
    more = "" if len(names) <= most else f" and {len(names) - most:,} more"
    return ", ".join(shorten(name) for name in names[:most]) + more
