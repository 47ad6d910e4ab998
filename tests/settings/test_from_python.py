"""Settings made in Python: the same words as for a YAML file, whatever is given."""

from pathlib import Path

import pytest

from camtool import EvalSettings, Experiment, LocalizeSettings, ModelSettings
from camtool.boxes import MultiBoxes, PaperBoxes
from camtool.cam import GradCam, Occlusion
from camtool.errors import SettingsError
from camtool.training.data import FolderData


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PaperBoxes(threshold=2), "PaperBoxes: threshold: must be less than 1, got 2"),
        (
            lambda: PaperBoxes(treshold=0.3),
            "PaperBoxes: treshold: unknown setting; did you mean 'threshold'?",
        ),
        (
            lambda: MultiBoxes(thresholds=0.3),
            "MultiBoxes: thresholds: expected a list, got the number 0.3",
        ),
        (
            lambda: Occlusion(side=8, stride=9),
            "Occlusion: stride (9) is more than side (8): the square would leave pixels out; set"
            " stride to 8 or less",
        ),
        (
            lambda: Experiment(run={"sed": 3}),
            "Experiment: run.sed: unknown setting; did you mean 'seed'?",
        ),
        (
            lambda: LocalizeSettings(boxes=PaperBoxes),
            "LocalizeSettings: boxes: expected one of the settings classes, got an object of type"
            " ModelMetaclass; there are: paper, dt, tight-loose, grabcut, multi, point",
        ),
        (
            lambda: EvalSettings(allow_missing=Path("a")),
            "EvalSettings: allow_missing: expected true or false, got an object of type PosixPath",
        ),
    ],
)
def test_wrong_settings_are_the_programs_own_error(make, message):
    with pytest.raises(SettingsError) as caught:
        make()
    assert str(caught.value) == message
    assert caught.value.__suppress_context__


def test_all_problems_are_told_at_once():
    with pytest.raises(SettingsError) as caught:
        LocalizeSettings(cam={"name": "grad-cm"}, boxes={"name": "paper", "min_area": 2})
    first, second = str(caught.value).splitlines()
    assert first.endswith("(did you mean 'grad-cam'?)")
    assert second == "LocalizeSettings: boxes.min_area: must be at most 1, got 2"


def test_a_part_within_is_given_as_a_mapping_or_made():
    made = LocalizeSettings(cam=GradCam(), boxes={"name": "multi", "thresholds": [0.3]})
    assert made == LocalizeSettings(cam={"name": "grad-cam"}, boxes=MultiBoxes(thresholds=(0.3,)))


def test_text_names_files():
    assert ModelSettings(linear_weights="a.npz").linear_weights == Path("a.npz")
    assert Experiment(run={"dir": "runs/a"}).run.dir == Path("runs/a")
    assert EvalSettings(annotations="val.xml", masks="m").masks == Path("m")
    assert FolderData(root="photos", boxes="val.xml").root == Path("photos")


def test_settings_never_change():
    rule = PaperBoxes()
    with pytest.raises(SettingsError, match=r"make others, PaperBoxes\(threshold=…\)"):
        rule.threshold = 0.3
    assert rule == PaperBoxes()
