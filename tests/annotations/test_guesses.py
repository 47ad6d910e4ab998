"""Kaggle's files, guess files of the ILSVRC development kit, and the class table."""

from __future__ import annotations

import pytest

from camtool.annotations import IMAGENET, read_annotations, read_guesses
from camtool.errors import AnnotationError, EvaluationError

KAGGLE = "ImageId,PredictionString\n"


def guesses(prediction):
    return [
        (c.rank, c.name, c.index, c.score, [b.box.xyxy for b in c.boxes])
        for c in prediction.classes
    ]


def test_guess_file(tmp_path):
    path = tmp_path / "guesses.txt"
    path.write_bytes(b"490 91 105 420 199 1 0 0.5 9 9\r\n\n449 9 9 3 20\n\n\n")
    first, second, third = read_guesses(path, ["a", "b", "c"])
    assert guesses(first) == [
        (1, "n01751748", 65, None, [(91, 105, 421, 200)]),
        (
            2,
            IMAGENET.by_ilsvrc_id(1).wnid,
            IMAGENET.by_ilsvrc_id(1).index,
            None,
            [(0, 0.5, 10, 10)],
        ),
    ]
    assert (first.image_id, first.path, first.size) == ("a", f"{path}:1", None)
    assert first.classes[0].title == "sea snake"
    assert (second.image_id, second.classes) == ("b", ())
    # Corners the wrong way round: the class counts, the box does not.
    assert guesses(third) == [(1, "n01440764", 0, None, [])]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("490 1 2 3", r":2: 4 numbers, a multiple of 5 needed: id xmin ymin xmax ymax"),
        ("490 1 2 3 x", r":2: guess 1: ymax is not a number: x"),
        ("1 1 2 3 4 4_9 1 2 3 4", r":2: guess 2: class id is not a number: 4_9"),
        ("1.5 1 2 3 4", r":2: guess 1: class id is not a whole number: 1\.5"),
        ("1001 1 2 3 4", r":2: guess 1: 1001 is none of the 1,000 ImageNet classes"),
        ("0 1 2 3 4", r":2: guess 1: 0 is none of the 1,000 ImageNet classes"),
        ("1 1 2 3 9999999999", r":2: guess 1: ymax is out of range: 9999999999"),
        ("1 1 2 3 nan", r":2: guess 1: ymax is not a number: nan"),
        ("1 1 2 3 4 " * 6, r":2: 6 guesses, at most 5 an image"),
    ],
)
def test_bad_lines(line, message, tmp_path):
    path = tmp_path / "guesses.txt"
    path.write_text(f"1 1 2 3 4\n{line}\n")
    with pytest.raises(AnnotationError, match=message):
        read_guesses(path, ["a", "b"])


def test_lines_and_images_must_fit(tmp_path):
    path = tmp_path / "guesses.txt"
    path.write_text("1 1 2 3 4\n1 1 2 3 4\n")
    with pytest.raises(EvaluationError, match=r":2: more lines than the 1 images"):
        read_guesses(path, ["a"])
    with pytest.raises(EvaluationError, match="a guess file does not name its images"):
        read_guesses(path, None)
    assert [p.image_id for p in read_guesses(path, ["a", "b", "c"])] == ["a", "b"]


def test_golden_guesses(shared):
    path = shared / "golden" / "ilsvrc-devkit" / "guesses.txt"
    ids = [f"ILSVRC2012_val_{i:08}" for i in range(1, 10_001)]
    predictions = read_guesses(path, ids)
    assert len(predictions) == 10_000
    assert sum(len(p.classes) for p in predictions) == 50_000
    lines = path.read_text().splitlines()
    for prediction, line in zip(predictions, lines, strict=True):
        numbers = [int(n) for n in line.split()]
        back = []
        for c in prediction.classes:
            ((box),) = (b.box for b in c.boxes)
            back += [IMAGENET.by_wnid(c.name).ilsvrc_id, *box.to_inclusive()]
        assert back == numbers


def test_kaggle_submission(tmp_path):
    path = tmp_path / "submission.csv"
    path.write_text(KAGGLE + "b,n01440764 1 2 3 4 n01751748 9 9 3 20\na.JPEG,\nc\n")
    b, a, c = read_guesses(path, None)
    assert guesses(b) == [(1, "n01440764", 0, None, [(1, 2, 4, 5)]), (2, "n01751748", 65, None, [])]
    assert (b.image_id, b.path, a.image_id) == ("b", f"{path}:2", "a")
    assert a.classes == c.classes == ()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a,n01440764 1 2 3", ":2: 4 fields, a multiple of 5 needed"),
        ("a,n99999999 1 2 3 4", ":2: guess 1: n99999999 is none of the 1,000 ImageNet classes"),
        ("a,n01440764 1 2 3 x", ":2: ymax is not a number: x"),
        ("a,n01440764 1 2 3 4\na,", ":3: a has guesses already, at "),
        ("a,b,c", ":2: 3 fields, 2 needed"),
        ("", "empty: no row after the header"),
    ],
)
def test_bad_submissions(row, message, tmp_path):
    path = tmp_path / "submission.csv"
    path.write_text(KAGGLE + row)
    with pytest.raises(AnnotationError, match=message):
        read_guesses(path, None)


def test_kaggle_solution(tmp_path):
    path = tmp_path / "LOC_val_solution.csv"
    path.write_text(
        KAGGLE + "ILSVRC2012_val_00008726,n02119789 255 142 454 329 n02119789 44 21 322 295 \n"
        "x,\ny,n02119789 255 142 25 329\n"
    )
    result = read_annotations(path)
    assert result.format == "kaggle"
    (annotation,) = result.annotations.values()
    assert (annotation.image_id, annotation.size) == ("ILSVRC2012_val_00008726", None)
    assert [(o.label, o.box.xyxy) for o in annotation.objects] == [
        ("n02119789", (255, 142, 455, 330)),
        ("n02119789", (44, 21, 323, 296)),
    ]
    assert [str(p) for p in result.problems] == [
        f"{path}:3: no object",
        f"{path}:4: xmax (25) is less than xmin (255)",
    ]


def test_class_table():
    assert len(IMAGENET.classes) == 1000
    assert [c.index for c in IMAGENET.classes] == list(range(1000))
    assert sorted(c.ilsvrc_id for c in IMAGENET.classes) == list(range(1, 1001))
    assert [c.wnid for c in IMAGENET.classes] == sorted(c.wnid for c in IMAGENET.classes)
    snake = IMAGENET.by_ilsvrc_id(490)
    assert (snake.index, snake.wnid, snake.name) == (65, "n01751748", "sea snake")
    assert IMAGENET.by_wnid("n01751748") is IMAGENET.by_index(65) is snake
    assert IMAGENET.by_index(1000) is IMAGENET.by_index(-1) is IMAGENET.by_wnid("x") is None
