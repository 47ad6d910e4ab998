from __future__ import annotations

import numpy as np
import pytest
from camtool.metrics.threshold_sweep import IOUS, ROWS, RULES, Sweep, SweptClass
from camtool.metrics.threshold_table import GT_KNOWN, ThresholdTable, best_plateau

SHARES = Sweep(step=0.1, fixed=0.2).shares()
COLUMNS = len(SHARES) + len(RULES)


def drawn(images: int, seed: int, lacking: float = 0.0):
    """Images with one to three classes; hits of each as the table keeps them, and as they are."""
    random = np.random.default_rng(seed)
    swept, plain = [], []
    for _ in range(images):
        classes, of_image = [], []
        for _ in range(random.integers(1, 4)):
            hits = random.random((ROWS, COLUMNS)) < 0.3
            rank = None if random.random() < 0.2 else int(random.integers(1, 7))
            name = f"n{random.integers(3)}"
            bits = None if random.random() < lacking else np.packbits(hits, axis=1).tobytes()
            classes.append(SweptClass(name, rank, bits))
            of_image.append((name, rank, hits if bits is not None else np.zeros_like(hits)))
        swept.append(tuple(classes))
        plain.append(of_image)
    return swept, plain


def counted(plain, n, row, column):
    """How many are right, class by class and image by image."""
    if n == GT_KNOWN:
        return sum(bool(h[row, column]) for image in plain for _, _, h in image)
    return sum(any(r is not None and r <= n and h[row, column] for _, r, h in im) for im in plain)


@pytest.mark.parametrize("n", [GT_KNOWN, 1, 2, 5])
@pytest.mark.parametrize("iou", [None, *IOUS])
@pytest.mark.parametrize("images", [1, 30])
def test_right_at_every_threshold(n, iou, images, monkeypatch):
    monkeypatch.setattr("camtool.metrics.threshold_table._AT_ONCE", 7)
    swept, plain = drawn(images, seed=n)
    place = 0 if iou is None else 1 + IOUS.index(iou)
    row = place + (1 + len(IOUS)) * (n == GT_KNOWN)
    expected = [counted(plain, n, row, column) for column in range(COLUMNS)]
    assert ThresholdTable(swept, SHARES).right(n, iou).tolist() == expected


@pytest.mark.parametrize("n", [GT_KNOWN, 1, 5])
def test_right_with_a_threshold_for_each_class(n):
    swept, plain = drawn(40, seed=3)
    table = ThresholdTable(swept, SHARES)
    chosen = {"n0": 0.5, "n1": 0.0}
    columns = {name: int(np.searchsorted(SHARES, chosen.get(name, 0.9))) for name in table.names}
    row = (1 + len(IOUS)) * (n == GT_KNOWN)
    own = [
        [(name, rank, hits[:, columns[name], None]) for name, rank, hits in image]
        for image in plain
    ]
    assert table.right_with(n, 0.9, chosen) == counted(own, n, row, 0)
    assert table.right_with(n, 0.5) == table.right(n)[SHARES.tolist().index(0.5)]


def test_right_of_a_class():
    swept, plain = drawn(40, seed=4)
    hits = [
        h[1 + len(IOUS), : len(SHARES)] for image in plain for name, _, h in image if name == "n1"
    ]
    assert ThresholdTable(swept, SHARES).of_class("n1").tolist() == np.sum(hits, 0).tolist()


def test_top_n_lacks_only_the_maps_that_it_needs():
    swept = [
        (SweptClass("a", 3, None),),
        (SweptClass("a", None, None), SweptClass("b", 1, bytes(2 * ROWS))),
    ]
    table = ThresholdTable(swept, SHARES)
    assert [table.lacking(n) for n in (GT_KNOWN, 1, 2, 3)] == [2, 0, 0, 1]
    assert (table.total(GT_KNOWN), table.total(1)) == (3, 2)


@pytest.mark.parametrize(
    ("right", "place"),
    [
        ([0, 0, 5, 0], 2),
        ([5, 5, 5, 1], 1),
        ([5, 1, 5, 5, 1], 2),  # the widest run, and of two middles the lower one
        ([5, 5, 1, 5, 5], 0),  # of runs of equal width the lower one
        ([1, 5, 5, 5, 5, 2, 5, 5], 2),
        ([0], 0),
    ],
)
def test_the_middle_of_the_widest_plateau(right, place):
    assert best_plateau(np.array(right)) == place


def test_shares_are_the_numbers_as_written():
    shares = Sweep(fixed=0.25).shares(0.333)
    assert shares.tolist() == sorted([*(k / 100 for k in range(100)), 0.333])
    assert Sweep(step=0.3).shares().tolist() == [0.0, 0.2, 0.3, 0.6, 0.9]
