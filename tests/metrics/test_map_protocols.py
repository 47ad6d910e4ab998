"""MaxBoxAcc and MaxBoxAccV2: goldens, boxes by hand, intervals and baselines by plain loops."""

from __future__ import annotations

import json

import numpy as np
import pytest

from camtool.errors import SettingsError
from camtool.kernels import all_contours, largest_contours, levels_with_overlap
from camtool.metrics import Bootstrap, MaxBoxAcc, MaxBoxAccV2
from camtool.metrics.baselines import GAUSSIAN, SIDES
from camtool.metrics.map_protocols import IOUS, distinct
from camtool.metrics.outcome import Outcome, Trial, packed_hits
from camtool.metrics.protocol import Figuring, Material
from camtool.metrics.thresholds import Chosen
from camtool.metrics.wsol_frame import FRAME, boxes_to_frame, centred_gaussian, eight_bit
from camtool.structures import AnnotatedObject, Annotation, Box
from tests.builders import trials
from tests.kernels.bodies import body_of, take
from tests.metrics.wsol_golden import GOLDEN, expected, maps, needs_golden, truths

CALLERS = ("camtool.metrics.map_protocols",)
body = body_of(*CALLERS)
both_bodies = pytest.mark.usefixtures("body")

METRICS = {"single": MaxBoxAcc(), "multi": MaxBoxAccV2()}
SIZE = (500, 375)
BOX = Box(0, 0, 9, 9)

# Whole image right, nothing right, half of it right: 4×4 pixels, inclusive corners.
SQUARE = np.array([[1, 1, 2, 2]])


def drawn(values):
    found = np.zeros((6, 6), np.uint8)
    found[1:3, 1:3] = values
    return found


def filled(metric, values, truths_, chosen=None):
    """The trial of one map."""
    trial = Trial(boxed=True)
    by = Material(metric.layout(None, chosen), chosen=chosen)
    metric.fill(trial, metric.boxes_of(values), truths_, by)
    return trial


def right_levels(metric, values, truths_):
    """For each IoU the levels below the map's maximum at which the image is right, and it."""
    trial = filled(metric, values, truths_)
    hits = np.unpackbits(np.frombuffer(trial.hits, np.uint8).reshape(3, -1), axis=1, count=256)
    return [np.flatnonzero(row[: max(trial.peak, 1)]).tolist() for row in hits]


def table(metric, classes, chosen=None):
    """The trials of images, each a list of (map, true boxes), one for each of its classes."""
    pairs = []
    for number, of_image in enumerate(classes):
        labels = [AnnotatedObject(f"c{k}", BOX) for k in range(len(of_image))]
        rows = [
            Trial(boxed=True) if given is None else filled(metric, *given, chosen)
            for given in of_image
        ]
        pairs.append((Annotation(f"i{number:03}", SIZE, tuple(labels)), Outcome(rows)))
    return trials(metric.layout(None, chosen), pairs)


def counts(of_trials):
    thresholds = len(of_trials.layout.columns.thresholds)
    return np.stack([of_trials.counts(c)[:thresholds] for c in of_trials.layout.criteria])


@needs_golden
@both_bodies
@pytest.mark.parametrize("mode", METRICS)
@pytest.mark.parametrize(("interval", "count"), [(0.001, 1000), (0.01, 100)])
def test_every_count_of_the_reference(mode, interval, count):
    metric = METRICS[mode].model_copy(update={"interval": interval})
    images = [[(eight_bit(maps()[name]), truths()[name])] for name in expected()["image_ids"]]
    found = table(metric, images)
    right, wanted = counts(found), expected()[f"{mode}_{interval}"]
    assert (len(found), right.shape) == (100, (3, count))
    values = metric.values(right, 100)
    for row, iou in zip(right, IOUS, strict=True):
        assert row.tolist() == wanted["correct_per_threshold"][str(iou)]
        assert values[f"max_box_acc_{iou}"] == wanted["max_box_acc"][str(iou)]


