from __future__ import annotations

from camtool.annotations import NetworkClasses
from camtool.evaluation.truths import UNKNOWN_CLASS, countable
from camtool.structures import AnnotatedObject, Annotation


def test_a_title_of_two_classes_names_neither():
    """In ImageNet "crane" is a bird and a machine: a guess of either would be right."""
    known = NetworkClasses.from_json(NetworkClasses.of_imagenet().to_json())
    assert len(known) == 1000
    both = [i for i, title in enumerate(known.titles) if title == "crane"]
    assert both == [134, 517]
    assert "crane" not in known.labels
    assert {134, 517, "n02012849", "n03126707", "tench"} <= known.labels
    annotation = Annotation("a", None, (AnnotatedObject("crane", None),))
    assert countable(annotation, leave_out_difficult=False, known=known) == (
        annotation, UNKNOWN_CLASS,
    )  # fmt: skip


def test_a_name_may_be_another_class_its_title():
    rows = [{"index": 0, "name": "cat", "title": "dog"}, {"index": 1, "name": "dog", "title": None}]
    assert NetworkClasses.from_json(rows).labels == {0, 1, "cat", "dog"}
