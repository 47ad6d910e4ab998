"""Real pictures with the bundled network, and the official program's figures, from the CLI."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from camtool.runs import read_predictions
from tests.commands import Ran, run_here

pytestmark = pytest.mark.slow
PLAIN = ("--set", "localize.overlays.enabled=false", "--set", "localize.cam=cam")
VAL = Path("CLS-LOC") / "val"


@pytest.fixture(scope="module")
def data(shared) -> Path:
    return shared / "data"


def localized(out: Path, *arguments: object) -> Ran:
    ran = run_here("localize", *arguments, "-o", out, *PLAIN)
    assert ran.code == 0, ran.err
    return ran


def evaluated(*arguments: object) -> dict[str, dict]:
    ran = run_here("eval", *arguments, "--format", "json")
    assert ran.code == 0, ran.err
    return json.loads(ran.out)


def accuracy(report, name: str) -> float:
    return 100 - report["metrics"][name]["value"]


@pytest.fixture(scope="module")
def squeezed_run(data, tmp_path_factory) -> Path:
    folder = data / "ilsvrc-val-227"
    out = tmp_path_factory.mktemp("run") / "at-0.2"
    localized(out, folder / "Data", "--labels", folder / "labels.csv")
    return out


@pytest.mark.parametrize("boxes", ["Annotations", "Annotations-native"])
def test_reference_figures(boxes, data, squeezed_run):
    report = evaluated(squeezed_run, "--boxes", data / "ilsvrc-val-227" / boxes)
    assert report["counts"] == {
        "annotated": 867, "predicted": 867, "scored": 867, "left_out": {},
    }  # fmt: skip
    assert accuracy(report, "top1_classification_error") == pytest.approx(82.6, abs=0.4)
    assert accuracy(report, "top5_classification_error") == pytest.approx(94.5, abs=0.4)
    assert accuracy(report, "gt_known_error") == pytest.approx(63.2, abs=0.4)
    assert accuracy(report, "top1_localization_error") == pytest.approx(53.7, abs=0.4)
    known = report["thresholds"]["gt_known_error"]
    assert known["fixed"]["value"] == known["run"]["value"]  # 0.2, and once for all thresholds
    curve = report["curves"]["gt_known"]
    at = dict(zip(curve["x"], curve["y"]["IoU ≥ 0.5"], strict=True))
    assert at[0.3] == pytest.approx(64.9, abs=0.4)
    assert known["oracle"]["value"] == pytest.approx(100 - max(at.values()))
    found = {name: b["gt_known_accuracy"] for name, b in report["baselines"].items()}
    assert found["whole_image"] == pytest.approx(46.6, abs=0.15)
    assert found["centred_0.8"] == pytest.approx(58.0, abs=0.15)


def test_kinds_of_errors_add_up(data, squeezed_run):
    report = evaluated(squeezed_run, "--boxes", data / "ilsvrc-val-227" / "Annotations-native")
    kinds = {name: k["count"] for name, k in report["diagnosis"]["top1"]["kinds"].items()}
    assert sum(kinds.values()) == 867
    # At a threshold of 0.2 boxes are too large, hardly ever too small, and never elsewhere.
    assert kinds["too_large"] > 5 * kinds["part"]
    assert kinds["background"] + kinds["other"] < 5
    found = report["diagnosis"]["gt_known"]
    assert sum(row["n"] for row in found["by_class"].values()) == 867
    assert report["metrics"]["pointing_game_0"]["value"] == pytest.approx(88, abs=1.5)
    assert report["metrics"]["corloc"]["value"] == pytest.approx(62.9, abs=1)


def test_reference_figures_at_another_threshold(data, tmp_path):
    folder = data / "ilsvrc-val-227"
    higher = ("--set", "localize.boxes.threshold=0.3")
    localized(tmp_path / "run", folder / "Data", "--labels", folder / "labels.csv", *higher)
    report = evaluated(tmp_path / "run", "--boxes", folder / "Annotations")
    assert accuracy(report, "gt_known_error") == pytest.approx(64.9, abs=0.4)
    assert accuracy(report, "top1_localization_error") == pytest.approx(55.1, abs=0.4)


def test_the_head_that_comes_with_camtool_on_pictures_that_it_was_not_trained_on(data, tmp_path):
    """Its classes are those of plain maps, and its boxes are right more often."""
    folder = data / "animals-voc"
    kangaroos = sorted((folder / "Data" / VAL).glob("kangaroo-*"))[:60]
    reports = {}
    for method in ("cam", "foreground"):
        given = ("--labels", folder / "labels.csv", "--method", method, *PLAIN[:2])
        ran = run_here("localize", *kangaroos, *given, "-o", tmp_path / method)
        assert ran.code == 0, ran.err
        boxes = ("--boxes", folder / "Annotations", "--allow-missing")
        reports[method] = evaluated(tmp_path / method, *boxes)
    plain, product = reports.values()
    for name in ("top1_classification_error", "top5_classification_error"):
        assert plain["metrics"][name] == product["metrics"][name]
    assert accuracy(product, "gt_known_error") > accuracy(plain, "gt_known_error") + 12


def test_annotations_of_another_task(data, squeezed_run):
    """The detection set's XML: other classes, and only some of the images."""
    boxes = data / "ilsvrc-val-227" / "Annotations-DET-real"
    report = evaluated(squeezed_run, "--boxes", boxes)
    assert report["counts"]["predicted"] == 867
    assert report["counts"]["scored"] < report["counts"]["annotated"] < 867
    assert report["counts"]["left_out"]["class unknown to the network"] > 0


