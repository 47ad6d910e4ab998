from __future__ import annotations

import pytest

from camtool.annotations import NetworkClasses

SMALL = NetworkClasses(("n1", "n2", "n3", "n4"), ("crane", "crane", "kit fox", None))


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
    names = NetworkClasses(("a", "b"), ("b", None))
    assert names.index("b") == 1


def test_hints():
    assert SMALL.hint("kit foxx") == "; did you mean 'kit fox'?"
    assert SMALL.hint("zzz") == ""


def test_imagenet():
    names = NetworkClasses.of_imagenet()
    assert len(names) == 1000
    assert names.names[65] == "n01751748"
    assert list(names.names) == sorted(names.names)
    assert names.index("n01440764") == 0
    assert names.titles[0] == "tench"
    # The bird and the machine: two classes of one title, which names neither.
    assert [names.titles[i] for i in (134, 517)] == ["crane", "crane"]
    assert names.index("crane") is None


def test_numbered():
    names = NetworkClasses.numbered(3)
    assert names.names == ("0", "1", "2")
    assert names.index("2") == names.index(2) == 2
    assert names.to_json() == [{"index": i, "name": str(i), "title": None} for i in range(3)]


def test_every_way_to_write_a_class():
    assert SMALL.labels == {0, 1, 2, 3, "n1", "n2", "n3", "n4", "kit fox"}
    assert [SMALL.title(label) for label in ("n1", 2, "n4", "kit fox", 9)] == [
        "crane", "kit fox", None, "kit fox", None,
    ]  # fmt: skip


def test_json_and_back():
    assert NetworkClasses.from_json(SMALL.to_json()) == SMALL
    with pytest.raises(ValueError, match="names be different"):
        NetworkClasses.from_json([{"index": i, "name": "a", "title": None} for i in range(2)])
    with pytest.raises(ValueError, match="count from 0"):
        NetworkClasses.from_json([{"index": 1, "name": "a", "title": None}])


def test_names_of_imagenet_bring_their_titles():
    assert NetworkClasses.named(["n02119789", "x"]).titles == ("kit fox", None)