@needs_golden
def test_figures_of_the_reference():
    images = [[(eight_bit(maps()[name]), truths()[name])] for name in expected()["image_ids"]]
    found = {mode: m.values(counts(table(m, images)), 100) for mode, m in METRICS.items()}
    assert found["single"] == {
        "max_box_acc": 71.0,
        "max_box_acc_30": 89.0,
        "max_box_acc_50": 71.0,
        "max_box_acc_70": 34.0,
    }
    assert found["multi"] == {
        "max_box_acc_v2": 66.0,
        "max_box_acc_30": 90.0,
        "max_box_acc_50": 73.0,
        "max_box_acc_70": 35.0,
    }


@needs_golden
def test_every_box_of_the_reference():
    compared = 0
    for image in json.loads((GOLDEN / "boxes.json").read_text()):
        values = eight_bit(maps()[image["image_id"]])
        for mode, function in (("single", largest_contours), ("multi", all_contours)):
            found = function(values)
            for threshold, boxes in zip(image["thresholds"], image[mode], strict=True):
                at = found.at(int(threshold * values.max()))
                mine = np.minimum(at, (224, 224, 223, 223)).tolist() or [[0, 0, 0, 0]]
                assert sorted(mine) == boxes, (image["image_id"], mode, threshold)
                compared += 1
    assert compared == 40 * 2 * 8


def test_known_boxes_of_a_small_map():
    rows = [[0, 0, 0, 0, 0], [0, 4, 4, 4, 6], [0, 4, 10, 8, 6], [0, 4, 4, 4, 6]]
    values = eight_bit(np.array(rows) / 10)
    found = largest_contours(values)
    boxes = [found.at(int(t * values.max()))[0] for t in (0, 0.2, 0.4, 0.6, 0.8)]
    assert np.minimum(boxes, (9, 9, 4, 3)).tolist() == [
        [1, 1, 4, 3],
        [1, 1, 4, 3],
        [2, 1, 4, 3],
        [2, 2, 4, 3],
        [2, 2, 3, 3],
    ]


@both_bodies
def test_known_intersection_over_union():
    # The contour's box is (1, 2, 5, 6) when its pixels are columns 1 to 4 and rows 2 to 5.
    values = np.zeros((9, 9), np.uint8)
    values[2:6, 1:5] = 1
    found, truth = all_contours(values), np.array([[3, 1, 4, 5]])
    for share, right in ((8 / 27, True), (8 / 27 + 1e-12, False)):
        hits = levels_with_overlap(found.boxes, found.levels, truth, np.array([share]))
        assert np.flatnonzero(hits[0]).tolist() == ([0] if right else [])


@both_bodies
@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_the_box_is_one_pixel_too_large_unless_at_the_border(metric):
    # (1, 1, 3, 3) against (1, 1, 2, 2): 4/9.
    assert right_levels(metric, drawn(200), SQUARE) == [list(range(200)), [], []]
    assert filled(metric, drawn(200), SQUARE).peak == 200
    at_border = np.zeros((6, 6), np.uint8)
    at_border[4:, 4:] = 200
    corner = np.array([[4, 4, 5, 5]])
    assert right_levels(metric, at_border, corner) == [list(range(200))] * 3


@both_bodies
@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_no_contour_is_the_first_pixel(metric):
    empty = np.zeros((6, 6), np.uint8)
    assert right_levels(metric, empty, np.array([[0, 0, 0, 0]])) == [[0]] * 3
    half = np.array([[0, 0, 0, 1]])
    assert right_levels(metric, empty, half) == [[0], [0], []]
    found = table(metric, [[(empty, half)]])
    assert counts(found).all(1).tolist() == [True, True, False]
    assert "1 of 1 maps are flat" in metric.reduce(found, Figuring(Bootstrap())).warnings[0]


@both_bodies
def test_any_true_box_counts_and_none_is_never_right():
    metric, some = METRICS["single"], np.array([[5, 5, 5, 5], [1, 1, 3, 3]])
    assert right_levels(metric, drawn(9), some) == [list(range(9))] * 3
    assert right_levels(metric, drawn(9), np.zeros((0, 4), np.int64)) == [[], [], []]


def test_multi_finds_what_single_misses():
    values = np.zeros((12, 12), np.uint8)
    values[0:6, 0:6] = 100
    values[8:10, 8:10] = 100
    truth = np.array([[8, 8, 10, 10]])
    assert right_levels(METRICS["single"], values, truth)[0] == []
    assert right_levels(METRICS["multi"], values, truth)[0] == list(range(100))


