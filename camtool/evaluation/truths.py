"""What of an annotation counts, why an image may not count at all, and the frame of its boxes."""

from __future__ import annotations

from dataclasses import replace
from enum import Enum
from typing import TYPE_CHECKING

from camtool.annotations import NO_CLASS
from camtool.geometry import scale

if TYPE_CHECKING:
    from collections import Counter

    from camtool.annotations import NetworkClasses
    from camtool.structures import Annotation, ClassPrediction, Prediction

NO_OBJECT = "no object annotated"
ONLY_DIFFICULT = "only difficult objects"
NO_LABEL = "annotation names no class"
UNKNOWN_CLASS = "class unknown to the network"


def countable(
    annotation: Annotation, *, leave_out_difficult: bool, known: NetworkClasses | None
) -> tuple[Annotation, str | None]:
    """Return the part of `annotation` that counts, and the reason when nothing of it does."""
    if not annotation.objects:
        return annotation, NO_OBJECT
    objects = annotation.objects
    if leave_out_difficult and any(o.difficult for o in objects):
        objects = tuple(o for o in objects if not o.difficult)
        if not objects:
            return annotation, ONLY_DIFFICULT
    if known is not None:
        objects = tuple(o for o in objects if o.label in known.labels or o.label == NO_CLASS)
        if not objects:
            return annotation, UNKNOWN_CLASS
    if len(objects) == len(annotation.objects):
        return annotation, None
    return replace(annotation, objects=objects), None


def named_by_target(
    annotation: Annotation, prediction: Prediction
) -> tuple[Annotation, str | None]:
    """Give boxes of no class the true class that the image was localized with, if it is one.

    Sources such as csv lists may give boxes only; `camtool localize --labels` then said the class.
    """
    if NO_CLASS not in annotation.labels:
        return annotation, None
    targets = {guess.name for guess in prediction.classes if guess.target}
    if len(targets) != 1:
        return annotation, NO_LABEL
    (name,) = targets
    objects = tuple(
        replace(o, label=name) if o.label == NO_CLASS else o for o in annotation.objects
    )
    return replace(annotation, objects=objects), None


_SAME_ASPECT = 0.02


class Frame(Enum):
    """How the frame of a prediction compares to that of its annotation."""

    SAME = "same"
    UNKNOWN = "unknown"
    SCALED = "scaled"
    SQUEEZED = "squeezed"
    SWAPPED = "swapped"
    TURNED = "turned"


def compare_frames(predicted: tuple[int, int] | None, annotated: tuple[int, int] | None) -> Frame:
    """Compare the sizes (width, height) that both sides give of one image."""
    if predicted is None or annotated is None:
        return Frame.UNKNOWN
    if predicted == annotated:
        return Frame.SAME
    if predicted == annotated[::-1]:
        return Frame.SWAPPED
    aspect = (predicted[0] * annotated[1]) / (predicted[1] * annotated[0])
    return Frame.SCALED if abs(aspect - 1) <= _SAME_ASPECT else Frame.SQUEEZED


def to_frame(prediction: Prediction, size: tuple[int, int] | None) -> Prediction:
    """Return `prediction` with its boxes in a frame of `size` (width, height).

    Width and height are scaled each by its own factor: the intersection over union does not change
    by this. Where either side gives no size, the frames are taken to be the same.
    """
    source = prediction.size
    if source is None or size is None or source == size:
        return prediction

    def moved(guess: ClassPrediction) -> ClassPrediction:
        boxes = tuple(replace(s, box=scale(s.box, source, size)) for s in guess.boxes)
        return replace(guess, boxes=boxes)

    classes, recorded = tuple(map(moved, prediction.classes)), prediction.recorded or source
    return replace(prediction, size=size, classes=classes, recorded=recorded)


_REASONS = {
    Frame.SWAPPED: "width and height are swapped: check the EXIF rotation of the photos",
    Frame.SQUEEZED: "the aspect ratios differ by more than 2 %: squeezed images, or wrong sizes",
    Frame.SCALED: "the aspect ratio is the same",
}


def frame_warnings(frames: Counter[Frame], example: dict[Frame, str]) -> list[str]:
    """Return a sentence for each way in which predicted and annotated sizes differ.

    Args:
        frames: number of images by frame.
        example: for each such frame one image, with both sizes.
    """
    return [
        f"{frames[frame]:,} of {frames.total():,} images have another size in the predictions than "
        f"in the annotations, and {reason} (first: {example[frame]}); "
        "their predicted boxes were scaled to the annotated size"
        for frame, reason in _REASONS.items()
        if frames[frame]
    ] + [
        f"{frames[Frame.TURNED]:,} of {frames.total():,} images are upright on one side and as"
        " stored on the other, by their EXIF orientation; their predicted boxes were turned"
    ] * (frames[Frame.TURNED] > 0)
