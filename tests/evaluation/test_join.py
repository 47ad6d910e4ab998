from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from camtool.errors import EvaluationError
from camtool.evaluation.matching import Joined, Joiner


def join(annotated, predicted):
    joiner = Joiner(annotated)
    for name in predicted:
        joiner.add(name)
    return joiner.resolve()


@pytest.mark.parametrize(
    ("annotated", "predicted", "way"),
    [
        ("val/a.b", "val/a.b", "exact"),
        ("a", "a.JPEG", "without_extension"),
        ("a.jpg", "a", "without_extension"),
        ("a.jpg", "a.png", "without_extension"),
        ("n01/a", "val/n01/a.JPEG", "base_name"),
        ("a", "photos\\a.jpg", "base_name"),
        ("001.Black_footed/x.jpg", "x", "base_name"),
    ],
)
def test_ways(annotated, predicted, way):
    joined = join([annotated, "other"], [predicted])
    assert joined.pairs == {annotated: predicted}
    assert [name for name, n in joined.ways.items() if n] == [way]
    assert joined.unannotated == []


def test_dots_belong_to_names_that_have_no_image_extension():
    with pytest.raises(EvaluationError, match="no prediction belongs"):
        join(["001.Black"], ["001"])


def test_better_ways_go_first():
    joined = join(["a", "b"], ["x/a.jpg", "a.jpg", "a", "b.jpg", "x/b"])
    assert joined == Joined(
        {"a": "a", "b": "b.jpg"},
        {"exact": 1, "without_extension": 1, "base_name": 0},
        ["x/a.jpg", "a.jpg", "x/b"],
    )


def test_same_base_name_in_several_folders_joins_by_the_whole_name():
    joined = join(["n1/1.jpg", "n2/1.jpg"], ["n2/1.jpg", "n1/1.jpg", "n3/1.jpg"])
    assert joined.pairs == {"n1/1.jpg": "n1/1.jpg", "n2/1.jpg": "n2/1.jpg"}
    assert joined.unannotated == ["n3/1.jpg"]


def test_nothing_is_guessed_for_the_last_image_of_a_name():
    # b/1 and c/1 are left over alone, and yet nothing says that they are the same image.
    assert join(["a/1", "b/1"], ["a/1", "c/1"]).pairs == {"a/1": "a/1"}


@pytest.mark.parametrize(
    ("annotated", "predicted", "message"),
    [
        (["a"], ["a", "a"], "the predictions hold a twice; keep one of the two"),
        (
            ["1"],
            ["a/1", "b/1.jpg"],
            "the predictions a/1 and b/1.jpg both fit the annotated image 1; "
            "give both sides the same relative paths",
        ),
        (
            ["a/1", "b/1"],
            ["1"],
            "the prediction 1 fits several annotated images, a/1 and b/1; "
            "give both sides the same relative paths",
        ),
        (
            ["a.jpg", "a.png"],
            ["a"],
            "the prediction a fits several annotated images, a.jpg and a.png; ",
        ),
        (
            ["val_1"],
            ["test_1", "test_2"],
            "no prediction belongs to an annotated image: "
            "the predictions name test_1, the annotations val_1",
        ),
    ],
)
def test_errors(annotated, predicted, message):
    with pytest.raises(EvaluationError, match=f"^{re.escape(message)}"):
        join(annotated, predicted)


def test_no_predictions_join_nothing():
    assert join(["a"], []).pairs == {}


def test_many_equal_names_take_no_quadratic_time():
    annotated = [f"{i}/image" for i in range(20_000)]
    predicted = annotated + [f"x/{i}/image" for i in range(20_000)]
    joined = join(annotated, predicted)
    assert (len(joined.pairs), len(joined.unannotated)) == (20_000, 20_000)


folders, extensions = st.sampled_from(["", "a/", "b/"]), st.sampled_from(["", ".jpg"])
names = st.sets(st.tuples(folders, st.sampled_from("12"), extensions).map("".join), min_size=1)


@given(names, names, st.randoms())
def test_order_of_either_side_does_not_matter(annotated, predicted, random):
    def outcome(annotated, predicted):
        try:
            joined = join(annotated, predicted)
        except EvaluationError:
            return "refused"
        return joined.pairs, joined.ways, sorted(joined.unannotated)

    there = outcome(sorted(annotated), sorted(predicted))
    mixed = [sorted(annotated), sorted(predicted)]
    for side in mixed:
        random.shuffle(side)
    assert outcome(*mixed) == there
