from __future__ import annotations

import numpy as np
import pydantic
import pytest

from camtool.annotations import NetworkClasses
from camtool.errors import SettingsError
from camtool.pipelines.experiment import Above, BaseClassChoice, ClassChoice, Labels, Listed, TopK
from camtool.settings import members

NAMES = NetworkClasses(
    tuple(f"n{i}" for i in range(6)), ("dog", "cat", "kit fox", None, None, None)
)
ORDER = np.array([3, 1, 5, 0, 2, 4])
SCORES = np.array([0.3, 0.6, 0.2, 0.9, 0.1, 0.4], np.float32)


@pytest.mark.parametrize(
    ("choice", "targets", "expected"),
    [
        (TopK(k=2), [], [3, 1]),
        (TopK(k=2), [1], [3, 1]),
        (TopK(k=2), [4, 0], [3, 1, 4, 0]),
        (TopK(), [], [3, 1, 5, 0, 2]),
        (TopK(k=100), [], [3, 1, 5, 0, 2, 4]),
        (Above(), [], [3, 1]),
        (Above(probability=0.95), [], []),
        (Above(probability=0.0, most=3), [4], [3, 1, 5, 4]),
        (Labels(), [], []),
        (Labels(), [4, 5], [5, 4]),
        (Listed(classes=("n0", "cat", "5")), [], [1, 5, 0]),
        (Listed(classes=("n0",)), [3], [3, 0]),
        (Listed(classes=("n0", "dog", "0")), [0], [0]),
    ],
)
def test_choice(choice, targets, expected):
    chosen = choice.choose(ORDER, SCORES, targets, NAMES)
    assert chosen == expected
    assert all(type(i) is int for i in chosen)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("kit foxx", "the network has no class 'kit foxx'; did you mean 'kit fox'?"),
        ("6", "the network has no class '6'"),
        ("9" * 5000, "the network has no class '" + "9" * 39 + "…" + "9" * 39 + "'"),
        ("²", "the network has no class '²'"),
    ],
    ids=range(4),
)
def test_unknown_classes(name, message):
    with pytest.raises(SettingsError) as raised:
        Listed(classes=(name,)).choose(ORDER, SCORES, [], NAMES)
    assert str(raised.value) == f"localize.classes.classes: {message}"
    with pytest.raises(SettingsError) as checked:
        Listed(classes=("dog", name)).check(NAMES, labelled=True)
    assert str(checked.value) == str(raised.value)


def test_choices_are_checked_before_any_work():
    for choice in (TopK(), Listed(classes=("dog", "5"))):
        choice.check(NAMES, labelled=False)
    Labels().check(NAMES, labelled=True)
    with pytest.raises(SettingsError, match=r"^localize.classes: 'labels' needs the true classes"):
        Labels().check(NAMES, labelled=False)


def test_choices_are_told_apart_by_name():
    adapter = pydantic.TypeAdapter(ClassChoice)
    assert adapter.validate_python({"name": "top-k", "k": 3}) == TopK(k=3)
    assert adapter.validate_python({"name": "labels"}) == Labels()
    assert [c.model_fields["name"].default for c in members(ClassChoice, BaseClassChoice)] == [
        "top-k",
        "above",
        "labels",
        "list",
    ]
    for wrong in ({"name": "top"}, {"name": "list", "classes": ()}, {"name": "top-k", "k": 0}):
        with pytest.raises(pydantic.ValidationError):
            adapter.validate_python(wrong)
