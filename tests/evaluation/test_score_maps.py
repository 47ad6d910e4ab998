"""MaxBoxAcc and MaxBoxAccV2 through `camtool eval`: from files of maps and from runs."""

import json
from pathlib import Path

import numpy as np
import pytest

from camtool import Experiment, LocalizeSettings, ModelSettings, Squeeze, localize
from camtool.cli.group import camtool
from camtool.errors import EvaluationError, SettingsError
from camtool.evaluation.evaluate import evaluate_files
from camtool.evaluation.settings import EvalSettings
from camtool.metrics.intervals import Bootstrap
from camtool.metrics.map_protocols import MaxBoxAcc, MaxBoxAccV2
from camtool.pipelines.experiment import RunSettings
from camtool.reports.document import to_markdown, to_text
from camtool.reports.evaluation import evaluation_document
from camtool.reports.overlay import OverlaySettings
from camtool.reports.records import evaluation_record
from tests.builders import draw_pictures

SHARED = Path(__file__).parents[2].parent / "shared"
TAGS = ("xmin", "ymin", "xmax", "ymax")
BOX = (60, 40, 159, 119)  # inclusive, in 224×224


def write_boxes(path, images, size=(224, 224)):
    objects = "".join(f"<{k}>{v}</{k}>" for k, v in zip(TAGS, BOX, strict=True))
    path.write_text(
        "<annotations>"
        + "".join(
            f"<annotation><filename>{name}</filename><size><width>{size[0]}</width>"
            f"<height>{size[1]}</height></size><object><name>n01440764</name>"
            f"<bndbox>{objects}</bndbox></object></annotation>"
            for name in images
        )
        + "</annotations>"
    )
    return path


def ramp(inside=1.0, outside=0.1):
    """A map that is `inside` in the true box and `outside` around it."""
    values = np.full((224, 224), outside, np.float32)
    values[BOX[1] : BOX[3], BOX[0] : BOX[2]] = inside  # the published box is a pixel larger
    return values


def settings(boxes, maps, protocol=None, **more):
    return EvalSettings(
        annotations=boxes, predictions=maps, protocol=protocol or MaxBoxAcc(), **more
    )


@pytest.mark.parametrize("kind", ["npz", "npy"])
@pytest.mark.parametrize("protocol", [MaxBoxAcc(), MaxBoxAccV2()])
def test_maps_in_files(tmp_path, kind, protocol):
    maps = {"a": ramp(), "b": ramp(outside=0.5), "c": 1 - ramp()}
    if kind == "npz":
        path = tmp_path / "maps.npz"
        np.savez(path, **maps)
    else:
        path = tmp_path / "maps"
        (path / "sub").mkdir(parents=True)
        for name, values in maps.items():
            np.save(path / "sub" / f"{name}.npy", values)
    found = evaluate_files(settings(write_boxes(tmp_path / "x.xml", maps), path, protocol))
    name = "max_box_acc" if protocol.name == "maxboxacc" else "max_box_acc_v2"
    # Both maps of the object are right at one threshold; in its negative only the hole of the
    # inverted map has the box, and only the second protocol counts every contour.
    hits = 2 if protocol.name == "maxboxacc" else 3
    assert found.metrics[name].value == pytest.approx(100 * hits / 3)
    assert found.metrics[name].n == 3
    assert found.measure == "accuracy"
    choice = found.thresholds["max_box_acc_50"]
    assert (choice.rules["fixed"].threshold, choice.oracle_value) == (
        0.2,
        pytest.approx(100 * hits / 3),
    )
    assert choice.rules["fixed"].value <= choice.oracle_value
    text = to_text(evaluation_document(found, details=True))
    assert "accuracy %" in text
    assert "oracle threshold" in text
    assert "1,000 resamples" in text
    assert "| oracle threshold |" in to_markdown(evaluation_document(found, details=True))
    record = json.loads(json.dumps(evaluation_record(found), allow_nan=False))
    assert record["thresholds"]["max_box_acc_50"]["gap"] >= 0
    assert set(record["metrics"][name]) == {"value", "ci95", "n", "measure"}


