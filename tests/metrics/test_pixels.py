from __future__ import annotations

import cv2
import numpy as np
import pytest

from camtool.metrics.pixels import (
    BINS,
    IGNORED,
    PixelCounts,
    average_precision,
    combine_masks,
    pixel_histogram,
)
from tests.kernels.bodies import take
from tests.metrics.wsol_golden import expected, maps, needs_golden, truths


@needs_golden
def test_the_figure_of_the_reference():
    counts = PixelCounts()
    for name in expected()["image_ids"]:
        foreground = np.zeros((224, 224), np.uint8)
        for x0, y0, x1, y1 in truths()[name]:
            foreground[y0 : y1 + 1, x0 : x1 + 1] = 1
        around = cv2.dilate(foreground, np.ones((9, 9), np.uint8)) > 0
        counts.update(maps()[name], combine_masks([foreground > 0], around))
    assert counts.compute() == pytest.approx(expected()["pxap"], abs=1e-9)


def reference(scores, labels):
    """The same by numpy's own histogram and a loop."""
    edges = np.append(np.arange(0, 1, 0.001), [1.0, 2.0, 3.0])
    true, _ = np.histogram(scores[labels == 1], edges)
    false, _ = np.histogram(scores[labels == 0], edges)
    area = tp = fp = recall = 0.0
    for t, f in zip(true[::-1], false[::-1], strict=True):
        tp, fp = tp + t, fp + f
        if tp + fp:
            area += tp / (tp + fp) * (tp / true.sum() - recall)
            recall = tp / true.sum()
    return 100 * area


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_against_numpy_histograms(dtype):
    random = np.random.default_rng(0)
    counts, scores, labels = PixelCounts(), [], []
    for _ in range(5):
        # Scores on, just below and just above the edges, and anything between.
        on_edge = random.integers(0, 1001, (40, 30)) / 1000
        shift = random.choice([-1e-16, 0, 1e-16, 1e-8, -1e-8, 4e-4], (40, 30))
        values = (on_edge + shift).clip(0, 1).astype(dtype)
        mask = random.choice(np.array([0, 1, IGNORED], np.uint8), (40, 30))
        counts.update(values, mask)
        scores.append(values.ravel())
        labels.append(mask.ravel())
    wanted = reference(np.concatenate(scores), np.concatenate(labels))
    assert counts.compute() == pytest.approx(wanted, abs=1e-9)


def test_small_cases_by_hand():
    counts = PixelCounts()
    counts.update(np.array([[0.9, 0.8], [0.2, 0.1]]), np.array([[1, 0], [1, 0]], np.uint8))
    # Recall rises to one half at precision 1 and to 1 at precision 2/3.
    assert counts.compute() == pytest.approx(100 * (1 / 2 + 1 / 3), abs=1e-12)
    perfect = PixelCounts()
    perfect.update(np.array([[1.0, 0.0]]), np.array([[1, 0]], np.uint8))
    assert perfect.compute() == 100.0


def test_ignored_pixels_do_not_count():
    counts = PixelCounts()
    counts.update(np.array([[0.5, 0.9]]), np.array([[1, IGNORED]], np.uint8))
    counts.update(np.array([[0.7]]), np.array([[IGNORED]], np.uint8))
    assert counts.compute() == 100.0


@pytest.mark.parametrize(
    ("values", "mask", "message"),
    [
        (np.zeros((2, 3)), np.zeros((3, 2)), "map of shape (2, 3), mask of shape (3, 2)"),
        (np.full((1, 2), np.nan), np.zeros((1, 2)), "the map's values are not all within [0, 1]"),
        (np.full((1, 2), 1.5), np.zeros((1, 2)), "the map's values are not all within [0, 1]"),
        (np.full((1, 2), -0.1), np.zeros((1, 2)), "the map's values are not all within [0, 1]"),
    ],
)
def test_what_cannot_be_counted(values, mask, message):
    with pytest.raises(ValueError) as caught:
        PixelCounts().update(values, mask.astype(np.uint8))
    assert str(caught.value) == message


def test_without_foreground():
    counts = PixelCounts()
    counts.update(np.zeros((2, 2)), np.zeros((2, 2), np.uint8))
    with pytest.raises(ValueError) as caught:
        counts.compute()
    assert str(caught.value) == "PxAP needs at least one foreground pixel"


def test_masks_are_joined_and_the_ignore_region_gives_way():
    a, b = np.array([[1, 0, 0, 0]]) > 0, np.array([[0, 1, 0, 0]]) > 0
    ignore = np.array([[0, 1, 1, 0]]) > 0
    assert combine_masks([a, b], ignore).tolist() == [[1, 1, 255, 0]]
    assert combine_masks([a]).tolist() == [[1, 0, 0, 0]]


def test_masks_that_do_not_fit():
    with pytest.raises(ValueError) as caught:
        combine_masks([])
    assert str(caught.value) == "an image needs at least one mask"
    with pytest.raises(ValueError) as caught:
        combine_masks([np.zeros((2, 3), bool)], np.zeros((3, 2), bool))
    assert str(caught.value) == "masks of different shapes: [(2, 3), (3, 2)]"


def test_without_compiled_code_the_same(monkeypatch):
    random = np.random.default_rng(2)
    values = (random.integers(0, 1001, (50, 60)) / 1000).astype(np.float32)
    mask = random.choice(np.array([0, 1, IGNORED], np.uint8), (50, 60))
    found = []
    for body in ("compiled", "plain"):
        with monkeypatch.context() as patch:
            take(patch, body, "camtool.metrics.pixels")
            found.append(pixel_histogram(values, mask))
    compiled, plain = found
    assert (compiled == plain).all()
    assert compiled.sum() == (mask <= 1).sum()


def test_many_sets_at_once():
    random = np.random.default_rng(3)
    counts = random.integers(0, 50, (4, 5, 2, BINS))
    found = average_precision(counts)
    assert found.shape == (4, 5)
    one = PixelCounts()
    one.add(counts[2, 3])
    assert 100 * found[2, 3] == pytest.approx(one.compute(), abs=1e-12)
    counts[0, 0, 1] = 0
    assert np.isnan(average_precision(counts)[0, 0])


def test_the_curve_by_hand():
    counts = PixelCounts()
    counts.update(np.array([[0.9, 0.8], [0.2, 0.1]]), np.array([[1, 0], [1, 0]], np.uint8))
    curve = counts.curve()
    assert curve.x == (50.0, 100.0)
    ((line, precision),) = curve.y.items()
    assert line == "all pixels, PxAP 83.33"
    assert precision == pytest.approx((100.0, 200 / 3))
    # A map without information finds foreground as often as there is some.
    assert [(level.line, level.y) for level in curve.levels] == [(line, 50.0)]
    flat = PixelCounts()
    flat.update(np.zeros((2, 2)), np.array([[1, 0], [1, 0]], np.uint8))
    assert flat.compute() == 50.0
