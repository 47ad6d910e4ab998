"""All contours of all levels, against cv2.findContours mask by mask."""

from __future__ import annotations

import threading

import cv2
import numpy as np
import pytest

from camtool.kernels import LEVELS, all_contours, largest_contours

# Whatever was called before, these are compiled.
contours, largest = all_contours.compiled, largest_contours.compiled


def boxes_by_opencv(mask, largest=False):
    """Half-open boxes of the contours of one mask, as the reference program gets them, sorted."""
    found, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
    if found and largest:
        found = [max(found, key=cv2.contourArea)]
    rectangles = [cv2.boundingRect(contour) for contour in found]
    return sorted([x, y, x + w, y + h] for x, y, w, h in rectangles)


def scaled(values):
    span = float(np.ptp(values))
    return ((values - values.min()) * (255 / span if span else 0)).astype(np.uint8)


def smooth(random, h, w):
    cells = random.random(tuple(random.integers(2, 9, 2)), dtype=np.float32)
    return scaled(cv2.resize(cells, (w, h), interpolation=cv2.INTER_CUBIC))


def blurred(random, h, w):
    return scaled(cv2.GaussianBlur(random.random((h, w), dtype=np.float32), (5, 5), 1))


def noise(random, h, w):
    return random.integers(0, 256, (h, w), dtype=np.uint8)


def few_values(random, h, w):
    return random.choice(np.array([0, 1, 127, 254, 255], np.uint8), (h, w))


def plateaus(random, h, w):
    cells = random.integers(0, 256, (4, 4), dtype=np.uint8)
    return cv2.resize(cells, (w, h), interpolation=cv2.INTER_NEAREST)


def binary(random, h, w):
    return (random.random((h, w)) < random.choice([0.2, 0.5, 0.6, 0.8])).astype(np.uint8) * 255


def one_pixel(random, h, w):
    values = np.zeros((h, w), np.uint8)
    values[random.integers(h), random.integers(w)] = random.integers(256)
    return values


def full(random, h, w):
    return np.full((h, w), random.integers(256), np.uint8)


# Levels in steps: every level where neighbouring ones differ, few where they are all alike.
KINDS = {
    smooth: (150, 2),
    blurred: (100, 3),
    noise: (150, 2),
    few_values: (150, 7),
    plateaus: (150, 5),
    binary: (400, 60),
    one_pixel: (60, 25),
    full: (60, 25),
}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_random_maps_have_the_contours_of_opencv(kind):
    maps, step = KINDS[kind]
    random = np.random.default_rng(list(KINDS).index(kind))
    for number in range(maps):
        values = kind(random, *map(int, random.integers(1, 41, 2)))
        every, most = contours(values), largest(values)
        for level in range(0, LEVELS, step):
            mask = values > level
            place = (number, values.shape, level)
            assert sorted(every.at(level).tolist()) == boxes_by_opencv(mask), place
            assert most.at(level).tolist() == boxes_by_opencv(mask, largest=True), place


def test_at_least_fifty_thousand_masks_are_compared():
    assert sum(maps * len(range(0, LEVELS, step)) for maps, step in KINDS.values()) >= 50_000


@pytest.mark.parametrize("cells", [7, 14, 28])
def test_maps_of_the_benchmark_size(cells):
    random = np.random.default_rng(cells)
    grid = random.random((cells, cells), dtype=np.float32)
    values = scaled(cv2.resize(grid, (224, 224), interpolation=cv2.INTER_CUBIC))
    every, most = contours(values), largest(values)
    for level in range(0, LEVELS, 4):
        assert sorted(every.at(level).tolist()) == boxes_by_opencv(values > level)
        assert most.at(level).tolist() == boxes_by_opencv(values > level, largest=True)


def drawing(*rows):
    return np.array([[255 * (c == "#") for c in row] for row in rows], np.uint8)


def test_ring_and_bar():
    values = np.zeros((40, 40), np.uint8)
    values[2:12, 3:13] = 255
    values[4:10, 5:11] = 0  # a 10×10 ring, hole 6×6: 64 pixels, contour area 81
    values[20:25, 10:26] = 255  # a 16×5 bar: 80 pixels, contour area 60
    assert largest(values).at(0).tolist() == [[3, 2, 13, 12]]
    assert sorted(contours(values).at(0).tolist()) == [
        [3, 2, 13, 12],
        [4, 3, 12, 11],  # the hole's contour: the hole grown by one
        [10, 20, 26, 25],
    ]


def test_among_equal_areas_the_last_first_pixel_in_raster_order_wins():
    values = drawing("##...##", "##...##", ".......", "##.##..", "##.##..")
    assert largest(values).at(0).tolist() == [[3, 3, 5, 5]]


def test_a_hole_as_large_as_its_component_does_not_win():
    # The tail makes the component's box larger than the hole's, but encloses nothing.
    values = drawing("..#..", "..#..", ".#.#.", "..#..")
    assert sorted(contours(values).at(0).tolist()) == [[1, 0, 4, 4], [1, 1, 4, 4]]
    assert largest(values).at(0).tolist() == [[1, 0, 4, 4]]


def test_background_at_the_border_is_no_hole():
    assert contours(drawing("#.#", "###", "#.#")).at(0).tolist() == [[0, 0, 3, 3]]
    assert len(contours(drawing("####", "#.##", "####")).at(0)) == 2


def test_levels_without_pixels_have_no_contour():
    values = np.full((5, 7), 9, np.uint8)
    kernels = (all_contours, largest_contours)
    for found in (of(values) for k in kernels for of in (k.compiled, k.plain)):
        assert found.at(8).tolist() == [[0, 0, 7, 5]]
        assert found.at(9).tolist() == []
    assert len(contours(np.zeros((5, 7), np.uint8)).boxes) == 0
    assert len(largest(np.zeros((1, 1), np.uint8)).boxes) == 0


@pytest.mark.parametrize("kernel", [all_contours, largest_contours])
def test_plain_contours_are_the_same(kernel):
    values = smooth(np.random.default_rng(5), 33, 50)
    plain, swept = kernel.plain(values), kernel.compiled(values)
    for level in range(LEVELS + 1):
        assert sorted(plain.at(level).tolist()) == sorted(swept.at(level).tolist())


def test_a_map_that_is_not_contiguous():
    values = noise(np.random.default_rng(1), 20, 60)[:, ::3]
    assert sorted(contours(values).at(99).tolist()) == boxes_by_opencv(values > 99)


def test_threads_do_not_disturb_each_other():
    random = np.random.default_rng(0)
    maps = [blurred(random, 60, 70) for _ in range(24)]
    expected = [contours(values).boxes.tolist() for values in maps]
    found = {}

    def work(first):
        for i in range(first, len(maps), 3):
            found[i] = contours(maps[i]).boxes.tolist()

    threads = [threading.Thread(target=work, args=(first,)) for first in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[i] for i in range(len(maps))] == expected


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((3, 4)), "not an 8-bit map: float64 of shape (3, 4)"),
        (np.zeros((3, 4, 1), np.uint8), "not an 8-bit map: uint8 of shape (3, 4, 1)"),
        (np.zeros((0, 4), np.uint8), "not an 8-bit map: uint8 of shape (0, 4)"),
    ],
)
def test_what_is_no_map(values, message):
    for function in (contours, largest, all_contours.plain, largest_contours.plain):
        with pytest.raises(ValueError) as caught:
            function(values)
        assert str(caught.value) == message
