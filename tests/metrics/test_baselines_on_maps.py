"""A centred Gaussian and centred boxes under the map protocols."""

from __future__ import annotations

import numpy as np
import pytest

from camtool.metrics.baselines import SIDES
from camtool.metrics.baselines_on_maps import (
    map_baselines,
    true_boxes,
)
from camtool.metrics.centred_gaussian import centred_gaussian
from camtool.metrics.confidence import Bootstrap
from camtool.metrics.map_protocols import MaxBoxAcc, MaxBoxAccV2
from camtool.metrics.max_box_acc import IOUS, BoxAccuracy, thresholds
from camtool.metrics.oracle import GAUSSIAN
from camtool.metrics.unit_frame import FRAME, boxes_to_frame, eight_bit
from camtool.structures import AnnotatedObject, Annotation, Box
from tests.kernels.bodies import body_of

SIZE = (500, 375)
BOOTSTRAP = Bootstrap(samples=100)


def drawn_truths(count):
    random = np.random.default_rng(count)
    truths = []
    for number in range(count):
        objects = []
        for label in "xyx"[: random.integers(1, 4)]:
            x, y = random.integers(0, 250), random.integers(0, 180)
            box = Box(float(x), float(y), float(x + random.integers(20, 250)), float(y + 190))
            objects.append(AnnotatedObject(label, box))
        truths.append(Annotation(str(number), SIZE, (*objects, AnnotatedObject("z", None))))
    return truths


def test_the_map_is_centred_round_and_spans_all_sizes():
    values = centred_gaussian()
    assert (values.shape, values.dtype) == ((FRAME, FRAME), np.float32)
    assert (values.min(), values.max()) == (0, 1)
    for turned in (values[::-1], values[:, ::-1], values.T):
        assert turned == pytest.approx(values, abs=1e-6)
    eight = eight_bit(values)
    widths = {int((eight[FRAME // 2] > level).sum()) for level in range(255)}
    assert max(widths) == FRAME
    assert min(widths) <= 20
    assert max(np.diff(sorted(widths))) <= 10


def test_another_shape_has_the_same_map_stretched():
    wide = centred_gaussian((56, 224))
    assert wide.shape == (56, 224)
    assert wide[:, 100].argmax() in (27, 28)
    assert wide[28].argmax() in (111, 112)


body = body_of("camtool.metrics.map_protocols", "camtool.metrics.level_hits")


@pytest.mark.parametrize("protocol", [MaxBoxAcc(interval=0.01), MaxBoxAccV2(interval=0.01)])
@pytest.mark.usefixtures("body")
def test_the_gaussian_is_scored_as_if_it_were_every_image_s_map(protocol):
    truths = drawn_truths(12)
    found = map_baselines(protocol, true_boxes(truths), BOOTSTRAP)
    accuracy = BoxAccuracy()
    for truth in truths:
        for label in truth.labels:
            if boxes := [box.to_inclusive() for box in truth.boxes(label)]:
                values = eight_bit(centred_gaussian())
                accuracy.update(protocol.level_hits(values, boxes_to_frame(boxes, SIZE)))
    expected = protocol.values(accuracy.compute(thresholds(0.01)))
    assert {name: rate.value for name, rate in found[GAUSSIAN].items()} == expected
    assert {rate.n for rate in found[GAUSSIAN].values()} == {len(accuracy)}


@pytest.mark.parametrize("protocol", [MaxBoxAcc(), MaxBoxAccV2()])
def test_centred_boxes_by_a_plain_loop(protocol):
    truths = drawn_truths(40)
    found = map_baselines(protocol, true_boxes(truths), BOOTSTRAP)
    assert set(found) == {GAUSSIAN, *SIDES}
    for name, side in SIDES.items():
        low, high = int(FRAME * (1 - side) / 2), int(FRAME * (1 + side) / 2 - 1)
        square = {(x, y) for x in range(low, high + 1) for y in range(low, high + 1)}
        best = []
        for truth in truths:
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


def test_intervals_hold_the_figure_also_by_class():
    truths = drawn_truths(60)
    labels = [truth.labels[0] for truth in truths]
    for strata in (None, labels):
        rates = map_baselines(MaxBoxAccV2(), true_boxes(truths), BOOTSTRAP, strata)
        for by_metric in rates.values():
            for rate in by_metric.values():
                assert rate.ci95[0] <= rate.value + 1e-9
                assert rate.value <= rate.ci95[1] + 1e-9
