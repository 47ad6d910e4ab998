from __future__ import annotations

import random

import pytest

from camtool.annotations import NO_CLASS, AnnotationSet, NetworkClasses
from camtool.errors import AnnotationError, EvaluationError
from camtool.evaluation.evaluate import evaluate, evaluate_baselines, evaluate_loaded
from camtool.evaluation.result import Counts
from camtool.evaluation.settings import EvalSettings
from camtool.evaluation.sources import Loaded
from camtool.structures import (
    AnnotatedObject,
    Annotation,
    Box,
    ClassPrediction,
    Prediction,
    ScoredBox,
)

FULL = Box(0, 0, 10, 10)
FAR = Box(50, 50, 60, 60)
SIZE = (100, 100)


def right_of(found):
    """Right boxes of the whole image, and of how many."""
    baseline = found.baselines["whole_image"]
    return baseline.right, baseline.n


def annotated(*images, problems=(), warnings=()):
    return AnnotationSet(
        "val.xml", "voc-xml", {a.image_id: a for a in images}, list(problems), list(warnings)
    )


def image(image_id, *objects, size=SIZE):
    objects = objects or (("x", FULL),)
    return Annotation(image_id, size, tuple(AnnotatedObject(*o) for o in objects))


def predicted(image_id, *names, box=FULL, size=SIZE, target=False, error=None):
    classes = tuple(
        ClassPrediction(name, None, (ScoredBox(box, 1.0),) if box else (), rank, target=target)
        for rank, name in enumerate(names, 1)
    )
    return Prediction(image_id, f"{image_id}.jpg", size, classes, error)


def top1(evaluation):
    return {
        "classification": evaluation.metrics["top1_classification_error"].value,
        "localization": evaluation.metrics["top1_localization_error"].value,
    }


def test_figures_counts_and_convention_of_a_small_set():
    found = evaluate(
        [
            predicted("a", "x"),
            predicted("b", "x", box=FAR),
            predicted("c", "y"),
            predicted("d", "x"),
        ],
        annotated(*(image(i) for i in "abcd")),
    )
    assert top1(found) == {"classification": 25.0, "localization": 50.0}
    assert found.counts == Counts(4, 4, 4, {})
    assert found.absent["gt_known_error"].startswith("the true class's box is stored for 3 of 4")
    assert right_of(found) == (0, 4)
    assert found.join == {"exact": 4, "without_extension": 0, "base_name": 0}
    assert found.warnings == ()
    assert found.protocol == "ilsvrc"
    assert found.convention["hit"] == "class right and IoU >= 0.5 with any true box of the class"
    assert found.convention["true_boxes"].endswith("difficult objects are counted")
    assert found.convention["threshold"] == "unknown: boxes taken as stored"


def test_missing_predictions_are_refused_or_counted():
    annotations = annotated(*(image(i) for i in "cab"))
    with pytest.raises(EvaluationError) as caught:
        evaluate([predicted("b", "x")], annotations)
    assert str(caught.value) == (
        "2 of 3 annotated images have no prediction (first: a); --allow-missing scores the rest"
    )
    found = evaluate([predicted("b", "x")], annotations, EvalSettings(allow_missing=True))
    assert found.counts == Counts(3, 1, 1, {"no prediction": 2})
    assert found.warnings == ("2 annotated images have no prediction (a, c)",)


def test_predictions_without_annotation_are_left_out_and_named():
    many = [predicted(f"z{i}", "y") for i in range(7)]
    found = evaluate([predicted("a", "x"), *many], annotated(image("a")))
    assert top1(found) == {"classification": 0.0, "localization": 0.0}
    assert found.counts == Counts(1, 8, 1, {"prediction without annotation": 7})
    assert found.warnings == (
        "7 predictions belong to no annotated image and are left out "
        "(z0, z1, z2, z3, z4 and 2 more)",
    )


def test_unreadable_images_are_left_out_and_named():
    found = evaluate(
        [predicted("a", "x"), predicted("b", error="truncated")], annotated(image("a"), image("b"))
    )
    assert found.counts == Counts(2, 2, 1, {"image could not be read": 1})
    assert found.warnings == ("1 images could not be read and are left out (b)",)


