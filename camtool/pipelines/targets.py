"""The true classes that `--labels` gives, joined with the images and the network's classes."""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING, Final

from camtool.annotations import NO_CLASS
from camtool.errors import DataError, EvaluationError, shorten
from camtool.evaluation.join import Joiner

if TYPE_CHECKING:
    from collections.abc import Sequence

    from camtool.annotations import AnnotationSet, NetworkClasses
    from camtool.images import ImageSource


_MOST_PROBLEMS: Final = 10
_log = logging.getLogger("camtool")


def has_boxes(known: AnnotationSet) -> bool:
    """Tell whether the labels come with boxes, and so in stored pixel order."""
    return any(o.box is not None for a in known.annotations.values() for o in a.objects)


def label_warnings(known: AnnotationSet) -> list[str]:
    """Return what to say of the labels: entries that could not be used first, then the rest."""
    problems = [f"{problem}; not used as a label" for problem in known.problems[:_MOST_PROBLEMS]]
    if (more := len(known.problems) - len(problems)) > 0:
        problems.append(f"{known.source}: {more:,} more entries could not be used as labels")
    return [*problems, *known.warnings]


def targets_of(
    sources: Sequence[ImageSource], known: AnnotationSet | None, names: NetworkClasses
) -> dict[str, tuple[int, ...]]:
    """Return the true classes of each image by its id, as indices of the network's classes.

    Args:
        sources: the images.
        known: the labels; None takes those of the lists that the images came from.
        names: the classes of the network; labels it does not have are told, once each.

    Raises:
        DataError: the labels name none of the images, or fit several.
    """
    labels = _by_image(sources, known) if known else {s.image_id: s.labels for s in sources}
    unknown: Counter[str] = Counter()
    result = {}
    for image_id, given in labels.items():
        indices = [(label, names.index(label)) for label in given if label != NO_CLASS]
        result[image_id] = tuple(i for _, i in indices if i is not None)
        unknown.update(str(label) for label, i in indices if i is None)
    for label, count in unknown.most_common(10):
        hint = names.hint(label)
        _log.warning("'%s' (%d images) is no class of the network%s", shorten(label), count, hint)
    return result


def _by_image(
    sources: Sequence[ImageSource], known: AnnotationSet
) -> dict[str, tuple[str | int, ...]]:
    """Join labels with images by their ids, as `camtool eval` joins predictions."""
    joiner = Joiner(known.annotations, "image")
    for source in sources:
        joiner.add(source.image_id)
    try:
        joined = joiner.resolve()
    except EvaluationError as error:
        raise DataError(f"{known.source}: {error}") from error
    if joined.unannotated:
        _log.warning(
            "%s: %d of %d images have no label (first: %s)",
            known.source, len(joined.unannotated), len(sources), shorten(joined.unannotated[0]),
        )  # fmt: skip
    return {image: known.annotations[name].labels for name, image in joined.pairs.items()}
