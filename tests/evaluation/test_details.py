"""Kinds of errors and further figures of whole evaluations: they agree with the figures."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from camtool.annotations import AnnotationSet, NetworkClasses
from camtool.evaluation.evaluate import evaluate, evaluate_loaded
from camtool.evaluation.settings import EvalSettings
from camtool.evaluation.sources import Loaded
from camtool.geometry import iou
from camtool.metrics.diagnosis import KINDS, DiagnosisSettings
from camtool.metrics.protocols import AdlFirstBox, Ilsvrc, TsCam
from camtool.structures import (
    AnnotatedObject,
    Annotation,
    Box,
    ClassPrediction,
    Prediction,
    ScoredBox,
    ScoreMap,
)

SIZE = (100, 80)
TRUE = Box(10, 10, 30, 30)
TWIN = Box(60, 10, 80, 30)
FAR = Box(80, 60, 100, 80)


def image(image_id, *objects, size=SIZE):
    return Annotation(image_id, size, tuple(AnnotatedObject(*o) for o in objects))


def guess(name, *boxes, rank=1, target=False):
    return ClassPrediction(name, None, tuple(ScoredBox(b, 1.0) for b in boxes), rank, target=target)


def predicted(image_id, *classes, size=SIZE):
    return Prediction(image_id, f"{image_id}.jpg", size, classes)


def evaluated(pairs, settings=None, **more):
    truths = [truth for truth, _ in pairs]
    annotations = AnnotationSet("val.xml", "voc-xml", {t.image_id: t for t in truths}, [], [])
    loaded = Loaded([p for _, p in pairs], **more)
    found = evaluate_loaded(loaded, annotations, settings or EvalSettings())
    assert found.details is not None
    return found


ONE_OF_EACH = [
    (image("a", ("cat", TRUE)), predicted("a", guess("cat", TRUE, target=True))),
    (
        image("b", ("cat", TRUE)),
        predicted("b", guess("dog", TRUE), guess("cat", TRUE, rank=2, target=True)),
    ),
    (image("c", ("cat", TRUE)), predicted("c", guess("cat", Box(10, 10, 20, 20), target=True))),
    (image("d", ("cat", TRUE)), predicted("d", guess("cat", Box(0, 0, 100, 80), target=True))),
    (
        image("e", ("cat", TRUE), ("cat", TWIN)),
        predicted("e", guess("cat", Box(10, 10, 80, 30), target=True)),
    ),
    (image("f", ("cat", TRUE)), predicted("f", guess("cat", FAR, target=True))),
    (image("g", ("cat", TRUE)), predicted("g", guess("cat", target=True))),
]


def test_one_image_of_each_kind():
    found = evaluated(ONE_OF_EACH)
    top1, known = found.details.diagnoses["top1"], found.details.diagnoses["gt_known"]
    assert top1.counts == dict.fromkeys(KINDS, 1)
    assert known.counts == dict.fromkeys(KINDS, 1) | {"right": 2, "wrong_class": 0}
    assert top1.by_class == {"cat": (1,) * 7}
    assert [(g.low, g.n) for g in top1.by_instances] == [(None, 6), (2, 1)]
    assert [(g.low, g.high) for g in top1.by_size] == [(None, 0.2)]
    # Images a and b are wholly right, g has no box at all.
    assert found.details.figures["corloc"].rate.value == pytest.approx(200 / 7)
    overlaps = [1, 1, 1 / 4, 1 / 20, 400 / 1400, 0, 0]
    assert found.details.figures["mean_iou"].rate.value == pytest.approx(100 * np.mean(overlaps))
    assert found.details.figures["largest_box_precision"].rate.n == 6
    assert sum(found.details.iou_histogram) == 7
    assert found.details.iou_histogram[-1] == 2


def test_an_image_of_several_classes():
    truth = image("a", ("cat", TRUE), ("dog", TWIN), ("dog", FAR))
    # The best guess is a true class: its own true boxes count. The cat's box lies on the dog.
    prediction = predicted("a", guess("dog", FAR, target=True), guess("cat", TWIN, rank=4))
    found = evaluated([(truth, prediction)])
    assert found.details.diagnoses["top1"].counts["right"] == 1
    known = found.details.diagnoses["gt_known"]
    assert (known.counts["right"], known.counts["other"], known.kinds["right"].n) == (1, 1, 2)
    assert known.by_class["cat"][KINDS.index("other")] == 1
    assert known.by_class["dog"][KINDS.index("right")] == 1
    assert [(g.low, g.n) for g in known.by_instances] == [(None, 1), (2, 1)]
    # One image of three objects for the top-1 guess, counted for each of its classes.
    top1 = found.details.diagnoses["top1"]
    assert [(g.low, g.n) for g in top1.by_instances] == [(3, 1)]
    assert [sum(counts) for counts in top1.by_class.values()] == [1, 1]


def test_a_guess_of_a_true_class_without_box():
    truth = image("a", ("cat", TRUE), ("dog", None))
    found = evaluated([(truth, predicted("a", guess("dog", FAR), guess("cat", TRUE, rank=2)))])
    assert found.details.diagnoses["top1"].counts["background"] == 1


def test_an_image_without_any_guess():
    found = evaluated([*ONE_OF_EACH, (image("h", ("cat", TRUE)), predicted("h"))])
    assert found.details.diagnoses["top1"].counts["wrong_class"] == 2
    assert list(found.details.diagnoses) == ["top1"]
    assert found.details.absent["corloc"] == found.absent["gt_known_error"]
    assert found.details.iou_histogram is None


def random_pairs(seed, images=150):
    random = np.random.default_rng(seed)

    def box():
        corners = np.sort(random.integers(0, 10, (2, 2)), axis=0)
        return Box.from_inclusive(*(corners * (10, 8)).ravel().tolist())

    for number in range(images):
        names = random.choice(["ape", "bat", "cat", "dog"], random.integers(1, 4), replace=False)
        objects = [(str(n), box()) for n in names for _ in range(random.integers(1, 4))]
        order = random.permutation(["ape", "bat", "cat", "dog"]).tolist()
        classes = [
            guess(n, *(box() for _ in range(random.integers(0, 4))), rank=r, target=n in names)
            for r, n in enumerate(order, 1)
        ]
        yield image(f"i{number:03}", *objects), predicted(f"i{number:03}", *classes)


@pytest.mark.parametrize("protocol", [Ilsvrc(), Ilsvrc(iou_threshold=0.3), TsCam(), AdlFirstBox()])
@pytest.mark.parametrize("seed", range(2))
def test_the_share_of_right_ones_is_the_accuracy(protocol, seed):
    found = evaluated(list(random_pairs(seed)), EvalSettings(protocol=protocol))
    for name, metric in (("top1", "top1_localization_error"), ("gt_known", "gt_known_error")):
        diagnosis = found.details.diagnoses[name]
        rate, right = found.metrics[metric], diagnosis.kinds["right"]
        assert right.n == rate.n == sum(diagnosis.counts.values())
        assert diagnosis.counts["right"] == rate.n - round(rate.value * rate.n / 100)
        assert right.value == pytest.approx(100 - rate.value, abs=1e-12)
        assert right.ci95 == pytest.approx([100 - end for end in reversed(rate.ci95)], abs=1)
    wrong = found.details.diagnoses["top1"].kinds["wrong_class"]
    assert wrong.value == found.metrics["top1_classification_error"].value


@pytest.mark.parametrize("seed", range(2))
def test_corloc_and_the_largest_box_by_a_plain_loop(seed):
    pairs = list(random_pairs(seed))
    by_class, largest, histogram = {}, [], np.zeros(20, int)
    for truth, prediction in pairs:
        for label in truth.labels:
            boxes = [s.box for c in prediction.classes if c.name == label for s in c.boxes]
            best = [max(iou(box, true) for true in truth.boxes(label)) for box in boxes]
            by_class.setdefault(label, []).append(bool(boxes) and best[0] > 0.5)
            histogram[min(int((best[0] if boxes else 0.0) * 20 + 1e-9), 19)] += 1
            if boxes:
                areas = [box.area for box in boxes]
                largest.append(best[areas.index(max(areas))] >= 0.5)
    found = evaluated(pairs).details
    corloc = 100 * np.mean([np.mean(hits) for hits in by_class.values()])
    assert found.figures["corloc"].rate.value == pytest.approx(corloc)
    precision = found.figures["largest_box_precision"].rate
    assert (precision.value, precision.n) == (pytest.approx(100 * np.mean(largest)), len(largest))
    assert found.iou_histogram == tuple(histogram)


def test_all_boxes_are_scaled_to_the_annotated_size():
    # Predicted at half the size; the second box is the larger one, and right.
    truth = image("a", ("cat", Box(0, 0, 100, 80)))
    boxes = Box(0, 0, 10, 10), Box(0, 0, 50, 40)
    small = predicted("a", guess("cat", *boxes, target=True), size=(50, 40))
    found = evaluated([(truth, small)]).details
    assert found.figures["largest_box_precision"].rate.value == 100
    assert found.figures["corloc"].rate.value == 0


class Maps:
    """Stored maps, by image id."""

    of_true_class = False
    masks = None

    def __init__(self, maps):
        self.maps = maps

    def stored(self, prediction, label):
        return self.maps.get((prediction.image_id, label))


def spot(x, y):
    values = np.zeros((80, 100), np.float32)
    values[y, x] = 1
    return ScoreMap(values, (0.0, 0.0, 100.0, 80.0), SIZE)


def test_the_pointing_game_is_a_mean_over_classes():
    pairs = [
        (image(i, (label, TRUE)), predicted(i, guess(label, TRUE, target=True)))
        for i, label in (("a", "cat"), ("b", "cat"), ("c", "dog"))
    ]
    maps = {("a", "cat"): spot(29, 29), ("b", "cat"): spot(47, 29), ("c", "dog"): spot(48, 29)}
    figures = evaluated(pairs, maps=Maps(maps)).details.figures
    assert figures["pointing_game_0"].rate.value == 25.0
    assert figures["pointing_game_18"].rate.value == 50.0
    found = evaluated(pairs, maps=Maps({("a", "cat"): spot(0, 0)})).details
    assert "pointing_game_0" not in found.figures
    assert found.absent["pointing_game_18"] == (
        "the true class's low-resolution map is stored for 1 of 3 images; "
        "`camtool localize --labels` stores it for all"
    )


def test_it_can_be_switched_off():
    off = EvalSettings(diagnosis=DiagnosisSettings(enabled=False))
    truths = {t.image_id: t for t, _ in ONE_OF_EACH}
    annotations = AnnotationSet("val.xml", "voc-xml", truths, [], [])
    found = evaluate([p for _, p in ONE_OF_EACH], annotations, off)
    assert found.details is None
    assert found == dataclasses.replace(
        evaluate([p for _, p in ONE_OF_EACH], annotations),
        details=None,
        convention=found.convention,
    )
    asked = EvalSettings(diagnosis=DiagnosisSettings(pointing=False))
    found = evaluated(ONE_OF_EACH, asked, maps=Maps({})).details
    assert found.absent["pointing_game_0"] == "left out by eval.diagnosis.pointing"


def test_no_image_with_a_true_box():
    found = evaluated([(image("a", ("cat", None)), predicted("a", guess("cat", TRUE)))]).details
    assert found.figures == found.diagnoses == found.rules == {}
    assert set(found.absent.values()) == {"no scored image has a true box"}
    assert len(found.absent) == 7


def test_classes_have_their_titles():
    known = NetworkClasses.from_json(
        [{"index": 0, "name": "n1", "title": "cat"}, {"index": 1, "name": "n2", "title": "dog"}]
    )
    pairs = [(image("a", ("n1", TRUE)), predicted("a", guess("n1", TRUE)))]
    assert evaluated(pairs, known=known).details.class_titles == {"n1": "cat"}
    pairs = [(image("a", (1, TRUE)), predicted("a", guess("n1", TRUE)))]
    assert evaluated(pairs, known=known).details.class_titles == {"1": "dog"}