def test_plain_and_compiled_agree_on_random_maps(monkeypatch):
    random = np.random.default_rng(3)
    for _ in range(30):
        values = random.integers(0, 8, (14, 19)).astype(np.uint8) * 30
        corners = random.integers(0, 14, (2, 2, 2))
        truth = np.hstack((corners.min(1), corners.max(1)))
        for metric in METRICS.values():
            found = []
            for of in ("compiled", "plain"):
                with monkeypatch.context() as patch:
                    take(patch, of, *CALLERS)
                    found.append(filled(metric, values, truth))
            assert (found[0].hits, found[0].peak) == (found[1].hits, found[1].peak)


def at_thresholds(metric, images, thresholds):
    """Right rows at some thresholds, asked for as thresholds that were chosen before."""
    right = []
    for t in thresholds:
        chosen = Chosen("stored", t, at_iou=dict.fromkeys(IOUS, t))
        found = table(metric, images, chosen)
        right.append([int(found.right(c, "stored").sum()) for c in found.layout.criteria])
    return np.array(right).T.tolist()


def test_thresholds_are_shares_of_each_map_and_truncated():
    values = drawn(100)
    values[5, 5] = 250
    # From level 100 on, the bright corner alone is left.
    images = [[(values, SQUARE)], [(drawn(10), SQUARE)]]
    right = at_thresholds(METRICS["single"], images, [0.0, 0.399, 0.4, 0.999])
    assert right == [[2, 2, 1, 1], [0] * 4, [0] * 4]


def test_the_best_is_the_lowest_of_equals_and_a_fixed_threshold_stands_beside():
    values = drawn(100)
    values[3:, 3:] = 50
    metric = MaxBoxAccV2(interval=0.01, fixed=0.49)
    figures = metric.reduce(table(metric, [[(values, SQUARE)]]), Figuring(Bootstrap()))
    rules = figures.thresholds["max_box_acc_30"].rules
    assert (rules["oracle"].value, rules["oracle"].threshold) == (100.0, 0.5)
    assert (rules["fixed"].value, rules["fixed"].threshold) == (0.0, 0.49)
    assert at_thresholds(metric, [[(values, SQUARE)]], [0.5]) == [[1], [0], [0]]


def test_each_maps_own_rules_read_its_own_level():
    random = np.random.default_rng(3)
    images = [
        [((random.random((10, 12)) * 200).astype(np.uint8), np.array([[2, 2, 8, 9]]))]
        for _ in range(12)
    ]
    metric = MaxBoxAccV2(interval=0.01, percentile=60)
    found = table(metric, images)
    for rule in ("otsu", "percentile"):
        for k, criterion in enumerate(found.layout.criteria):
            expected_ = []
            for ((values, truth),) in images:
                level = own_level(values, rule)
                boxes = np.minimum(all_contours(values).at(level), (12, 10, 11, 9))
                hit = [overlap(box, truth[0]) >= IOUS[k] / 100 for box in boxes.tolist()]
                expected_.append(any(hit))
            assert found.right(criterion, rule).tolist() == expected_


def own_level(values, rule):
    if rule == "percentile":
        return next(n for n in range(256) if (values <= n).mean() * 100 >= 60)
    best = [0.0] * 256
    for n in range(256):
        low, high = values[values <= n], values[values > n]
        if low.size and high.size:
            best[n] = low.size * high.size * (low.mean() - high.mean()) ** 2
    return int(np.argmax(np.round(best, 6)))


def overlap(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0]) + 1
    height = min(a[3], b[3]) - max(a[1], b[1]) + 1
    common = max(width, 0) * max(height, 0)
    areas = [(c[2] - c[0] + 1) * (c[3] - c[1] + 1) for c in (a, b)]
    return common / (sum(areas) - common)


def test_a_class_without_its_map_leaves_no_figure():
    values = drawn(9)
    found = table(METRICS["multi"], [[(values, SQUARE), None], [(values, SQUARE)]])
    figures = METRICS["multi"].reduce(found, Figuring(Bootstrap()))
    assert figures.metrics == {}
    assert figures.absent["max_box_acc_v2"] == (
        "the true class's map is stored for 1 of 2 images; "
        "`camtool localize --labels` stores it for all"
    )


