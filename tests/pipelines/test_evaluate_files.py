from __future__ import annotations

import json
import re

import pytest

from camtool.errors import EvaluationError, RunError, SettingsError
from camtool.evaluation.evaluate import evaluate_files
from camtool.evaluation.settings import EvalSettings


def right_of(found):
    """Right boxes of the whole image, and of how many."""
    baseline = found.baselines["whole_image"]
    return baseline.right, baseline.n


def top1(evaluation):
    return {
        "classification": evaluation.metrics["top1_classification_error"].value,
        "localization": evaluation.metrics["top1_localization_error"].value,
    }


XML = """<annotation><filename>{0}</filename>
<size><width>100</width><height>100</height><depth>3</depth></size>
<object><name>n01440764</name><bndbox><xmin>0</xmin><ymin>0</ymin><xmax>9</xmax><ymax>9</ymax>
</bndbox></object></annotation>"""


@pytest.fixture
def boxes(tmp_path):
    path = tmp_path / "val.xml"
    path.write_text(f"<annotations>{XML.format('b')}{XML.format('a')}</annotations>")
    return path


def record(image_id):
    corners = {"x0": 0, "y0": 0, "x1": 10, "y1": 10, "score": 1}
    found = {"index": 0, "name": "n01440764", "score": 0.9, "boxes": [corners]}
    return {"image_id": image_id, "path": image_id, "width": 100, "height": 100, "classes": [found]}


def write_predictions(path):
    path.write_text("".join(json.dumps(record(i)) + "\n" for i in "ab"))
    return path


def test_files_predictions_and_run_folder(tmp_path, boxes):
    path = write_predictions(tmp_path / "predictions.jsonl")
    found = evaluate_files(EvalSettings(annotations=boxes, predictions=path))
    assert top1(found) == {"classification": 0.0, "localization": 0.0}
    assert found.metrics["gt_known_error"].value == 0.0

    run = tmp_path / "run"
    run.mkdir()
    write_predictions(run / "predictions.jsonl")
    manifest = {
        "classes": [{"index": 0, "name": "n01440764", "title": "tench"}],
        "experiment": {"localize": {"boxes": {"name": "paper", "threshold": 0.2}}},
    }
    (run / "manifest.json").write_text(json.dumps(manifest))
    found = evaluate_files(EvalSettings(annotations=boxes), run)
    assert found.convention["threshold"] == "paper (threshold=0.2), fixed before scoring"
    assert "top5_localization_error" in found.metrics  # a network of one class


def test_files_guesses_follow_name_order(tmp_path, boxes):
    path = tmp_path / "guesses.txt"
    path.write_text("449 0 0 9 9\n450 0 0 9 9\n")  # a right, b wrong
    found = evaluate_files(EvalSettings(annotations=boxes, predictions=path))
    assert top1(found) == {"classification": 50.0, "localization": 50.0}
    path.write_text("449 0 0 9 9\n")
    found = evaluate_files(EvalSettings(annotations=boxes, predictions=path, images="1-1"))
    assert top1(found) == {"classification": 0.0, "localization": 0.0}
    with pytest.raises(EvaluationError, match="more lines than the 1 images"):
        path.write_text("449 0 0 9 9\n450 0 0 9 9\n")
        evaluate_files(EvalSettings(annotations=boxes, predictions=path, images="1-1"))


def test_files_kaggle_submission(tmp_path, boxes):
    path = tmp_path / "submission.csv"
    path.write_text("ImageId,PredictionString\nb,n01440764 0 0 9 9\na,n01443537 0 0 9 9\n")
    found = evaluate_files(EvalSettings(annotations=boxes, predictions=path))
    assert top1(found) == {"classification": 50.0, "localization": 50.0}


def test_files_baselines_only(boxes):
    found = evaluate_files(EvalSettings(annotations=boxes, baselines_only=True))
    assert right_of(found) == (0, 2)


def test_files_errors(tmp_path, boxes):
    with pytest.raises(SettingsError, match=r"^no true boxes to score against: give --boxes PATH"):
        evaluate_files(EvalSettings())
    with pytest.raises(SettingsError, match=r"^nothing to score: give a run folder or --predict"):
        evaluate_files(EvalSettings(annotations=boxes))
    maps = tmp_path / "maps.npz"
    with pytest.raises(SettingsError, match=re.escape(f"{maps}: holds score maps and no boxes")):
        evaluate_files(EvalSettings(annotations=boxes, predictions=maps))
    with pytest.raises(RunError, match="not a run folder"):
        evaluate_files(EvalSettings(annotations=boxes), tmp_path)
