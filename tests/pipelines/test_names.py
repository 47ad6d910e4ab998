from __future__ import annotations

import pytest

from camtool.pipelines.names import ClassNames

SMALL = ClassNames(["n1", "n2", "n3", "n4"], ["crane", "crane", "kit fox", None])


@pytest.mark.parametrize(
    ("label", "index"),
    [
        ("n1", 0), ("n4", 3), ("kit fox", 2), ("crane", None), ("fox", None), ("", None),
        (0, 0), (3, 3), (4, None), (-1, None), ("0", None),
    ],
)  # fmt: skip
def test_labels(label, index):
    assert SMALL.index(label) == index


def test_a_name_goes_before_a_title():
    names = ClassNames(["a", "b"], ["b", None])
    assert names.index("b") == 1


def test_hints():
    assert SMALL.hint("kit foxx") == "; did you mean 'kit fox'?"
    assert SMALL.hint("zzz") == ""


def test_imagenet():
    names = ClassNames.of_imagenet()
    assert len(names) == 1000
    assert names.names[65] == "n01751748"
    assert list(names.names) == sorted(names.names)
    assert names.index("n01440764") == 0
    assert names.titles[0] == "tench"
    # The bird and the machine: two classes of one title, which names neither.
    assert [names.titles[i] for i in (134, 517)] == ["crane", "crane"]
    assert names.index("crane") is None


def test_numbered():
    names = ClassNames.numbered(3)
    assert names.names == ("0", "1", "2")
    assert names.index("2") == names.index(2) == 2
    assert names.to_json() == [{"index": i, "name": str(i), "title": None} for i in range(3)]