def test_unusable_annotations_are_counted():
    problem = AnnotationError("val.tgz: b.xml", "truncated")
    found = evaluate(
        [predicted("a", "x")], annotated(image("a"), problems=[problem], warnings=["clipped"])
    )
    assert found.counts.left_out == {"annotation could not be used": 1}
    assert found.warnings == (
        "1 annotations could not be used (first: val.tgz: b.xml: truncated)",
        "clipped",
    )


def test_range_counts_in_name_order_whatever_the_order_of_the_source():
    annotations = annotated(*(image(i) for i in "dcba"))
    everything = [predicted(i, "x" if i in "ab" else "y") for i in "abcd"]
    found = evaluate(everything, annotations, EvalSettings(images="2-3"))
    assert top1(found)["classification"] == 50.0
    assert found.counts == Counts(2, 4, 2, {})
    assert found.join["outside_images"] == 2
    with pytest.raises(EvaluationError, match=r"1 of 2 annotated .* \(first: c\)"):
        evaluate(everything[:2], annotations, EvalSettings(images="2-3"))


def test_range_needs_all_annotations():
    annotations = annotated(image("a"), problems=[AnnotationError("b.xml", "truncated")])
    with pytest.raises(EvaluationError) as caught:
        evaluate([predicted("a", "x")], annotations, EvalSettings(images="1-1"))
    assert str(caught.value) == (
        "val.xml: 1 annotations could not be used, so the images cannot be counted in name order "
        "(first: b.xml: truncated); repair them"
    )


def test_black_listed_images_count_for_classification_only(tmp_path):
    path = tmp_path / "black.txt"
    path.write_text("b\nzebra\n")
    found = evaluate(
        [predicted("a", "x", target=True), predicted("b", "y", "x", target=True)],
        annotated(image("a"), image("b")),
        EvalSettings(blacklist=path),
    )
    assert top1(found) == {"classification": 50.0, "localization": 0.0}
    assert found.metrics["gt_known_error"].n == found.baselines["whole_image"].n == 1
    assert found.counts == Counts(2, 2, 2, {"black-listed (localization only)": 1})
    assert found.convention["blacklist"] == (
        "1 scored images are black-listed: classification keeps them, localization, GT-known and "
        "baselines leave them out; 1 of the list's 2 entries match no annotated image"
    )


def test_black_list_that_names_no_image_is_warned_about(tmp_path):
    path = tmp_path / "black.txt"
    path.write_text("zebra\n")
    found = evaluate([predicted("a", "x")], annotated(image("a")), EvalSettings(blacklist=path))
    assert found.warnings == ("none of the 1 black-listed images is annotated here",)


def test_black_list_by_position_needs_all_annotations(tmp_path):
    path = tmp_path / "black.txt"
    path.write_text("1\n")
    annotations = annotated(image("a"), problems=[AnnotationError("b.xml", "truncated")])
    with pytest.raises(EvaluationError, match="cannot be counted in name order"):
        evaluate([predicted("a", "x")], annotations, EvalSettings(blacklist=path))


def test_images_without_boxes_count_for_classification_only():
    found = evaluate(
        [predicted("a", "x"), predicted("b", "y")], annotated(image("a"), image("b", ("x", None)))
    )
    assert top1(found) == {"classification": 50.0, "localization": 0.0}
    assert found.metrics["top1_localization_error"].n == 1
    assert found.counts.left_out == {"no true box (localization only)": 1}


def test_difficult_objects_are_a_setting():
    annotations = annotated(
        image("a", ("x", FULL, True), ("y", FAR)), image("b", ("x", FULL, True))
    )
    predictions = [predicted("a", "x"), predicted("b", "x")]
    assert top1(evaluate(predictions, annotations))["localization"] == 0.0
    found = evaluate(predictions, annotations, EvalSettings(difficult="leave-out"))
    assert top1(found)["localization"] == 100.0
    assert found.counts.left_out == {"only difficult objects": 1}
    assert found.convention["true_boxes"].endswith("difficult objects are left out")


def test_classes_that_the_network_does_not_know():
    known = NetworkClasses.from_json(
        [{"index": 0, "name": "n1", "title": "x"}, {"index": 1, "name": "n2", "title": None}]
    )
    found = evaluate_loaded(
        Loaded([predicted(i, "n1", "n2") for i in "abc"], known),
        annotated(
            image("a", ("n1", FULL), ("wallaby", FAR)),
            image("b", ("wallaby", FULL)),
            image("c", (1, FULL)),
        ),
        EvalSettings(),
    )
    assert len(known) == 2
    assert found.counts == Counts(3, 3, 2, {"class unknown to the network": 1})
    assert found.warnings == (
        "1 true classes are unknown to the network (wallaby in 2 images); "
        "images without another class are left out",
    )
    assert found.baselines["whole_image"].n == 2


