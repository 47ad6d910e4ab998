from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st

from camtool.settings import differences, dump_settings, load_settings
from tests.settings.sample_settings import AllBoxes, Experiment, Localize, PaperBoxes, Run

INTEGERS = st.integers(-(2**63), 2**63 - 1)

# YAML text cannot hold a NUL, nor half a surrogate pair, and the reader says so.
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=200)
words = st.sampled_from(
    [
        "yes",
        "on",
        "1e-3",
        "010",
        "1:30",
        "null",
        "~",
        "<<",
        "true",
        "2024-01-01",
        "0x1f",
        "- a",
        "=",
    ]
)
paths = st.text(st.characters(categories=["L", "N", "P", "Zs"]), min_size=1).map(Path)
numbers = st.floats(allow_nan=False, allow_infinity=False)
boxes = st.one_of(
    st.builds(PaperBoxes, threshold=st.floats(0, 1, exclude_max=True)),
    st.builds(AllBoxes, smallest=st.integers(14, 2**63 - 1)),
)
experiments = st.builds(
    Experiment,
    run=st.builds(
        Run,
        dir=paths,
        seed=INTEGERS,
        note=texts | words,
        weights=st.dictionaries(texts | words, numbers, max_size=4),
    ),
    localize=st.builds(
        Localize,
        boxes=boxes,
        second=st.none() | boxes,
        tuned=boxes,
        more=st.lists(boxes, max_size=3).map(tuple),
        resolution_wh=st.tuples(INTEGERS, INTEGERS),
        grid=st.lists(st.tuples(INTEGERS, INTEGERS), max_size=3),
        labels=st.none() | paths,
        overlays=st.booleans(),
        top=INTEGERS | st.just("labels"),
    ),
)


@given(experiments)
@example(Experiment())
@example(Experiment(run=Run(weights={"a": 1e-05, "b": 1e300, "c": -0.0})))
def test_what_is_dumped_reads_back_equal(experiment):
    text = dump_settings(experiment)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "e.yaml"
        file.write_bytes(text.encode())
        loaded = load_settings(Experiment, file)
    assert loaded == experiment
    assert dump_settings(loaded) == text


def test_the_text_is_complete_and_in_the_order_of_the_classes():
    experiment = Experiment(run=Run(note="on", weights={"b": 1.0, "a": 1e-3}))
    assert dump_settings(experiment) == (
        "run:\n"
        "  dir: runs/localize\n"
        "  seed: 0\n"
        "  note: 'on'\n"
        "  weights:\n"
        "    b: 1.0\n"
        "    a: 0.001\n"
        "localize:\n"
        "  boxes:\n"
        "    name: paper\n"
        "    threshold: 0.2\n"
        "    connectivity: 8\n"
        "  second: null\n"
        "  tuned:\n"
        "    name: paper\n"
        "    threshold: 0.7\n"
        "    connectivity: 8\n"
        "  more: []\n"
        "  resolution_wh: [224, 224]\n"
        "  grid: []\n"
        "  mode: crop\n"
        "  labels: null\n"
        "  overlays: true\n"
        "  top: 5\n"
    )


def test_differences_name_the_most_specific_common_path():
    one = Experiment().model_dump(mode="json")
    assert differences(one, Experiment().model_dump(mode="json")) == []
    other = Experiment(
        run=Run(seed=1, weights={"x": 1.0}),
        localize=Localize(boxes=AllBoxes(), tuned=PaperBoxes(threshold=0.1), second=AllBoxes()),
    ).model_dump(mode="json")
    expected = [
        "run.seed",
        "run.weights.x",
        "localize.boxes.name",
        "localize.second",
        "localize.tuned.threshold",
        "localize.mode",
    ]
    assert differences(one, other) == expected
    assert differences(other, one) == expected


def test_differences_of_lists_and_absent_sections():
    assert differences({"a": [1, 2], "b": {"c": 1}}, {"a": [1], "d": 1}) == ["a", "b", "d"]
