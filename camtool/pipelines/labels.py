"""What labels say of the images to localize: their true classes, and which way up they are."""

from __future__ import annotations

import logging
import operator
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from camtool.annotations import NO_CLASS
from camtool.errors import DataError, EvaluationError, SettingsError, shorten
from camtool.evaluation.matching import Joiner
from camtool.geometry import SIDEWAYS
from camtool.images.decode import stored_orientation, turns_upright

if TYPE_CHECKING:
    from collections.abc import Mapping

    from camtool.annotations import AnnotationSet, NetworkClasses
    from camtool.images import ImageSource
    from camtool.structures import Annotation

_MOST_PROBLEMS: Final = 10
_MOST_LOOKED_AT: Final = 2_000
_log = logging.getLogger("camtool")


def label_warnings(known: AnnotationSet) -> list[str]:
    """Return what to say of the labels: entries that could not be used first, then the rest."""
    problems = [f"{problem}; not used as a label" for problem in known.problems[:_MOST_PROBLEMS]]
    if (more := len(known.problems) - len(problems)) > 0:
        problems.append(f"{known.source}: {more:,} more entries could not be used as labels")
    return [*problems, *known.warnings]


def has_boxes(known: AnnotationSet) -> bool:
    """Tell whether the labels come with boxes."""
    return any(o.box is not None for a in known.annotations.values() for o in a.objects)


def labelled_by_folder(sources: Sequence[ImageSource]) -> list[ImageSource]:
    """Return images whose true class is the name of the folder that they lie in.

    Raises:
        DataError: they all lie in one folder.
    """
    named = [PurePosixPath(source.path).parent.name for source in sources]
    if len(set(named)) < 2:
        raise DataError(
            f"--labels folders: all images lie in one folder ('{shorten(named[0])}'); name the"
            " folder above the folders of classes"
        )
    return [replace(s, labels=(name,)) for s, name in zip(sources, named, strict=True)]


def hint_of_folders(sources: Sequence[ImageSource], names: NetworkClasses) -> None:
    """Say it where images without labels lie in folders that are named like classes."""
    if any(source.labels for source in sources):
        return
    folders = {PurePosixPath(source.path).parent.name for source in sources}
    if len(folders) > 1 and all(names.index(folder) is not None for folder in folders):
        _log.info(
            "the %d folders are named like classes of the network: --labels folders takes them as"
            " the true classes", len(folders),
        )  # fmt: skip


def joined_labels(sources: Sequence[ImageSource], known: AnnotationSet) -> dict[str, Annotation]:
    """Return the annotation of each image by its id, joined as `camtool eval` joins predictions.

    Raises:
        DataError: the labels name none of the images, or fit several.
    """
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
    return {image: known.annotations[name] for name, image in joined.pairs.items()}


def targets_of(
    sources: Sequence[ImageSource],
    joined: Mapping[str, Annotation] | None,
    names: NetworkClasses,
) -> dict[str, tuple[int, ...]]:
    """Return the true classes of each image by its id, as indices of the network's classes.

    Args:
        sources: the images.
        joined: their annotations; None takes the classes of the lists that the images came from.
        names: the classes of the network; labels it does not have are told, once each.
    """
    if joined is None:
        labels = {s.image_id: s.labels for s in sources}
    else:
        labels = {image_id: annotation.labels for image_id, annotation in joined.items()}
    unknown: Counter[str] = Counter()
    result = {}
    for image_id, given in labels.items():
        found = [(label, names.index(label)) for label in given if label != NO_CLASS]
        result[image_id] = tuple(i for _, i in found if i is not None)
        unknown.update(str(label) for label, i in found if i is None)
    if unknown:
        first = ", ".join(f"'{shorten(label, 40)}'" for label, _ in unknown.most_common(3))
        more = ", …" if len(unknown) > 3 else ""
        hint = names.hint(next(iter(unknown))) if len(unknown) == 1 else ""
        _log.warning(
            "%d labels of %s images are no classes of the network: %s%s%s", len(unknown),
            f"{unknown.total():,}", first, more, hint,
        )  # fmt: skip
    return result


def default_rotation(
    sources: Sequence[ImageSource], sizes: Mapping[str, tuple[int, int]], *, boxed: bool
) -> bool:
    """Return whether pictures are turned upright that nothing else decides on.

    Where the sizes in annotations fit only the upright, or only the stored picture, wherever they
    fit only one, the others are taken to be the same; otherwise boxes among the labels leave
    pictures as they are stored, as those of ImageNet do. What was decided is told in a line.

    Args:
        sources: the images.
        sizes: (width, height) of images in annotations, by id.
        boxed: the labels come with boxes.
    """
    votes: Counter[bool] = Counter()
    sized = [source for source in sources if source.image_id in sizes]
    for source in sized[:: 1 + len(sized) // _MOST_LOOKED_AT]:
        seen = stored_orientation(source)
        if seen is None or seen[0] not in SIDEWAYS:
            continue
        orientation, size, is_upright = seen
        annotated = sizes[source.image_id]
        both = [
            turns_upright(orientation, size, annotated, default, is_upright=is_upright)
            for default in (False, True)
        ]
        if both[0] == both[1]:
            votes[both[0]] += 1
    if not votes:
        return not boxed
    _log.info(
        "EXIF orientation: by their annotated sizes %d images are seen upright and %d as stored"
        " (of those looked at)", votes[True], votes[False],
    )  # fmt: skip
    return not votes[False] if votes[True] else False


Labels = str | int | Sequence[str | int]
"""True classes of a picture, by name, title or index; text is one of them."""


def label_indices(
    labels: Labels | Sequence[Labels], names: NetworkClasses, pictures: int | None
) -> list[tuple[int, ...]]:
    """Return the true classes of pictures as indices of the network's classes.

    Args:
        labels: of one picture its label or labels. Of several one label for all of them, or for
            each its label or labels.
        names: the network's classes.
        pictures: how many there are in a list; None for a single one.

    Raises:
        SettingsError: a label is no class of the network, or not as many as pictures.
    """
    if isinstance(labels, str | int | np.integer) or pictures is None:
        return [_indices(labels, names)] * (pictures or 1)
    if not len(labels):
        return [()] * pictures
    if len(labels) != pictures:
        raise SettingsError(
            f"labels: of {pictures:,} pictures one for all or a list of as many, got"
            f" {len(labels):,}"
        )
    return [_indices(own, names) for own in labels]


def _indices(labels: Any, names: NetworkClasses) -> tuple[int, ...]:  # noqa: ANN401
    given = [labels] if isinstance(labels, str | int | np.integer) else labels
    return tuple(_index(label, names) for label in given)


def _index(label: Any, names: NetworkClasses) -> int:  # noqa: ANN401 (whatever a caller gives)
    wanted = label if isinstance(label, str) else operator.index(label)
    index = names.index(wanted)
    if index is None:
        hint = names.hint(str(wanted))
        raise SettingsError(f"labels: not a class of the network: {shorten(repr(label))}{hint}")
    return index
