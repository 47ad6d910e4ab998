"""The table of trials: what is packed comes out again, and every count is that of plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest

from camtool.metrics import Criterion
from camtool.metrics.outcome import ABSENT, NEVER, Columns, Layout, Outcome, Trial, packed_hits
from camtool.metrics.thresholds import Sweep, Swept, best_plateau
from camtool.metrics.trials import GT_KNOWN
from camtool.structures import AnnotatedObject, Annotation, Box
from tests.builders import trials

BOX = Box(0, 0, 10, 10)
CRITERIA = (Criterion(0.3), Criterion(0.5), Criterion(0.5, above=True))
LAYOUT = Layout(CRITERIA, Columns(Sweep(step=0.1).thresholds(), ("otsu", "percentile", "run")))
COLUMNS = len(LAYOUT.columns)


def drawn(images: int, seed: int, lacking: float = 0.0):
    """Images with one to three classes: the table, and for each row what it was made of."""
    random = np.random.default_rng(seed)
    outcomes, plain = [], []
    for number in range(images):
        rows, of_image = [], []
        labels = random.permutation(["n0", "n1", "n2"])[: random.integers(1, 4)].tolist()
        for label in labels:
            hits = random.random((len(CRITERIA), COLUMNS)) < 0.3
            rank = NEVER if random.random() < 0.2 else int(random.integers(1, 7))
            row = Trial(boxed=random.random() < 0.9, rank=rank, mapped=random.random() >= lacking)
            row.hits = packed_hits(hits) if row.mapped else b""
            rows.append(row)
            of_image.append((label, rank, row, hits if row.mapped else np.zeros_like(hits)))
        objects = tuple(AnnotatedObject(i, BOX if r.boxed else None) for i, _, r, _ in of_image)
        outcomes.append((Annotation(f"i{number:03}", (100, 80), objects), Outcome(rows)))
        plain.append([one for one in of_image if one[2].boxed])
    return trials(LAYOUT, outcomes).located, [image for image in plain if image]


def counted(plain, n, criterion, column):
    """How many are right, row by row and image by image."""
    if n == GT_KNOWN:
        return sum(bool(h[criterion, column]) for image in plain for *_, h in image)
    return sum(any(r <= n and h[criterion, column] for _, r, _, h in image) for image in plain)


@pytest.mark.parametrize("n", [GT_KNOWN, 1, 2, 5])
@pytest.mark.parametrize("criterion", range(3))
@pytest.mark.parametrize("images", [2, 30])
def test_counts_of_every_column(n, criterion, images, monkeypatch):
    monkeypatch.setattr("camtool.metrics.trials._AT_ONCE", 7)
    table, plain = drawn(images, seed=n)
    expected = [counted(plain, n, criterion, column) for column in range(COLUMNS)]
    assert table.counts(CRITERIA[criterion], n).tolist() == expected
    assert table.total(n) == (len(plain) if n else sum(map(len, plain)))
    percent = Swept(table, CRITERIA[criterion], n, error=True).percent
    assert percent == pytest.approx(100 - 100 * np.array(expected) / table.total(n))


@pytest.mark.parametrize("column", ["run", "otsu", 0.3, 0.0, 0.9])
def test_one_column(column):
    table, plain = drawn(20, seed=8)
    place = LAYOUT.columns.place(column)
    expected = [bool(h[1, place]) for image in plain for *_, h in image]
    assert table.right(CRITERIA[1], column).tolist() == expected


def test_a_column_that_is_not_there():
    with pytest.raises(ValueError, match=r"0\.35 is none of the thresholds"):
        LAYOUT.columns.place(0.35)
    with pytest.raises(ValueError, match="calibrated"):
        LAYOUT.columns.place("calibrated")


def test_the_choice_reads_the_columns_and_the_oracle_is_the_lowest_of_equals():
    table, plain = drawn(30, seed=3)
    counts = [counted(plain, GT_KNOWN, 1, column) for column in range(COLUMNS)]
    choice = Swept(table, CRITERIA[1]).choice({"otsu": "each map's"}, "otsu")
    swept = counts[: len(LAYOUT.columns.thresholds)]
    assert choice.oracle == LAYOUT.columns.thresholds[swept.index(max(swept))]
    assert choice.oracle_value == pytest.approx(100 * max(swept) / len(table))
    assert choice.deployable_value == pytest.approx(100 * counts[-3] / len(table))
    assert choice.gap == choice.oracle_value - choice.deployable_value


def test_top_n_lacks_only_the_maps_that_it_needs():
    def row(rank, mapped):
        return Trial(boxed=True, rank=rank, mapped=mapped)

    def image(name, *labels):
        return Annotation(name, (9, 9), tuple(AnnotatedObject(i, Box(0, 0, 9, 9)) for i in labels))

    table = trials(LAYOUT, [
        (image("a", "x"), Outcome([row(3, mapped=False)])),
        (image("b", "x", "y"), Outcome([row(NEVER, mapped=False), row(1, mapped=True)])),
    ])  # fmt: skip
    assert [table.without_map(n) for n in (GT_KNOWN, 1, 2, 3)] == [2, 0, 0, 1]
    assert (table.total(GT_KNOWN), table.total(1)) == (3, 2)


def test_a_row_is_read_as_it_was_written():
    row = Trial(
        boxed=True, rank=3, place=7, predicted=True, mapped=True, target=True, kind=4, largest=1,
        pointing=2, peak=255, iou=1 / 3, area=1e9, hits=packed_hits(np.eye(3, COLUMNS) > 0),
        name="n9",
    )  # fmt: skip
    bare = Trial(boxed=False)
    objects = AnnotatedObject("cat", Box(0, 0, 9, 9)), AnnotatedObject(7, None)
    outcome = Outcome([row, bare], ranks=5, guesses=4, top1=2)
    table = trials(LAYOUT, [(Annotation("a", (9, 9), objects), outcome)])
    for name in ("rank", "place", "kind", "largest", "pointing", "peak", "iou", "area"):
        assert table.table[name][0] == getattr(row, name)
    for name in ("boxed", "predicted", "mapped", "target"):
        assert table.flag(name).tolist() == [True, False]
    assert (table.labels, table.names) == (["cat", 7], ["n9", "7"])
    assert [table.right(c, 0.0)[0] for c in CRITERIA] == [True, False, False]
    assert (table.table["rank"][1], table.table["kind"][1]) == (NEVER, ABSENT)
    assert math.isnan(table.table["iou"][1])
    assert table.images[["ranks", "guesses", "top1"]].tolist() == [(5, 4, 2)]
    assert not table.images["complete"][0]


def test_the_table_of_some_images_is_that_of_these_images():
    whole, _ = drawn(12, seed=5)
    kept = np.arange(12) % 3 > 0
    part = whole.of_images(kept[: len(whole.truths)])
    ids = [truth.image_id for truth in whole.truths]
    assert [t.image_id for t in part.truths] == [i for i, k in zip(ids, kept, strict=False) if k]
    rows = np.repeat(kept[: len(ids)], whole.numbers)
    assert part.table.tobytes() == whole.table[rows].tobytes()
    assert part.labels == [i for i, row in zip(whole.labels, rows, strict=True) if row]
    assert len(part) == part.numbers.sum()
    assert whole.of_images(np.ones(len(ids), np.bool_)) is whole


def test_images_without_rows_stay_images():
    objects = (AnnotatedObject("cat", None),)
    outcome = Outcome([Trial(boxed=False, rank=1, place=2)])
    table = trials(LAYOUT, [(Annotation("a", (9, 9), objects), outcome)], lambda _: True)
    assert table.first_rank("rank").tolist() == [1]
    located = table.located
    assert (len(located), located.numbers.tolist()) == (0, [0])
    assert located.first_rank("place").tolist() == [NEVER]
    assert located.counts(CRITERIA[0]).tolist() == [0] * COLUMNS


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


def test_thresholds_are_the_numbers_as_written():
    thresholds = Sweep(fixed=0.25).thresholds(0.333)
    assert thresholds.tolist() == sorted([*(k / 100 for k in range(100)), 0.333])
    assert Sweep(step=0.3).thresholds().tolist() == [0.0, 0.2, 0.3, 0.6, 0.9]


@pytest.mark.parametrize("n", [GT_KNOWN, 1, 3])
def test_bits_by_level_are_read_at_each_rows_own_peak(n, monkeypatch):
    monkeypatch.setattr("camtool.metrics.trials._AT_ONCE", 5)
    random = np.random.default_rng(n)
    layout = Layout(CRITERIA, Columns(np.arange(0, 1, 0.001), ("fixed", "otsu"), 256))
    objects, outcomes, plain = (AnnotatedObject("x", BOX), AnnotatedObject("y", BOX)), [], []
    for number in range(17):
        rows, of_image = [], []
        for _ in objects:
            bits, peak = random.random((3, 258)) < 0.4, int(random.choice([0, 3, 200, 255]))
            rank = int(random.integers(1, 6))
            hits = packed_hits(bits)
            rows.append(Trial(boxed=True, mapped=True, rank=rank, peak=peak, hits=hits))
            levels = (layout.columns.thresholds * peak).astype(int)
            of_image.append(("", rank, None, np.hstack((bits[:, levels], bits[:, 256:]))))
        outcomes.append((Annotation(f"i{number:03}", (100, 80), objects), Outcome(rows)))
        plain.append(of_image)
    table = trials(layout, outcomes)
    expected = [counted(plain, n, 1, column) for column in range(1002)]
    assert table.counts(CRITERIA[1], n).tolist() == expected
    for column, place in ((0.5, 500), (0.0, 0), ("otsu", 1001)):
        hits = [bool(h[1, place]) for image in plain for *_, h in image]
        assert table.right(CRITERIA[1], column).tolist() == hits
    places = np.array([3, 999, 1000])
    read = np.concatenate([hits for _, hits in table.blocks(CRITERIA[2], places, 4)])
    assert read.tolist() == [h[2, places].astype(int).tolist() for im in plain for *_, h in im]