def test_intervals_choose_the_threshold_anew(tmp_path):
    """Against a plain loop: resample the images, take the best threshold of each resample."""
    from camtool.annotations import read_annotations
    from camtool.metrics.outcome import Trial
    from camtool.metrics.protocol import Material
    from camtool.metrics.wsol_frame import boxes_to_frame, eight_bit

    random = np.random.default_rng(0)
    maps = {
        str(i): np.clip(ramp(outside=random.random()) * random.random(), 0, 1) for i in range(30)
    }
    path = tmp_path / "maps.npz"
    np.savez(path, **maps)
    boxes = write_boxes(tmp_path / "x.xml", maps)
    protocol = MaxBoxAccV2(interval=0.01)
    bootstrap = Bootstrap(samples=200, seed=3)
    found = evaluate_files(settings(boxes, path, protocol, bootstrap=bootstrap))

    hits = []
    truths = boxes_to_frame([BOX], (224, 224))
    for name in sorted(read_annotations(boxes).annotations):
        trial, bits = Trial(boxed=True), eight_bit(maps[name])
        by = Material(protocol.layout(None))
        protocol.fill(trial, protocol.boxes_of(bits), truths, by)
        packed = np.frombuffer(trial.hits, np.uint8).reshape(3, -1)
        levels = (np.arange(0, 1, 0.01) * trial.peak).astype(int)
        hits.append(np.unpackbits(packed, axis=1, count=256)[:, levels].astype(int))
    hits = np.array(hits)  # (images, ious, thresholds)
    more = np.random.Generator(np.random.PCG64(3))
    drawn = np.concatenate([more.integers(0, 30, (100, 30)) for _ in range(2)])
    values = [100 * hits[rows].sum(0).max(1).mean() / 30 for rows in drawn]
    expected = np.percentile(values, (2.5, 97.5))
    assert found.metrics["max_box_acc_v2"].ci95 == pytest.approx(expected, abs=1e-9)


def test_what_is_no_map(tmp_path):
    boxes = write_boxes(tmp_path / "x.xml", ["a"])
    for values, message in (
        (
            np.zeros((224, 224, 3), np.float32),
            r"a: not a map, but float32 of shape \(224, 224, 3\)",
        ),
        (np.full((224, 224), 2.0), r"a: values from 2 to 2; maps of 224×224 must lie in \[0, 1\]"),
        (np.full((224, 224), np.nan), r"a: values from nan to nan"),
        (np.array([["x"]]), r"a: not a map, but <U1"),
        (np.array([[{}]], object), r"a: not a readable map \(Object arrays"),
    ):
        np.savez(tmp_path / "maps.npz", a=values)
        with pytest.raises(EvaluationError, match=message):
            evaluate_files(settings(boxes, tmp_path / "maps.npz"))
    (tmp_path / "maps.npz").write_bytes(b"PK\3\4 and no more")
    with pytest.raises(EvaluationError, match=r"maps\.npz: not a readable \.npz file"):
        evaluate_files(settings(boxes, tmp_path / "maps.npz"))
    np.savez(tmp_path / "none.npz")
    with pytest.raises(EvaluationError, match=r"none\.npz: holds no map"):
        evaluate_files(settings(boxes, tmp_path / "none.npz"))


def test_a_map_of_nan_on_its_own_grid_counts_as_wrong(tmp_path):
    np.savez(tmp_path / "m.npz", a=np.full((7, 7), np.nan), b=ramp())
    boxes = write_boxes(tmp_path / "x.xml", ["a", "b"])
    found = evaluate_files(settings(boxes, tmp_path / "m.npz"))
    assert found.metrics["max_box_acc"].value == 50


def test_a_guess_file_has_no_maps(tmp_path):
    (tmp_path / "g.txt").write_text("1 0 0 9 9\n")
    boxes = write_boxes(tmp_path / "x.xml", ["a"])
    with pytest.raises(SettingsError, match=r"g\.txt: holds no maps, which the protocol maxboxacc"):
        evaluate_files(settings(boxes, tmp_path / "g.txt"))


