"""`--protocol all`: each protocol's own figures, side by side."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from camtool.evaluation.settings import EvalSettings
from camtool.metrics.protocols import PROTOCOLS
from camtool.structures import Box
from tests.builders import WNID, draw_pictures, guess, prediction, write_predictions, write_voc
from tests.commands import TINY, run_here

NAMES = [kind.model_fields["name"].default for kind in PROTOCOLS]
BOXES = ["ilsvrc", "ts-cam", "adl-first-box"]
MAPS = ["maxboxacc", "maxboxacc-v2", "pxap"]

SIZE = (224, 224)


def report(*arguments, code=0):
    ran = run_here("eval", *arguments, "--format", "json")
    assert ran.code == code, ran.err
    return json.loads(ran.out)


@pytest.fixture
def boxes(tmp_path):
    """Of `b` a network sees only the second of two true boxes."""
    corners = {
        "a": [(0, 0, 223, 223)],
        "b": [(30, 30, 49, 49), (0, 0, 223, 223)],
        "c": [(0, 0, 223, 111)],
        "d": [(200, 200, 223, 223)],
    }
    return write_voc(tmp_path / "boxes", corners, SIZE)


@pytest.fixture
def guesses(tmp_path):
    """The whole picture, whatever the image: right in `a`, in `b`, and just so in `c`."""
    whole = guess(WNID, Box(0, 0, *SIZE), score=1, index=0)
    found = [prediction(name, whole, size=SIZE) for name in "abcd"]
    return write_predictions(tmp_path / "predictions.jsonl", found)


def values(record, *names):
    return [record["metrics"][name]["value"] for name in names]


def test_what_tells_the_box_protocols_apart(boxes, guesses):
    """One half (`c`) is a hit but in TS-CAM's guesses; the first true box of `b` is not right.

    In ADL's frame the box of `c` ends at int(111/224·256 - 16) = 110: less than half of the crop.
    """
    found = report("--protocol", "all", "--predictions", guesses, "--boxes", boxes)
    assert found["protocol"] == "all"
    assert list(found["protocols"]) == BOXES
    errors = {
        name: values(record, "top1_localization_error", "gt_known_error")
        for name, record in found["protocols"].items()
    }
    assert errors == {
        "ilsvrc": [25.0, 25.0],
        "ts-cam": [50.0, 25.0],
        "adl-first-box": [75.0, 75.0],
    }
    assert values(found, "top1_localization_error", "gt_known_error") == [25.0, 25.0]
    assert set(found["absent"]) == set(MAPS)
    assert "holds no maps" in found["absent"]["maxboxacc"]
    assert "a box is no mask: give --masks DIR" in found["absent"]["pxap"]
    assert "IoU > 0.5" in found["convention"]["ts-cam"]
    assert "only the first true box" in found["convention"]["adl-first-box"]
    assert {"schema_version", "counts", "baselines", "metrics"} <= set(found)


def test_baselines_are_scored_by_the_rule_of_the_protocol(boxes, guesses):
    """The predictions are the whole picture: so is a baseline, and both are right alike."""
    found = report("--protocol", "all", "--predictions", guesses, "--boxes", boxes)
    right = {
        name: (record["baselines"]["whole_image"]["right"], record["baselines"]["whole_image"]["n"])
        for name, record in found["protocols"].items()
    }
    assert right == {"ilsvrc": (3, 4), "ts-cam": (3, 4), "adl-first-box": (1, 4)}
    for record in found["protocols"].values():
        whole = record["baselines"]["whole_image"]["gt_known_error"]
        assert whole == record["metrics"]["gt_known_error"]["value"]


def test_each_equals_its_own_evaluation(boxes, guesses):
    given = ("--predictions", guesses, "--boxes", boxes)
    found = report("--protocol", "all", *given)["protocols"]
    for name in BOXES:
        assert found[name] == report("--protocol", name, *given)


@pytest.fixture
def run(boxes, tmp_path):
    pictures = draw_pictures(tmp_path / "drawn", 4)
    for number, name in enumerate("abcd"):
        drawn = pictures / f"{number:05d}.png"
        with Image.open(drawn) as picture:
            picture.resize((224, 224)).save(pictures / f"{name}.png")
        drawn.unlink()
    squeeze = ("--set", "localize.preprocess={name: squeeze, size: 64}")
    done = run_here(
        "localize", pictures, "-o", tmp_path / "run", "--labels", boxes, *TINY, *squeeze
    )
    assert done.code == 0, done.err
    return tmp_path / "run"


@pytest.fixture
def masks(tmp_path):
    folder = tmp_path / "masks"
    folder.mkdir()
    for number, name in enumerate("abcd"):
        mask = np.zeros((224, 224), np.uint8)
        mask[50:180, 40 * number : 40 * number + 80] = 255
        Image.fromarray(mask).save(folder / f"{name}.png")
    return folder


def test_a_run_by_every_protocol(run, boxes, masks):
    found = report(run, "--protocol", "all", "--boxes", boxes, "--masks", masks)
    assert list(found["protocols"]) == NAMES
    assert found["absent"] == {}
    own = {name: record["metrics"] for name, record in found["protocols"].items()}
    merged = found["metrics"]
    for name in ("max_box_acc_v2", "max_box_acc_30", "max_box_acc_50", "max_box_acc_70"):
        assert merged[name] == own["maxboxacc-v2"][name]
    assert merged["max_box_acc"] == own["maxboxacc"]["max_box_acc"]
    assert merged["pxap"] == own["pxap"]["pxap"]
    assert {n: merged[n] for n in own["ilsvrc"]} == own["ilsvrc"]
    assert set(merged) == set(own["ilsvrc"]) | set(own["maxboxacc-v2"]) | {"max_box_acc", "pxap"}


def test_table_and_markdown(run, boxes, masks, tmp_path):
    given = (run, "--protocol", "all", "--boxes", boxes, "--masks", masks, "--details")
    table = run_here("eval", *given).out
    head = next(line for line in table.splitlines() if line.startswith("more is better, %"))
    assert head.split()[4:] == NAMES
    row = next(line for line in table.splitlines() if line.startswith("GT-known localization"))
    assert [cell == "–" for cell in row.split()[2:]] == [False] * 3 + [True] * 3
    assert "ts-cam: hit: class right and IoU > 0.5 with any true box of the class" in table
    assert "adl-first-box: 4 of 4 annotated scored; left out: none" in table
    out = tmp_path / "report.md"
    assert run_here("eval", *given, "-o", out).code == 0
    assert "| PxAP | – | – | – | – | – |" in out.read_text()


def test_maps_in_files_by_what_scores_maps(boxes, masks, tmp_path):
    random = np.random.default_rng(0)
    np.savez(tmp_path / "maps.npz", **{name: random.random((7, 7)) for name in "abcd"})
    found = report(
        "--protocol", "all", "--boxes", boxes, "--masks", masks,
        "--predictions", tmp_path / "maps.npz",
    )  # fmt: skip
    assert list(found["protocols"]) == MAPS
    assert "holds score maps and no boxes" in found["absent"]["ilsvrc"]
    assert {"max_box_acc", "max_box_acc_v2", "pxap"} <= set(found["metrics"])
    folder = tmp_path / "maps"
    folder.mkdir()
    for name in "abcd":
        np.save(folder / f"{name}.npy", random.random((7, 7)))
    found = report("--protocol", "all", "--boxes", boxes, "--predictions", folder)
    assert list(found["protocols"]) == ["maxboxacc", "maxboxacc-v2"]


def test_a_broken_mask_leaves_the_others(run, boxes, masks):
    (masks / "c.png").write_bytes(b"")
    found = report(run, "--protocol", "all", "--boxes", boxes, "--masks", masks)
    assert list(found["protocols"]) == NAMES[:-1]
    assert found["absent"]["pxap"] == f"{masks / 'c.png'}: empty file (0 bytes)"


def test_when_none_can_be_scored(boxes, guesses):
    lines = guesses.read_text().splitlines(keepends=True)
    guesses.write_text("".join(lines[:2]))
    ran = run_here("eval", "--protocol", "all", "--predictions", guesses, "--boxes", boxes)
    assert (ran.code, ran.out) == (5, "")
    assert ran.err == (
        "camtool: 2 of 4 annotated images have no prediction (first: c); --allow-missing scores"
        " the rest\n"
    )


def test_mistakes(boxes, guesses):
    ran = run_here("eval", "--protocol", "all", "--predictions", guesses)
    assert (ran.code, ran.out) == (2, "")
    assert "give --boxes PATH" in ran.err
    ran = run_here("eval", "--protocol", "all", "--boxes", boxes, "--baselines-only")
    assert (ran.code, ran.out) == (2, "")
    assert "--baselines-only needs no predictions, so no protocol" in ran.err


def test_as_a_setting(tmp_path, boxes, guesses):
    for written in ("all", {"name": "all"}):
        settings = EvalSettings.model_validate({"protocol": written})
        assert settings.every_protocol
    assert not EvalSettings().every_protocol
    config = tmp_path / "all.yaml"
    config.write_text(f"eval: {{protocol: all, annotations: {boxes}}}\n")
    assert list(report("-c", config, "--predictions", guesses)["protocols"]) == BOXES


def test_comparing(run, boxes):
    for protocol, message in {
        "all": "--protocol all: a comparison is by one protocol; name it",
        "pxap": "the protocol pxap compares no runs: PxAP is one curve of all pixels of all images",
    }.items():
        ran = run_here("compare", run, run, "--boxes", boxes, "--protocol", protocol)
        assert (ran.code, ran.out) == (2, "")
        assert message in ran.err
    for protocol in ("ts-cam", "adl-first-box"):
        ran = run_here(
            "compare", run, run, "--boxes", boxes, "--protocol", protocol, "--format", "json"
        )
        assert ran.code == 0, ran.err
        found = json.loads(ran.out)
        assert found["protocol"] == protocol
        assert "gt_known_error" in json.dumps(found)


def test_real_run(shared, tmp_path):
    """Real photos: what a protocol states is what its numbers show."""
    data = shared / "data" / "ilsvrc-val-227"
    photos = sorted((data / "Data" / "CLS-LOC" / "val").iterdir())[:24]
    listed = tmp_path / "photos.txt"
    listed.write_text("".join(f"{photo}\n" for photo in photos))
    done = run_here(
        "localize", listed, "-o", tmp_path / "run", "--labels", data / "Annotations",
        "--set", "localize.overlays.enabled=false",
    )  # fmt: skip
    assert done.code == 0, done.err
    found = report(
        tmp_path / "run", "--protocol", "all", "--boxes", data / "Annotations", "--allow-missing",
        "--set", "eval.bootstrap.samples=100",
    )["protocols"]  # fmt: skip
    assert list(found) == NAMES[:-1]
    known = {name: found[name]["metrics"]["gt_known_error"]["value"] for name in BOXES}
    assert {record["counts"]["scored"] for record in found.values()} == {24}
    assert 0 < known["ilsvrc"] < 70
    # TS-CAM squashes as the run's network does, and its GT-known rule is the official one: only
    # truncation to 224 pixels is between them.
    assert abs(known["ts-cam"] - known["ilsvrc"]) < 10


def test_a_setting_of_one_protocol_is_for_that_one(guesses, boxes):
    ran = run_here(
        "eval", "--protocol", "all", "--predictions", guesses, "--boxes", boxes,
        "--set", "eval.protocol.fixed=0.3",
    )  # fmt: skip
    assert ran.code == 2
    assert ran.err.startswith(
        "camtool: eval.protocol.fixed: --protocol all scores by every protocol"
    )
