"""What the figures show, that their bytes depend on the data alone, and how mistakes end."""

from __future__ import annotations

import itertools
import struct
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from defusedxml import ElementTree
from matplotlib.colors import to_hex

from camtool.errors import RunError, SettingsError
from camtool.evaluation.result import Counts, Evaluation
from camtool.metrics.curves import Bars, Curve, Histogram, Level, Point
from camtool.metrics.intervals import Rate
from camtool.reports.plots import (
    COLOURS,
    Heading,
    draw_accuracy,
    draw_bars,
    draw_histogram,
    draw_precision_recall,
    write_figure,
    write_plots,
)

HEADING = Heading("maxboxacc: box accuracy, n = 40", "hit: IoU >= 0.5 · frame: 224×224 " * 6)

ACCURACY = Curve(
    (0.0, 0.25, 0.5),
    {"IoU ≥ 0.3": (50.0, 80.0, 70.0), "IoU ≥ 0.5": (40.0, 62.5, 10.0)},
    "threshold",
    "box accuracy, %",
    (Point("IoU ≥ 0.3", 0.25, 80.0, "oracle"), Point("IoU ≥ 0.5", 0.5, 10.0, "fixed")),
    (Level("IoU ≥ 0.3", 60.0, "Gaussian"), Level("IoU ≥ 0.5", 45.0, "Gaussian")),
)
RECALL = Curve((0.0, 0.5, 1.0), {"maps": (1.0, 0.8, 0.2)}, "recall", "precision")
BARS = Bars(
    ("all images", "small", "large"),
    {"right": (50.0, 20.0, 80.0), "too large": (47.0, 75.0, 20.0), "other": (3.0, 5.0, 0.0)},
    (1000, 500, 500),
)
HISTOGRAM = Histogram((0.0, 0.25, 0.5, 1.0), (3, 1, 7), "IoU", {"right from": 0.5})

FIGURES = {
    "accuracy": lambda: draw_accuracy(ACCURACY, HEADING),
    "recall": lambda: draw_precision_recall(RECALL, HEADING),
    "bars": lambda: draw_bars(BARS, HEADING),
    "histogram": lambda: draw_histogram(HISTOGRAM, HEADING),
}


def texts(figure):
    return [text.get_text() for text in figure.findobj(lambda a: hasattr(a, "get_text"))]


