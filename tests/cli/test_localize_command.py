"""`camtool localize`: what it prints and writes, and how each mistake ends."""

from __future__ import annotations

import json
import math
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from camtool.runs import MapFiles, last_run, read_predictions
from tests.builders import draw_pictures
from tests.commands import TINY, run_alone, run_here

KINDS = ("overlays", "crops", "heatmaps")


@pytest.fixture(scope="module")
def run(pictures, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("run") / "pictures"
    assert run_here("localize", pictures, "-o", out, *TINY).code == 0
    return out


def test_what_a_run_holds(run, pictures):
    assert sorted(p.name for p in run.iterdir()) == [
        "experiment.yaml", "manifest.json", "maps", "predictions.jsonl",
    ]  # fmt: skip
    records = [json.loads(line) for line in (run / "predictions.jsonl").read_text().splitlines()]
    assert [r["image_id"] for r in records] == [f"{n:05d}" for n in range(24)]
    assert records[5] == {
        "image_id": "00005",
        "path": str(pictures / "00005.png"),
        "error": "not an image: it holds text",
    }
    first = records[0]
    assert list(first) == ["image_id", "path", "width", "height", "classes", "maps"]
    assert (first["width"], first["height"], first["maps"]) == (48, 36, "maps/00000.npz")
    assert [c["rank"] for c in first["classes"]] == [1, 2, 3, 4, 5]
    assert [c["map"] for c in first["classes"]] == [0, 1, 2, 3, 4]
    scores = [c["score"] for c in first["classes"]]
    assert scores == sorted(scores, reverse=True)
    assert {"index", "name", "score", "boxes"} <= set(first["classes"][0])
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["counts"] == {
        "images": 24, "localized": 23, "without_class": 0, "unsure": 23, "skipped": 1,
    }  # fmt: skip
    assert manifest["skipped"] == [records[5]]
    assert len(manifest["model"]["sha256"]) == 64
    prediction = next(iter(read_predictions(run)))
    values = MapFiles(run).load(prediction, 0).values
    assert values.dtype == np.float32
    assert np.isfinite(values).all()


def test_what_is_printed(pictures, tmp_path):
    ran = run_here("localize", pictures, "-o", tmp_path / "run", *TINY)
    lines = ran.out.splitlines()
    assert lines[0].split() == ["image", "class", "score", "box", "x0", "y0", "x1", "y1"]
    assert lines[7].startswith("00005  (not an image: it holds text)")
    assert lines[-3:] == [
        "… and 4 more",
        "23 unsure: no class reaches 0.3, so what they show may be none that the network knows;"
        " --min-score 0.3 leaves such classes out",
        f"23 images localized, 1 skipped: {tmp_path}/run/",
    ]
    unreadable = pictures / "00005.png"
    assert ran.err == f"warning: {unreadable}: not an image: it holds text; skipped\n"


def test_the_default_folder_is_remembered(pictures):
    one = pictures / "00000.png"
    assert run_here("localize", one, *TINY).code == 0
    assert last_run() == Path("runs/localize").resolve()
    assert run_here("localize", one, "-o", "elsewhere", *TINY).code == 0
    assert last_run() == Path("elsewhere").resolve()


def test_the_written_experiment_repeats_the_run(run, pictures, tmp_path):
    again = tmp_path / "again"
    written = ("--config", run / "experiment.yaml")
    assert run_here("localize", pictures, "-o", again, *written).code == 0
    assert (again / "predictions.jsonl").read_bytes() == (run / "predictions.jsonl").read_bytes()


def test_overlays(pictures, tmp_path):
    few = [pictures / f"0000{n}.png" for n in (3, 4, 5)]
    on = (*TINY, "--set", "localize.overlays.enabled=true")
    assert run_here("localize", *few, "-o", tmp_path / "run", *on).code == 0
    assert len(list((tmp_path / "run" / "overlays").iterdir())) == 2


def test_tar_shard_and_list(run, pictures, tmp_path):
    expected = [(p.image_id, p.error, _boxes(p)) for p in read_predictions(run)]
    with tarfile.open(tmp_path / "shard.tar", "w") as tar:
        tar.add(pictures, arcname=".")
    names = sorted(pictures.iterdir())
    (tmp_path / "list.txt").write_text("".join(f"{name}\n" for name in names))
    for name in ("shard.tar", "list.txt"):
        out = tmp_path / f"run-{name}"
        assert run_here("localize", tmp_path / name, "-o", out, *TINY).code == 0
        found = sorted((p.image_id, p.error, _boxes(p)) for p in read_predictions(out))
        assert [(Path(i).name, *rest) for i, *rest in found] == expected, name


def _boxes(prediction) -> list[object]:
    return [(c.name, c.score, [b.box for b in c.boxes]) for c in prediction.classes]


def test_labels_add_the_true_class(pictures, tmp_path):
    labels = tmp_path / "labels.csv"
    labels.write_text("file,class\n00000.png,n01440764\n00001,tench\n00002,no such class\n")
    few = [pictures / f"0000{n}.png" for n in range(4)]
    ran = run_here("localize", *few, "-o", tmp_path / "run", *TINY, "--labels", labels)
    assert ran.code == 0
    assert "1 labels of 1 images are no classes of the network: 'no such class'" in ran.err
    assert "1 of 4 images have no label" in ran.err
    predictions = list(read_predictions(tmp_path / "run"))
    targets = [[(c.name, c.index, c.rank) for c in p.classes if c.target] for p in predictions]
    assert [[t[:2] for t in each] for each in targets] == [
        [("n01440764", 0)], [("n01440764", 0)], [], [],
    ]  # fmt: skip
    assert all(5 < rank <= 1000 for each in targets for _, _, rank in each)
    assert [len(p.classes) for p in predictions] == [6, 6, 5, 5]


def test_labels_that_cannot_be_used_are_told(pictures, tmp_path):
    labels = tmp_path / "labels.csv"
    conflicts = "".join(f"{n:05d}.png,tench\n{n:05d}.png,goldfish\n" for n in range(12))
    labels.write_text(f"file,class\n00023.png,tench\n00022.png\n{conflicts}")
    ran = run_here("localize", pictures, "-o", tmp_path / "run", *TINY, "--labels", labels)
    assert ran.code == 0
    said = [line for line in ran.err.splitlines() if line.startswith(f"warning: {labels}")]
    assert said[0] == f"warning: {labels}:3: no class in this row; not used as a label"
    assert said[1].startswith(f"warning: {labels}:5: 00000 has class goldfish here and tench at ")
    assert said[10] == f"warning: {labels}: 3 more entries could not be used as labels"
    assert said[11].startswith(f"warning: {labels}: 23 of 24 images have no label")
    assert len(said) == 12


def test_one_bad_file_among_a_thousand_costs_that_row(tmp_path):
    folder = draw_pictures(tmp_path / "thousand", 1001, broken=(500,))
    ran = run_here("localize", folder, "-o", tmp_path / "run", *TINY)
    assert ran.code == 0
    assert ran.out.splitlines()[-1].startswith("1,000 images localized, 1 skipped: ")
    predictions = list(read_predictions(tmp_path / "run"))
    assert [p.image_id for p in predictions] == [f"{n:05d}" for n in range(1001)]
    assert [p.image_id for p in predictions if p.error] == ["00500"]
    assert all(len(p.classes) == 5 for p in predictions if not p.error)
    strict = run_here("localize", folder, "-o", tmp_path / "run", *TINY, "--strict")
    assert strict.code == 3
    assert strict.err == "camtool: 1 of 1001 images were skipped (--strict)\n"


# Mistakes: arguments → exit code and the last line on stderr. {} is the test's folder.
MISTAKES = {
    "no images given": ([], 2, "Missing argument 'IMAGES...'."),
    "no such file": (["{}/absent.jpg"], 3, "{}/absent.jpg: no such file or folder"),
    "folder without images": (["{}/empty"], 3, "no images in {}/empty"),
    "compressed tar": (["{}/a.tgz"], 3, "a compressed tar cannot be read image by image"),
    "broken tar": (["{}/a.tar"], 3, "{}/a.tar: not a readable tar file"),
    "unknown setting": (
        ["{}/p", "--set", "localize.boxes.treshold=0.3"], 2,
        "localize.boxes.treshold: unknown setting; did you mean 'threshold'?",
    ),
    "setting out of range": (
        ["{}/p", "--set", "localize.boxes.threshold=2"], 2, "localize.boxes.threshold: ",
    ),
    "set without a value": (["{}/p", "--set", "model.backbone"], 2, "model.backbone"),
    "broken yaml": (
        ["{}/p", "-c", "{}/broken.yaml"], 2, "{}/broken.yaml:3:4: not valid YAML: expected",
    ),
    "no such yaml": (["{}/p", "-c", "{}/absent.yaml"], 2, "{}/absent.yaml"),
    "key of the yaml unknown": (
        ["{}/p", "-c", "{}/wrong.yaml"], 2,
        "{}/wrong.yaml:2: localize.bokses: unknown setting; did you mean 'boxes'?",
    ),
    "unknown backbone": (
        ["{}/p", "--set", "model.backbone=timm/resnet180"], 4,
        "timm has no network 'resnet180'; did you mean resnet18",
    ),
    "backbone without a library": (["{}/p", "--set", "model.backbone=resnet18"], 2, "backbone"),
    "no such weights": (
        ["{}/p", "--set", "model.weights={}/absent.safetensors"], 4, "{}/absent.safetensors",
    ),
    "no such labels": (["{}/p", "--labels", "{}/absent.csv"], 3, "{}/absent.csv"),
    "labels of other images": (
        ["{}/p", "--labels", "{}/others.csv"], 3,
        "{}/others.csv: no image belongs to an annotated image",
    ),
    "shard without a count": (["{}/p", "--shard", "1"], 2, "--shard 1: write I/N with 0 <= I < N"),
    "shard beyond the count": (["{}/p", "--shard", "2/2"], 2, "--shard 2/2: write I/N"),
    "negative shard": (["{}/p", "--shard", "-1/2"], 2, "--shard -1/2: write I/N"),
    "shard of words": (["{}/p", "--shard", "a/b"], 2, "--shard a/b: write I/N"),
    "overwriting shard": (
        ["{}/p", "--shard", "0/2", "--overwrite"], 2,
        "--overwrite with --shard would remove the other shards' work",
    ),
    "no CUDA": (["{}/p", "--device", "cuda"], 4, "no CUDA device is here"),
    "out below a file": (["{}/p", "-o", "{}/others.csv/run"], 6, "a part of the path is a file"),
    "out is a file": (["{}/p", "-o", "{}/others.csv"], 6, "{}/others.csv"),
    "out cannot be written": (["{}/p", "-o", "/proc/run"], 6, "/proc/run"),
    "out holds something else": (
        ["{}/p", "-o", "{}/foreign"], 6, "{}/foreign: not empty, and not a run folder",
    ),
    "foreign folder is not overwritten": (
        ["{}/p", "-o", "{}/foreign", "--overwrite"], 6,
        "{}/foreign: not empty, and not a run folder",
    ),
    "only text": (["{}/p/00001.png"], 3, "none of 1 images could be read; the first: {}/p/00001"),
}  # fmt: skip


@pytest.fixture
def place(tmp_path) -> Path:
    draw_pictures(tmp_path / "p", 2, broken=(1,))
    (tmp_path / "empty" / ".hidden").mkdir(parents=True)
    (tmp_path / "empty" / "notes.md").write_text("no image")
    (tmp_path / "a.tgz").write_bytes(b"\x1f\x8b")
    (tmp_path / "a.tar").write_bytes(b"no tar file" * 100)
    (tmp_path / "broken.yaml").write_text("localize:\n  boxes: {name: paper\nrun: {}\n")
    (tmp_path / "wrong.yaml").write_text("localize:\n  bokses: {name: paper}\n")
    (tmp_path / "others.csv").write_text("file,class\nx.png,n01440764\n")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "thesis.txt").write_text("of value")
    return tmp_path


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake(mistake, place):
    if mistake == "no CUDA":
        torch = pytest.importorskip("torch")
        if torch.cuda.is_available():
            pytest.skip("a CUDA device is here")
    arguments, code, message = MISTAKES[mistake]
    given = [a.replace("{}", str(place)) for a in arguments]
    if "-o" not in given:
        given += ["-o", str(place / "run")]
    ran = run_here("localize", *TINY, *given)
    last = ran.err.splitlines()[-1]
    assert (ran.code, ran.out) == (code, "")
    assert message.replace("{}", str(place)) in ran.err
    assert last.startswith("Error: " if mistake == "no images given" else "camtool: ")
    assert (place / "foreign" / "thesis.txt").read_text() == "of value"
    # A mistake leaves no run behind that the right command would then be refused in.
    if code != 3 or mistake != "only text":
        assert not (place / "run").exists()


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (("--set", "localize.boxes.threshold=0.3"), "localize.boxes.threshold"),
        (("--set", "run.seed=1"), "run.seed"),
        (("--set", "localize.preprocess.size=96"), "localize.preprocess.size"),
    ],
)
def test_run_of_another_experiment(change, key, pictures, run):
    before = (run / "predictions.jsonl").read_bytes()
    ran = run_here("localize", pictures, "-o", run, *TINY, *change)
    assert ran.code == 6
    assert ran.err == (
        f"camtool: {run} holds another experiment ({key} differs):"
        " choose another --out or --overwrite\n"
    )
    assert (run / "predictions.jsonl").read_bytes() == before