def test_fruit(data, tmp_path):
    folder = data / "fruit-voc"
    some = sorted((folder / "Data" / VAL).iterdir())[::6]
    labels = ("--labels", folder / "Annotations")
    localized(tmp_path / "run", *some, *labels)
    report = evaluated(tmp_path / "run", "--boxes", folder / "Annotations", "--allow-missing")
    assert report["counts"] == {
        "annotated": 330,
        "predicted": len(some),
        "scored": len(some),
        "left_out": {"no prediction": 330 - len(some)},
    }
    assert report["metrics"]["top5_classification_error"]["value"] < 15
    assert report["metrics"]["gt_known_error"]["value"] < 80
    # As they came: other class names, and sizes of 0×0.
    original = ("--boxes", folder / "Annotations-original", "--allow-missing")
    report = evaluated(tmp_path / "run", *original)
    assert report["counts"]["scored"] > 10
    assert report["counts"]["left_out"]["prediction without annotation"] > 10


def test_animals(data, tmp_path):
    """One picture of these is truncated, and two of the three classes are no ImageNet classes."""
    folder = data / "animals-voc"
    pictures = folder / "Data" / VAL
    some = sorted(pictures.iterdir())[::6]
    some = sorted({*some, pictures / "kangaroo-00090.jpg"})
    ran = localized(tmp_path / "run", *some, "--labels", folder / "labels.csv")
    assert "kangaroo-00090.jpg: cannot be decoded: image file is truncated" in ran.err
    assert "'raccoon'" in ran.err
    boxes = ("--boxes", folder / "Annotations", "--allow-missing")
    report = evaluated(tmp_path / "run", *boxes)
    left_out = report["counts"]["left_out"]
    assert left_out["image could not be read"] == 1
    unknown = sum(not p.name.startswith("kangaroo") for p in some)
    assert left_out["class unknown to the network"] == unknown
    assert report["counts"]["scored"] == len(some) - unknown - 1


def test_birds(data, tmp_path):
    folder = data / "cubv2-sample"
    localized(tmp_path / "run", folder / "images")
    assert sum(p.error is None for p in read_predictions(tmp_path / "run")) == 14
    report = evaluated(tmp_path / "run", "--boxes", folder / "wsoleval")
    assert report["counts"]["scored"] == 14
    low, high = report["baselines"]["whole_image"].pop("gt_known_accuracy_ci95")
    assert 0 <= low < 100 * 3 / 14 < high < 100
    assert 0 <= report["baselines"]["whole_image"].pop("top1_localization_accuracy") <= 100
    assert report["baselines"]["whole_image"] == {
        "gt_known_accuracy": pytest.approx(100 * 3 / 14),
        "gt_known_error": pytest.approx(100 * 11 / 14),
        "right": 3,
        "n": 14,
    }
    # Species, which the network does not know: said, and never scored as 0 %.
    ran = run_here("eval", tmp_path / "run", "--boxes", folder / "Annotations")
    assert ran.code == 5
    assert "none of 14 images can be scored: class unknown to the network: 14" in ran.err