@pytest.mark.parametrize("name", FIGURES)
def test_the_ending_gives_the_form_and_the_data_the_bytes(tmp_path, name):
    for form in (".png", ".svg", ".pdf"):
        one, two = tmp_path / f"one{form}", tmp_path / f"two{form}"
        write_figure(FIGURES[name](), one)
        write_figure(FIGURES[name](), two)
        assert one.read_bytes() == two.read_bytes()
    head = (tmp_path / "one.png").read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", head[16:24])
    assert width == 1320
    assert 400 <= height <= 1200
    root = ElementTree.fromstring((tmp_path / "one.svg").read_bytes())
    assert root.tag.endswith("}svg")
    assert b"dc:date" not in (tmp_path / "one.svg").read_bytes()
    assert (tmp_path / "one.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize("name", FIGURES)
def test_the_picture_lies_on_the_paper_under_its_title(name):
    figure = FIGURES[name]()
    figure.draw_without_rendering()
    paper = figure.bbox
    (axes,) = figure.axes
    around = axes.get_tightbbox()
    assert figure.get_suptitle() == HEADING.title
    assert "hit: IoU" not in "".join(texts(figure))
    assert paper.x0 - 1 <= around.x0 < around.x1 <= paper.x1 + 1
    assert paper.y0 - 1 <= around.y0 < around.y1 <= paper.y1 + 1


def test_labels_of_near_points_do_not_cover_each_other():
    places = [(0.25, 61.0, "oracle"), (0.26, 60.0, "fixed"), (0.25, 60.5, "stored")]
    points = tuple(Point("IoU ≥ 0.5", *place) for place in places)
    figure = draw_accuracy(replace(ACCURACY, points=points), HEADING)
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert len(boxes) == 3
    pairs = itertools.combinations(boxes, 2)
    assert not any(one.overlaps(other) for one, other in pairs)


def test_accuracy_against_threshold():
    (axes,) = draw_accuracy(ACCURACY, HEADING).axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("threshold", "box accuracy, %")
    steps = {line.get_label(): line for line in axes.lines if line.get_label() in ACCURACY.y}
    assert list(steps) == ["IoU ≥ 0.3", "IoU ≥ 0.5"]
    for (label, line), colour in zip(steps.items(), COLOURS, strict=False):
        # A value holds up to the next threshold, the last one to the end.
        assert line.get_drawstyle() == "steps-post"
        assert line.get_xdata().tolist() == [0, 0.25, 0.5, 1]
        assert line.get_ydata().tolist() == [*ACCURACY.y[label], ACCURACY.y[label][-1]]
        assert to_hex(line.get_color()).upper() == colour
    dots = [line for line in axes.lines if line.get_marker() == "o"]
    assert [(d.get_xdata()[0], d.get_ydata()[0]) for d in dots] == [(0.25, 80), (0.5, 10)]
    assert [d.get_markerfacecolor() == "white" for d in dots] == [False, True]
    dashed = [line for line in axes.lines if line.get_linestyle() == "--"]
    assert [(d.get_ydata()[0], d.get_color()) for d in dashed] == [
        (60.0, COLOURS[0]), (45.0, COLOURS[1]),
    ]  # fmt: skip
    shown = texts(axes)
    assert {"80.0", "10.0"} <= set(shown)
    assert {"oracle threshold", "fixed threshold", "Gaussian"} <= set(shown)


def test_precision_against_recall():
    (axes,) = draw_precision_recall(RECALL, HEADING).axes
    (line,) = axes.lines
    assert line.get_xdata().tolist() == [0, 0.5, 1]
    assert line.get_ydata().tolist() == [1, 0.8, 0.2]
    assert axes.get_xlim() == (0, 1)
    percent = Curve((0.0, 100.0), {"maps": (90.0, 20.0)}, "recall, %", "precision, %")
    (axes,) = draw_precision_recall(percent, HEADING).axes
    assert axes.get_xlim() == (0, 100)


def test_kinds_of_error():
    (axes,) = draw_bars(BARS, HEADING).axes
    stacks = {c.get_label(): [(p.get_x(), p.get_width()) for p in c] for c in axes.containers}
    assert stacks == {
        "right": [(0, 50), (0, 20), (0, 80)],
        "too large": [(50, 47), (20, 75), (80, 20)],
        "other": [(97, 3), (95, 5), (100, 0)],
    }
    labels = [tick.get_text() for tick in axes.get_yticklabels()]
    assert labels == ["all images  (n = 1,000)", "small  (n = 500)", "large  (n = 500)"]
    assert axes.yaxis_inverted()
    inside = [text.get_text() for text in axes.texts]
    assert inside == ["50", "20", "80", "47", "75", "20"]  # narrow parts have none


def test_histogram():
    (axes,) = draw_histogram(HISTOGRAM, HEADING, "pairs").axes
    (steps,) = axes.patches
    values, edges, _ = steps.get_data()
    assert (tuple(values), tuple(edges)) == (HISTOGRAM.counts, HISTOGRAM.edges)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("IoU", "pairs")
    limits = [line.get_xdata()[0] for line in axes.lines if line.get_linestyle() == "--"]
    assert limits == [0.5]
    assert "right from" in texts(axes)


def test_data_of_unequal_length_is_a_wrong_call():
    with pytest.raises(ValueError, match="line a: 1 values for 2 places"):
        Curve((0.0, 1.0), {"a": (1.0,)}, "x", "y")
    with pytest.raises(ValueError, match="right: 1 values for 2 groups"):
        Bars(("a", "b"), {"right": (1.0,)}, (1, 2))
    with pytest.raises(ValueError, match="counts: 1 values for 2 groups"):
        Bars(("a", "b"), {"right": (1.0, 2.0)}, (1,))
    with pytest.raises(ValueError, match="2 bins have 3 edges, not 2"):
        Histogram((0.0, 1.0), (1, 2), "x")


def evaluation(**more):
    return Evaluation(
        "maxboxacc", {"hit": "IoU >= 0.5", "guess_box": "the largest"}, Counts(40, 40, 40, {}),
        {"max_box_acc": Rate(62.5, (50, 75), 40)}, {}, {}, **more,
    )  # fmt: skip


def test_files_of_an_evaluation(tmp_path):
    curves = {"box_accuracy": ACCURACY, "precision_recall": RECALL, "unknown": RECALL}
    written = write_plots(evaluation(curves=curves), tmp_path / "new" / "plots")
    names = [
        f"{name}.{form}"
        for name in ("box_accuracy", "precision_recall")
        for form in ("png", "svg", "pdf")
    ]
    assert [path.name for path in written] == names
    captions = ["box_accuracy.txt", "precision_recall.txt"]
    folder = tmp_path / "new" / "plots"
    assert sorted(p.name for p in folder.iterdir()) == sorted(names + captions)
    assert (folder / captions[0]).read_text().splitlines() == [
        "maxboxacc: box accuracy against threshold, n = 40",
        "hit: IoU >= 0.5 · guess box: the largest",
    ]
    assert write_plots(evaluation(), tmp_path / "none") == []


def test_files_that_cannot_be(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="file: cannot be written: a file of that name is in"):
        write_plots(evaluation(curves={"box_accuracy": ACCURACY}), tmp_path / "file")
    with pytest.raises(SettingsError, match=r"x\.jpg: figures are written as \.png or"):
        write_figure(FIGURES["recall"](), tmp_path / "x.jpg")


def test_through_the_command_line(tmp_path):
    from tests.commands import run_here

    maps = {f"i{n}": np.random.default_rng(n).random((5, 7)) for n in range(3)}
    np.savez(tmp_path / "maps.npz", **maps)
    inside = "".join(
        f"<annotation><filename>{name}</filename><size><width>70</width><height>50</height></size>"
        "<object><name>n0</name><bndbox><xmin>9</xmin><ymin>9</ymin><xmax>50</xmax>"
        "<ymax>45</ymax></bndbox></object></annotation>"
        for name in maps
    )
    (tmp_path / "boxes.xml").write_text(f"<all>{inside}</all>")
    given = ("eval", "--predictions", tmp_path / "maps.npz", "--boxes", tmp_path / "boxes.xml")
    ran = run_here(*given, "--protocol", "maxboxacc", "--plots", tmp_path / "plots")
    assert ran.code == 0
    assert ran.err.startswith("plots, each as PNG, SVG, PDF with its caption: ")
    assert "MaxBoxAcc" in ran.out
    assert (tmp_path / "plots" / "box_accuracy.svg").is_file()
    refused = run_here(
        *given, "--protocol", "maxboxacc", "--plots", tmp_path / "boxes.xml", "-o", tmp_path / "x"
    )
    assert refused.code == 6
    assert "boxes.xml: cannot be written" in refused.err
    assert (tmp_path / "x").is_file()  # the figures are not lost


def test_matplotlib_is_imported_only_to_draw():
    code = (
        "import sys; import camtool.evaluation.evaluate, camtool.reports.evaluation;"
        "import camtool.cli.group;"
        "import camtool.reports.comparison; sys.exit('matplotlib' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