def test_run_of_other_images(pictures, run):
    ran = run_here("localize", pictures / "00000.png", "-o", run, *TINY)
    assert ran.code == 6
    assert "holds another experiment (the set of images or labels differs)" in ran.err


def test_what_does_not_shape_results_may_differ(pictures, run):
    changes = ("--set", "run.workers=0", "--set", "run.batch_size=7", "--device", "cpu")
    assert run_here("localize", pictures, "-o", run, *TINY, *changes).code == 0


def test_no_permission(pictures, tmp_path):
    if os.geteuid() == 0:
        pytest.skip("permission bits do not bind root")
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    ran = run_here("localize", pictures, "-o", closed / "run", *TINY)
    assert ran.code == 6
    assert "no permission to write there; choose another --out" in ran.err


@pytest.mark.slow
def test_a_process_of_its_own(pictures, run, tmp_path):
    """The entry point is as quiet, and as exact, as the function the other tests call."""
    ran = run_alone("localize", pictures, "-o", tmp_path / "run", *TINY, "--strict")
    assert ran.code == 3
    assert ran.err == (
        f"warning: {pictures}/00005.png: not an image: it holds text; skipped\n"
        "camtool: 1 of 24 images were skipped (--strict)\n"
    )
    alone = (tmp_path / "run" / "predictions.jsonl").read_bytes()
    assert alone == (run / "predictions.jsonl").read_bytes()