def test_centre_crop(data, tmp_path):
    """Boxes lie in the part that the network sees, and nowhere else."""
    folder = data / "ilsvrc-val-native"
    crop = ("--set", "localize.preprocess={name: center-crop, crop_fraction: 0.875}")
    localized(tmp_path / "run", folder / "Data", "--labels", folder / "wsoleval", *crop)
    boxes = 0
    for prediction in read_predictions(tmp_path / "run"):
        width, height = prediction.size
        short = min(width, height)
        side = short * 0.875
        left, top = (width - side) / 2, (height - side) / 2
        # Half a pixel of the resized picture, and one of the original at either border.
        slack = 1.5 + short / 224
        for found in prediction.classes:
            for scored in found.boxes:
                boxes += 1
                x0, y0, x1, y1 = scored.box.xyxy
                assert left - slack <= x0 < x1 <= left + side + slack
                assert top - slack <= y0 < y1 <= top + side + slack
    assert boxes > 80
    for name in ("Annotations", "wsoleval"):
        report = evaluated(tmp_path / "run", "--boxes", folder / name)
        assert report["counts"]["scored"] == 19
        assert report["metrics"]["gt_known_error"]["value"] < 75


def test_odd_pictures(data, tmp_path):
    folder = data / "real-odd"
    ran = run_here("localize", folder, "-o", tmp_path / "run")
    assert ran.code == 0
    found = {p.image_id: p for p in read_predictions(tmp_path / "run")}
    assert [i for i, p in found.items() if p.error] == ["kangaroo-00090"]
    sizes = {i: p.size for i, p in found.items() if not p.error}
    assert sizes == {
        "banana_35": (312, 210),
        "banana_75": (581, 374),
        "n02692877_airship": (350, 156),
        "n02951585_can_opener": (294, 392),
        "n03337140_file": (1600, 1200),
        "n03992509_potter's_wheel": (500, 333),
        "orange_1": (640, 347),
    }
    best = {i: p.classes[0].title for i, p in found.items() if not p.error}
    assert best["banana_35"] == best["banana_75"] == "banana"
    assert best["n03992509_potter's_wheel"].startswith("potter's wheel")
    assert len(list((tmp_path / "run" / "overlays").iterdir())) == 7
    report = evaluated(tmp_path / "run", "--boxes", folder)
    assert report["counts"] == {
        "annotated": 3,
        "predicted": 8,
        "scored": 3,
        "left_out": {"prediction without annotation": 5},
    }


@pytest.mark.parametrize("variant", ["no_blacklist", "blacklist"])
def test_figures_of_the_official_program(variant, shared):
    golden = shared / "golden" / "ilsvrc-devkit"
    listed = ("--blacklist", golden / "blacklist.txt") if variant == "blacklist" else ()
    report = evaluated(
        "--predictions", golden / "guesses.txt",
        "--boxes", shared / "data" / "ILSVRC2012_bbox_val.tgz",
        "--images", "1-10000", *listed,
    )  # fmt: skip
    expected = json.loads((golden / "expected.json").read_text())[variant]
    for kind in ("classification_error", "localization_error"):
        for top, value in expected[kind].items():
            found = report["metrics"][f"{top}_{kind}"]["value"] / 100
            assert found == pytest.approx(value, abs=1e-9), (top, kind)
    assert report["metrics"]["top1_classification_error"]["n"] == 10_000


@pytest.mark.parametrize(
    ("listed", "n", "right"),
    [
        (False, 50_000, [20_351, 23_718, 26_035, 24_762, 15_857]),
        (True, 48_238, [20_005, 23_321, 25_599, 24_397, 15_604]),
    ],
)
def test_baselines_of_all_validation_images(listed, n, right, data):
    blacklist = data / "ILSVRC2014_clsloc_validation_blacklist.txt"
    arguments = ("--blacklist", blacklist) if listed else ()
    boxes = data / "ILSVRC2012_bbox_val.tgz"
    report = evaluated("--baselines-only", "--boxes", boxes, *arguments)
    assert [b["n"] for b in report["baselines"].values()] == [n] * 5
    found = [b["right"] for b in report["baselines"].values()]
    assert found[0] == right[0]
    assert found == pytest.approx(right, abs=5)