def run_over(folder, tmp_path, labels=None, **localize_settings):
    localize_settings.setdefault("preprocess", Squeeze(size=64))
    experiment = Experiment(
        run=RunSettings(dir=tmp_path / "run"),
        model=ModelSettings(backbone="torchvision/mobilenet_v2", weights="none"),
        localize=LocalizeSettings(overlays=OverlaySettings(enabled=False), **localize_settings),
    )
    return localize([str(folder)], experiment, labels=labels).folder


def test_a_run_with_and_without_labels(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    folder = draw_pictures(tmp_path / "pictures", 3)
    names = [p.stem for p in sorted(folder.iterdir())]
    boxes = write_boxes(tmp_path / "x.xml", names, (48 * 5, 36 * 5))
    run = run_over(folder, tmp_path)
    found = evaluate_files(EvalSettings(annotations=boxes, protocol=MaxBoxAcc()), run)
    assert found.metrics == {}
    assert found.absent["max_box_acc"] == (
        "the true class's map is stored for 0 of 3 images; `camtool localize --labels` stores it"
        " for all"
    )
    labelled = run_over(folder, tmp_path / "labelled", labels=boxes)
    scored = evaluate_files(EvalSettings(annotations=boxes, protocol=MaxBoxAcc()), labelled)
    assert scored.metrics["max_box_acc"].n == 3


def test_maps_of_a_centre_crop_are_refused(tmp_path, monkeypatch):
    from camtool import CenterCrop

    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    folder = draw_pictures(tmp_path / "pictures", 1)
    boxes = write_boxes(tmp_path / "x.xml", ["00000"], (240, 180))
    run = run_over(folder, tmp_path, labels=boxes, preprocess=CenterCrop(size=64))
    with pytest.raises(EvaluationError, match="the map of 00000 covers a centre crop"):
        evaluate_files(EvalSettings(annotations=boxes, protocol=MaxBoxAcc()), run)


@pytest.mark.parametrize(("mode", "protocol"), [("single", "maxboxacc"), ("multi", "maxboxacc-v2")])
@pytest.mark.slow
def test_golden_through_the_command_line(tmp_path, mode, protocol):
    from click.testing import CliRunner

    if not SHARED.is_dir():
        pytest.skip("the folder ../shared with golden maps is absent")
    golden = SHARED / "golden" / "wsol-benchmark"
    done = CliRunner().invoke(
        camtool,
        [
            "eval", "--protocol", protocol, "--allow-missing", "--format", "json",
            "--predictions", str(golden / "maps.npz"), "-o", str(tmp_path / "out.json"),
            "--boxes", str(SHARED / "data" / "ILSVRC2012_bbox_val.tgz"),
        ],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    metrics = json.loads((tmp_path / "out.json").read_text())["metrics"]
    expected = json.loads((golden / "expected.json").read_text())
    for iou, value in expected[f"{mode}_0.001"]["max_box_acc"].items():
        assert metrics[f"max_box_acc_{iou}"]["value"] == pytest.approx(value, abs=1e-9)
        assert metrics[f"max_box_acc_{iou}"]["n"] == 100


@pytest.mark.parametrize("protocol", [MaxBoxAcc(), MaxBoxAccV2()])
def test_flat_maps_and_nan_are_counted(tmp_path, protocol):
    maps = {"a": ramp(), "b": np.ones((7, 7)), "c": np.full((7, 7), np.nan), "d": ramp() * 0}
    np.savez(tmp_path / "maps.npz", **maps)
    given = settings(write_boxes(tmp_path / "boxes.xml", maps), tmp_path / "maps.npz", protocol)
    found = evaluate_files(given)
    assert found.metrics["max_box_acc_50"].value == 25
    assert "3 of 4 maps are flat or hold NaN: they count as zeros" in found.warnings[0]
    assert "zeros where flat or NaN" in found.convention["frame"]
    np.savez(tmp_path / "maps.npz", **dict.fromkeys(maps, ramp()))
    assert evaluate_files(given).warnings == ()