def test_pictures_on_request(tmp_path):
    """Overlays of the first images only, what is in the boxes, arrays of maps; the truth."""
    pictures = draw_pictures(tmp_path / "pictures", 4)
    (tmp_path / "labels.csv").write_text(
        "file,class\n" + "".join(f"{n:05d}.png,{n}\n" for n in range(4))
    )
    ran = run_here(
        "localize", pictures, "-o", tmp_path / "run", *TINY, "--labels", tmp_path / "labels.csv",
        "--set", "localize.overlays.enabled=true", "--set", "localize.overlays.first=2",
        "--set", "localize.crops=true", "--set", "localize.heatmaps=npy", "--draw", "all",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert "overlays of the first 2 images only: --set localize.overlays.first=null" in ran.err
    names = {kind: sorted(p.name for p in (tmp_path / "run" / kind).iterdir()) for kind in KINDS}
    assert names["overlays"] == ["00000.jpg", "00001.jpg"]
    assert names["heatmaps"] == [f"{n:05d}.npy" for n in range(4)]
    records = list(read_predictions(tmp_path / "run"))
    boxed = [r.image_id for r in records for _ in r.classes[0].boxes]
    assert len(names["crops"]) == len(boxed)
    for record in records:
        heat = np.load(tmp_path / "run" / "heatmaps" / f"{record.image_id}.npy")
        assert heat.shape == record.size[::-1]
        assert 0 <= heat.min() <= heat.max() <= 1
        for place, scored in enumerate(record.classes[0].boxes):
            with Image.open(tmp_path / "run" / "crops" / f"{record.image_id}-{place}.jpg") as crop:
                assert crop.size == (
                    math.ceil(scored.box.x1) - math.floor(scored.box.x0),
                    math.ceil(scored.box.y1) - math.floor(scored.box.y0),
                )
    rows = ran.out.splitlines()
    assert "true class" in rows[0]
    right = [r.classes[0].target for r in records]
    assert [row.rstrip().endswith("right") for row in rows[2:6]] == right
    assert all("rank" in row for row, ok in zip(rows[2:6], right, strict=True) if not ok)


def test_a_large_picture_is_read_again_when_it_is_drawn(tmp_path):
    Image.new("RGB", (2000, 1200), "red").save(tmp_path / "large.png")
    on = (*TINY, "--set", "localize.overlays.enabled=true")
    ran = run_here("localize", tmp_path / "large.png", "-o", tmp_path / "run", *on)
    assert ran.code == 0, ran.err
    with Image.open(tmp_path / "run" / "overlays" / "large.jpg") as overlay:
        assert overlay.size == (2000, 1200)
