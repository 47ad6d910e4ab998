from __future__ import annotations

import pytest

from camtool.annotations import CsvBoxes, CsvLabels, read_annotations, read_labels
from camtool.errors import AnnotationError


def found(result):
    return {
        k: [(o.label, o.box and o.box.xyxy) for o in a.objects]
        for k, a in result.annotations.items()
    }


@pytest.mark.parametrize(
    "text",
    [
        "image,x0,y0,x1,y1,label\na.jpg,1,2,3,4,cat\nsub/b.c.PNG,5,6,7,8,7\n",
        "file;xmin;ymin;xmax;ymax;class\r\na.jpg;1;2;3;4;cat\r\nsub/b.c.PNG;5;6;7;8;7\r\n",
        "y1\ty0\tx1\tx0\twnid\tpath\n4\t2\t3\t1\tcat\ta.jpg\n8\t6\t7\t5\t7\tsub/b.c.PNG\n",
        "\ufeffFileName,xmin,ymin,xmax,ymax,name\n\na.jpg,1,2,3.0,4,cat\nsub/b.c.PNG,5,6,7,8e0,7",
        "a.jpg,1,2,3,4,cat\nsub/b.c.PNG,5,6,7,8,7\n",
    ],
)
def test_boxes(text, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(text, newline="")
    result = read_annotations(path)
    assert result.format == "csv"
    assert found(result) == {"a": [("cat", (1, 2, 4, 5))], "sub/b.c": [(7, (5, 6, 8, 9))]}
    assert (result.problems, result.warnings) == ([], [])
    assert found(read_labels(path)) == found(result)


@pytest.mark.parametrize(
    ("corners", "expected"),
    [("inclusive", (1, 2, 4, 5)), ("half-open", (1, 2, 3, 4)), ("one-based", (0, 1, 3, 4))],
)
def test_corners(corners, expected, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("image,x0,y0,x1,y1\na.jpg,1,2,3,4\n")
    result = read_annotations(path, CsvBoxes(corners=corners))
    assert found(result) == {"a": [("", expected)]}
    assert result.warnings == [f"{path}:2: a box without a class"]


def test_bad_row_leaves_its_image_out(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(
        "image,x0,y0,x1,y1,label\na.jpg,1,2,3,4,x\nb.jpg,1,2,3,4,x\nb.jpg,5,2,3,4,x\n"
        "c.jpg,1,2\n,1,2,3,4,x\nd.jpg,1,2,nan,4,x\n"
    )
    result = read_annotations(path)
    assert list(result.annotations) == ["a"]
    assert [str(p) for p in result.problems] == [
        f"{path}:6: no image name in this row",
        f"{path}:4: xmax (3) is less than xmin (5)",
        f"{path}:5: 3 fields, at least 5 needed",
        f"{path}:7: x1 is not a number: nan",
    ]


def test_labels_prefer_wnids_and_fall_back_by_row(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("file,class,wnid,class_index\na.jpg,dog,,\nb.jpg,x,n01440764,0\nc.jpg,,,5\n")
    assert found(read_labels(path)) == {
        "a": [("dog", None)],
        "b": [("n01440764", None)],
        "c": [(5, None)],
    }


def test_labels_are_no_annotations_with_boxes(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("file,class\na.jpg,cat\n")
    with pytest.raises(AnnotationError, match="a list of classes without boxes goes with --labels"):
        read_annotations(path)
    assert found(read_annotations(path, CsvLabels())) == {"a": [("cat", None)]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'file,class\n"a.jpg,cat\n', r"a\.csv:2: not a CSV row"),
        (b"file,class\na.jpg," + b"x" * 200_000, r"a\.csv:2: not a CSV row: field larger"),
        (b"file,class\n" + b"x" * (5 << 20), r"a\.csv:2: a line of over 4 MB"),
        ("file,class\na.jpg,x\n".encode("utf-16"), r"a\.csv:1: wrong encoding: UTF-16"),
        (b"some,words\nand,more\n", r"a\.csv:1: no header that is understood: some, words; call"),
        (b"file,x\na.jpg,cat\n", r"a\.csv:1: no column of classes: found file, x"),
    ],
)
def test_labels_that_cannot_be_read(text, message, tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(text)
    with pytest.raises(AnnotationError, match=message):
        read_labels(path)


def test_conflicts_leave_only_their_image_out(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a.jpg,cat\nb.jpg,cat\na.jpg,dog\na.jpg,cow\nb.jpg,cat\n")
    result = read_labels(path)
    assert list(result.annotations) == ["b"]
    assert [str(p) for p in result.problems] == [
        f"{path}:3: a has class dog here and cat at {path}:1: left out"
    ]
    assert result.warnings == [f"{path}:5: listed twice, counted once: b, as {path}:2"]


@pytest.mark.parametrize(
    ("folder", "images", "label"),
    [
        ("ilsvrc-val-227", 867, "n02951358"),
        ("ilsvrc-val-native", 19, "n01751748"),
        ("fruit-voc", 330, "n07753592"),
        ("animals-voc", 271, "n01877812"),
        ("cubv2-sample", 14, 0),
    ],
)
def test_real_label_lists(folder, images, label, shared):
    result = read_labels(shared / "data" / folder / "labels.csv")
    assert len(result.annotations) == images
    assert result.problems == []
    assert next(iter(result.annotations.values())).labels == (label,)
