"""What of an annotation counts in an evaluation, and why an image may not count at all."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from camtool.annotations import NO_CLASS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from camtool.structures import Annotation, Prediction

__all__ = [
    "NO_LABEL",
    "NO_OBJECT",
    "ONLY_DIFFICULT",
    "UNKNOWN_CLASS",
    "KnownClasses",
    "countable",
    "named_by_target",
]

NO_OBJECT = "no object annotated"
ONLY_DIFFICULT = "only difficult objects"
NO_LABEL = "annotation names no class"
UNKNOWN_CLASS = "class unknown to the network"


@dataclass(frozen=True, slots=True)
class KnownClasses:
    """The classes of a network: how annotations may write them.

    Attributes:
        labels: indices (int), names and the titles (str) that only one class has.
        number: how many classes there are.
        titles: title by index and by name.
    """

    labels: frozenset[str | int]
    number: int
    titles: Mapping[str | int, str] = field(default_factory=dict)

    @classmethod
    def from_manifest(cls, classes: Iterable[Mapping[str, Any]]) -> KnownClasses:
        """From the list `classes` of a run's manifest: an index, a name and a title each."""
        rows = list(classes)
        titles = Counter(row.get("title") for row in rows)
        # Of a title that two classes share ("crane", the bird and the machine) nobody can say
        # which one is true: a guess of either would be right.
        values = [row.get(key) for row in rows for key in ("index", "name")]
        values += [title for title, count in titles.items() if count == 1]
        labels = frozenset(v for v in values if isinstance(v, str | int))
        named = {row.get(key): row.get("title") for row in rows for key in ("index", "name")}
        return cls(labels, len(rows), {k: v for k, v in named.items() if k in labels and v})


def countable(
    annotation: Annotation, *, leave_out_difficult: bool, known: KnownClasses | None
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
