from __future__ import annotations

import re

import pytest

from camtool.errors import DataError, EvaluationError, SettingsError
from camtool.evaluation.matching import BlackList, read_blacklist, select_range

ILSVRC = [f"ILSVRC2012_val_{n:08d}" for n in (1, 2, 36, 50)]


def listed(tmp_path, text, ordered):
    path = tmp_path / "black.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_blacklist(path, ordered)


@pytest.mark.parametrize(
    ("images", "expected"),
    [(None, "abcd"), ("1-4", "abcd"), ("1-2", "ab"), ("3-3", "c"), ("002-3", "bc")],
)
def test_range(images, expected):
    assert "".join(select_range("abcd", images)) == expected


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ("1-5", "--images 1-5: only 4 images are annotated"),
        ("0-3", "--images 0-3: images are numbered from 1, the first one first"),
        ("3-2", "--images 3-2: images are numbered from 1, the first one first"),
        ("4", "--images 4: not a range; write FIRST-LAST, such as 1-10000"),
        ("", "--images : not a range; write FIRST-LAST, such as 1-10000"),
        ("1-2-3", "--images 1-2-3: not a range"),
        ("-1-3", "--images -1-3: not a range"),
        ("1-9999999999", "--images 1-9999999999: not a range"),
        ("1-2\n", "--images 1-2\\n: not a range"),
    ],
)
def test_bad_ranges(images, message):
    with pytest.raises(SettingsError, match=f"^{re.escape(message)}"):
        select_range("abcd", images)


def test_numbers_are_those_in_the_names_of_ilsvrc(tmp_path):
    found = listed(tmp_path, "36\n50\n\n103\n", ILSVRC)
    assert found == BlackList(frozenset(ILSVRC[2:]), 3, 1, by_position=False)


def test_numbers_in_names_are_found_behind_folders(tmp_path):
    assert listed(tmp_path, "36", [f"val/{i}" for i in ILSVRC]).ids == {f"val/{ILSVRC[2]}"}


def test_other_numbers_are_positions(tmp_path):
    found = listed(tmp_path, "\ufeff1\r\n 3 \r\n", ["a", "b", "c"])
    assert found == BlackList(frozenset("ac"), 2, 0, by_position=True)


def test_ids_with_or_without_folder_and_extension(tmp_path):
    found = listed(tmp_path, "b.jpg\nx/c\nzebra\n", ["a", "b", "c"])
    assert found == BlackList(frozenset("bc"), 3, 1, by_position=False)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("1\n0\n", DataError, "black.txt:2: 0 is no image number; they start at 1"),
        ("-3\n", DataError, "black.txt:1: -3 is no image number; they start at 1"),
        ("1\n--1\n", DataError, "black.txt:2: --1 is no image number; they start at 1"),
        ("+-1", DataError, "black.txt:1: +-1 is no image number; they start at 1"),
        ("\uff11", DataError, "black.txt:1: \uff11 is no image number; they start at 1"),
        ("1" * 30, DataError, f"black.txt:1: {'1' * 30} is no image number"),
        ("\n4\n", EvaluationError, "black.txt:2: image number 4, but only 3 images are annotated"),
        ("img\n", EvaluationError, "black.txt:1: img fits several annotated images"),
        ("", DataError, "black.txt: empty: it lists no image"),
        (b"\xff\xfe\x00", DataError, "black.txt: not a text file; a black-list has one image"),
        ("a" * 5000, DataError, "black.txt:1: too long for a black-list"),
    ],
)  # fmt: skip
def test_malformed(tmp_path, text, error, message):
    with pytest.raises(error, match=re.escape(message)):
        listed(tmp_path, text, ["a", "x/img", "y/img"])


def test_absent_file(tmp_path):
    with pytest.raises(DataError, match=r"none\.txt: cannot be read: No such file"):
        read_blacklist(tmp_path / "none.txt", ["a"])