def test_tallies_are_the_right_rows_at_the_fixed_threshold():
    right, wrong = (drawn(200), SQUARE), (drawn(200), np.array([[5, 5, 5, 5]]))
    found = table(METRICS["multi"], [[right, wrong], [right]])
    tallies = METRICS["multi"].tallies(found, None).localization
    thirty, whole = tallies["max_box_acc_30"], tallies["max_box_acc_v2"]
    assert (thirty.events.tolist(), thirty.trials.tolist()) == ([1, 1], [2, 1])
    # The mean over three IoUs: one trial at each.
    assert (whole.events.tolist(), whole.trials.tolist()) == ([1, 1], [6, 3])


def test_thresholds_are_those_of_the_reference():
    lengths = [len(MaxBoxAcc(interval=i).layout(None).columns.thresholds) for i in (0.001, 0.01)]
    assert lengths == [1000, 100]
    assert MaxBoxAcc().layout(None).columns.thresholds[999] == pytest.approx(0.999)


@pytest.mark.parametrize("interval", [0.0, 0.6, 1e-6])
def test_intervals_that_make_no_curve(interval):
    with pytest.raises(SettingsError):
        MaxBoxAcc(interval=interval)


PROTOCOL = MaxBoxAccV2(interval=0.01)


def drawn_trials(images, seed=0, labels=None):
    """Images of one to three classes whose maps have any peak and are right at some levels."""
    random = np.random.default_rng(seed)
    layout, pairs = PROTOCOL.layout(None), []
    for number in range(images):
        rows = []
        for _ in range(random.integers(1, 4)):
            levels = np.zeros((3, 256), np.bool_)
            low, high = np.sort(random.integers(0, 256, 2))
            for k in range(3):
                levels[k, low + 9 * k : high - 9 * k] = True
            peak = int(random.choice([255, 200, 3]))
            hits = packed_hits(np.hstack((levels, levels[:, [int(0.2 * peak), 7, 9]])))
            rows.append(Trial(boxed=True, mapped=True, peak=peak, hits=hits))
        names = [f"{(labels or '_' * images)[number]}{k}" for k in range(len(rows))]
        objects = tuple(AnnotatedObject(name, BOX) for name in names)
        pairs.append((Annotation(f"i{number:03}", SIZE, objects), Outcome(rows)))
    return trials(layout, pairs), pairs


@pytest.mark.parametrize("letters", [None, "abcab" * 5])
@pytest.mark.parametrize("most", [60, 10**6])
def test_every_resample_of_images_chooses_its_threshold_anew(monkeypatch, letters, most):
    monkeypatch.setattr("camtool.metrics.intervals._MOST_WEIGHTS", most)
    found, pairs = drawn_trials(25, labels=letters)
    bootstrap = Bootstrap(samples=150, seed=4, stratify="class" if letters else "none")
    rates = PROTOCOL.rates(found, bootstrap)
    numbers = None if letters is None else np.array([ord(c) for c in letters]) - ord("a")
    drawn_ = []
    for weights in np.concatenate(list(bootstrap.weights(25, 150, numbers))):
        again = [pair for pair, n in zip(pairs, weights, strict=True) for _ in range(int(n))]
        assert len(again) == 25
        resample = trials(found.layout, again)
        drawn_.append(PROTOCOL.values(counts(resample), len(resample)))
    for name, rate in rates.items():
        wanted = np.percentile([values[name] for values in drawn_], (2.5, 97.5))
        assert rate.ci95 == pytest.approx(wanted, abs=1e-9)
        assert rate.value == PROTOCOL.values(counts(found), len(found))[name]


def test_the_curve_holds_every_value_that_a_threshold_gives():
    found, _ = drawn_trials(30, seed=2)
    shown = PROTOCOL.reduce(found, Figuring(Bootstrap(samples=100))).curves["box_accuracy"]
    assert list(shown.y) == ["IoU ≥ 0.3", "IoU ≥ 0.5", "IoU ≥ 0.7"]
    thresholds = found.layout.columns.thresholds
    assert len(shown.x) == len(distinct(found)) <= len(thresholds)
    x, right = np.array(shown.x), counts(found)
    for row, values in zip(right, shown.y.values(), strict=True):
        for place, threshold in enumerate(thresholds):
            at = int(np.searchsorted(x, threshold, side="right")) - 1
            assert values[at] == pytest.approx(100 * row[place] / len(found))
    oracle = [point.y for point in shown.points if point.label == "oracle"]
    assert oracle == [max(values) for values in shown.y.values()]