def test_boxes_of_no_class_take_the_class_that_localize_was_given():
    annotations = annotated(image("a", (NO_CLASS, FULL)), image("b", (NO_CLASS, FULL)))
    found = evaluate([predicted("a", "x", target=True), predicted("b", "x")], annotations)
    assert found.counts == Counts(2, 2, 1, {"annotation names no class": 1})
    assert found.metrics["gt_known_error"].value == 0.0


def test_images_without_objects_are_left_out():
    found = evaluate(
        [predicted("a", "x"), predicted("b", "x")], annotated(image("a"), Annotation("b", SIZE, ()))
    )
    assert found.counts.left_out == {"no object annotated": 1}


def test_nothing_to_score_is_an_error():
    known = NetworkClasses.from_json([{"index": 0, "name": "n1", "title": "x"}])
    annotations = annotated(image("a", ("wallaby", FULL)))
    with pytest.raises(EvaluationError) as caught:
        evaluate_loaded(Loaded([predicted("a", "n1")], known), annotations, EvalSettings())
    assert str(caught.value) == (
        "none of 1 images can be scored: class unknown to the network: 1 (annotated: wallaby; the "
        "network: n1, x)"
    )
    with pytest.raises(EvaluationError, match="none of 1 images can be scored: image could not be"):
        evaluate([predicted("a", error="empty")], annotations)


def test_sizes_that_differ_are_scaled_and_warned_about():
    annotations = annotated(image("a", ("x", Box(0, 0, 100, 40)), size=(200, 100)))
    found = evaluate([predicted("a", "x", box=Box(0, 0, 25, 20), size=(100, 100))], annotations)
    assert top1(found)["localization"] == 100.0  # 50 x 20 in the frame of the annotation
    found = evaluate([predicted("a", "x", box=Box(0, 0, 25, 40), size=(100, 100))], annotations)
    assert top1(found)["localization"] == 0.0  # 50 x 40: exactly one half
    assert found.warnings == (
        "1 of 1 images have another size in the predictions than in the annotations, and the "
        "aspect ratios differ by more than 2 %: squeezed images, or wrong sizes (first: a, "
        "predicted at 100x100, annotated at 200x100); their predicted boxes were scaled to the "
        "annotated size",
    )


def test_baselines_take_the_predicted_size_where_the_annotation_has_none():
    annotations = annotated(image("a", ("x", Box(0, 0, 100, 50)), size=None))
    assert right_of(evaluate([predicted("a", "x")], annotations)) == (1, 1)
    assert evaluate([predicted("a", "x", size=None)], annotations).baselines == {}


def test_baselines_alone(tmp_path):
    path = tmp_path / "black.txt"
    path.write_text("c\n")
    annotations = annotated(
        image("a", ("x", Box(0, 0, 100, 60))),
        image("b"),
        image("c"),
        image("d", size=None),
        image("e", ("x", None)),
    )
    found = evaluate_baselines(annotations, EvalSettings(blacklist=path))
    assert right_of(found) == (1, 2)
    assert found.metrics == found.absent == {}
    assert found.counts == Counts(
        5, 0, 2, {"black-listed": 1, "no true box": 1, "annotation without image size": 1}
    )
    with pytest.raises(EvaluationError, match=r"val\.xml: no image has a size and a true box"):
        evaluate_baselines(annotated(image("d", size=None)), EvalSettings())


def test_order_does_not_matter():
    generator = random.Random(0)
    images = [image(f"i{n}", ("x", FULL), ("y", FAR)) for n in range(30)]
    predictions = [
        predicted(f"i{n}", *generator.sample("xyz", 3), box=generator.choice([FULL, FAR, None]))
        for n in range(30)
    ]
    found = evaluate(predictions, annotated(*images))
    assert 0 < top1(found)["localization"] < 100
    generator.shuffle(images)
    generator.shuffle(predictions)
    assert evaluate(predictions, annotated(*images)) == found