def test_intervals_do_not_depend_on_how_many_images_are_unpacked_at_once(monkeypatch):
    found, _ = drawn_trials(40, seed=5)
    rates = []
    for most in (1, 7, 1000):
        monkeypatch.setattr("camtool.metrics.thresholds._BLOCK", most)
        rates.append(PROTOCOL.rates(found, Bootstrap(samples=100)))
    assert rates[0] == rates[1] == rates[2]
    assert all(rate.ci95[0] < rate.ci95[1] for rate in rates[0].values())


def drawn_truths(count):
    random = np.random.default_rng(count)
    found = []
    for number in range(count):
        objects = []
        for label in "xyx"[: random.integers(1, 4)]:
            x, y = random.integers(0, 250), random.integers(0, 180)
            box = Box(float(x), float(y), float(x + random.integers(20, 250)), float(y + 190))
            objects.append(AnnotatedObject(label, box))
        found.append(Annotation(str(number), SIZE, (*objects, AnnotatedObject("z", None))))
    return found


def baselines_of(protocol, annotations, bootstrap):
    """The baselines of images whose own maps do not matter."""
    pairs = [
        (a, Outcome([Trial(boxed=bool(a.boxes(label))) for label in a.labels])) for a in annotations
    ]
    return protocol.baselines(trials(protocol.layout(None), pairs).located, bootstrap)


@pytest.mark.parametrize("protocol", [MaxBoxAcc(interval=0.01), MaxBoxAccV2(interval=0.01)])
@both_bodies
def test_the_gaussian_is_scored_as_if_it_were_every_image_s_map(protocol):
    annotations, values = drawn_truths(12), eight_bit(centred_gaussian())
    rates = baselines_of(protocol, annotations, Bootstrap(samples=100))
    every = []
    for truth in annotations:
        boxes = [[b.to_inclusive() for b in truth.boxes(label)] for label in truth.labels]
        every.append([(values, boxes_to_frame(of_class, SIZE)) for of_class in boxes if of_class])
    found = table(protocol, every)
    wanted = protocol.values(counts(found), len(found))
    assert {name: rate.value for name, rate in rates[GAUSSIAN].items()} == wanted
    assert {rate.n for rate in rates[GAUSSIAN].values()} == {len(found)}


@pytest.mark.parametrize("protocol", [MaxBoxAcc(), MaxBoxAccV2()])
def test_centred_boxes_by_a_plain_loop(protocol):
    annotations = drawn_truths(40)
    found = baselines_of(protocol, annotations, Bootstrap(samples=100))
    assert set(found) == {GAUSSIAN, *SIDES}
    for name, side in SIDES.items():
        low, high = int(FRAME * (1 - side) / 2), int(FRAME * (1 + side) / 2 - 1)
        square = {(x, y) for x in range(low, high + 1) for y in range(low, high + 1)}
        best = []
        for truth in annotations:
            for label in truth.labels:
                overlaps = []
                for box in truth.boxes(label):
                    x0, y0, x1, y1 = boxes_to_frame([box.to_inclusive()], SIZE)[0].tolist()
                    true = {(x, y) for x in range(x0, x1 + 1) for y in range(y0, y1 + 1)}
                    overlaps.append(len(true & square) / len(true | square))
                best += [max(overlaps)] if overlaps else []
        shares = [100 * sum(b >= iou / 100 for b in best) / len(best) for iou in IOUS]
        rates = found[name]
        assert [rates[f"max_box_acc_{iou}"].value for iou in IOUS] == pytest.approx(shares)
        whole = shares[1] if protocol.name == "maxboxacc" else sum(shares) / 3
        assert rates[protocol.whole].value == pytest.approx(whole)


def test_intervals_of_baselines_hold_the_figure_also_by_class():
    annotations = drawn_truths(60)
    for stratify in ("none", "class"):
        bootstrap = Bootstrap(samples=100, stratify=stratify)
        for by_metric in baselines_of(MaxBoxAccV2(), annotations, bootstrap).values():
            for rate in by_metric.values():
                assert rate.ci95[0] <= rate.value + 1e-9
                assert rate.value <= rate.ci95[1] + 1e-9
