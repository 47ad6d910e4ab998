"""The pages of the docs: every command and program runs as written, and prints what stands there.

A block behind `<!-- not run: REASON -->` is left out; what it says of the program is checked still.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import click
import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

from camtool import Experiment, load_settings, localize
from camtool.cli.group import COMMANDS, camtool
from camtool.runs import read_manifest
from camtool.settings import describe
from tests.builders import draw_pictures, draw_shapes, write_voc
from tests.commands import TINY, run_here
from tests.reports.drawn_run import drawn_run, names

ROOT = Path(__file__).resolve().parent.parent
DOCS = sorted((ROOT / "docs").glob("*.md"))
BLOCK = re.compile(
    r"(?:<!-- not run: (?P<why>.+?) -->\n)?"
    r"```(?P<kind>console|bash|python|text|yaml)\n(?P<text>.*?)```",
    re.DOTALL,
)


def test_every_page_with_something_to_run_has_a_test():
    for page in DOCS:
        if any(block["kind"] != "text" for block in BLOCK.finditer(page.read_text("utf-8"))):
            assert f"test_{page.stem.replace('-', '_')}" in globals(), page


def test_index(desk):
    (desk.folder / "examples").symlink_to(ROOT / "examples")
    desk.run("index.md")


@pytest.mark.slow
def test_tutorial(desk):
    for name in ("examples", "scripts"):
        (desk.folder / name).symlink_to(ROOT / name)
    desk.run("tutorial.md")


def test_photos(desk):
    desk.bring("photos", "cat", "coffee", "jaguars", "macaw")
    desk.bring("more", "bucket", "red_panda")
    desk.run("photos.md")
    for photo, overlay in (
        ("photos/cat.jpg", "runs/localize/overlays/cat.jpg"),
        ("more/bucket.jpg", "runs/localize-2/overlays/bucket.jpg"),
    ):
        with Image.open(desk.folder / photo) as one, Image.open(desk.folder / overlay) as other:
            assert one.size == other.size
    assert (desk.folder / "runs" / "parts" / "crops" / "jaguars-0.jpg").exists()


def test_own_network(desk):
    """The stand-in has random weights: what counts is that its classes get their names."""
    desk.bring("photos", "cat", "coffee")
    torch.manual_seed(0)
    state = timm.create_model("resnet18", num_classes=7).state_dict()
    state = {f"module.{name}": value for name, value in state.items()}
    torch.save({"epoch": 3, "state_dict": state}, desk.folder / "best.pth.tar")
    (desk.folder / "names.txt").write_text("ant\nbee\ncat\ndog\nelk\nfox\ngnu\n")
    desk.run("own-network.md")
    names = [row["name"] for row in read_manifest(desk.folder / "runs" / "own")["classes"]]
    assert names == ["ant", "bee", "cat", "dog", "elk", "fox", "gnu"]


def test_python(desk):
    for package in ("pandas", "supervision"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    desk.bring("photos", "cat", "coffee", "jaguars", "macaw")
    shutil.copy(ROOT / "examples" / "val.xml", desk.folder)
    desk.run("python.md")


def test_export(desk):
    desk.bring("photos", "cat", "coffee", "jaguars", "macaw")
    desk.run("export.md")
    linked = sorted(p.name for p in (desk.folder / "detector" / "images").rglob("*.jpg"))
    assert linked == ["cat.jpg", "coffee.jpg", "jaguars.jpg", "macaw.jpg"]


def test_own_classes(desk):
    (desk.folder / "scripts").symlink_to(ROOT / "scripts")
    desk.run("own-classes.md")
    assert read_manifest(desk.folder / "runs" / "localize")["model"]["chosen_on"]["rule"] == "top1"


def test_paper_table(desk):
    """A stand-in for CUB: its lists, and drawn shapes for birds."""
    write_cub(desk.folder / "CUB_200_2011")
    desk.run("paper-table.md")
    listed = (desk.folder / "runs" / "cub" / "test.csv").read_text().splitlines()
    assert len(listed) == 1 + 4 * 4
    chosen = read_manifest(desk.folder / "runs" / "cam")["model"]["chosen_on"]
    assert chosen["images"].startswith("10 % of the training images")
    assert not chosen["official_test"]
    table = (desk.folder / "table.tex").read_text()
    assert r"\toprule" in table
    assert "GT-known localization" in table


def test_report(desk):
    drawn = drawn_run(desk.folder, names(8))
    (desk.folder / "runs").mkdir()
    for name in ("val", "a", "b", "localize"):
        (desk.folder / "runs" / name).symlink_to(drawn.run)
    (desk.folder / "val.csv").symlink_to(drawn.boxes)
    desk.run("report.md")
    pages = {path.name for path in desk.folder.glob("*.html")}
    assert pages == {"report.html", "look.html", "two.html", "many.html", "scores.html"}
    assert (desk.folder / "many_assets").is_dir()


@pytest.mark.slow
def test_training(desk):
    desk.bring("photos", "cat")
    for name in ("scripts", "configs"):
        (desk.folder / name).symlink_to(ROOT / name)
    desk.run("training.md")
    page, readme = ((ROOT / path).read_text("utf-8") for path in ("docs/training.md", "README.md"))
    section = readme.split("## Training\n")[1].split("## ")[0]
    for block in BLOCK.finditer(section):
        for line in block["text"].splitlines():
            # `camtool train FOLDER` is what the page of own classes does.
            command = line.split("  ")[0]
            assert command in page or command == "$ camtool train data/shapes"


@pytest.mark.slow
def test_networks(desk):
    """Stand-ins: networks with random weights, and drawn shapes as photos of four classes."""
    draw_shapes(desk.folder / "drawn", train=3, val=1, size=64)
    (desk.folder / "drawn" / "train").rename(desk.folder / "photos")
    torch.manual_seed(0)
    network = timm.create_model("test_resnet", num_classes=4)
    state = {"arch": "test_resnet", "state_dict": network.state_dict()}
    torch.save(state, desk.folder / "best.pth.tar")
    (desk.folder / "names.txt").write_text("disk\nring\nsquare\ntriangle\n")
    resnet = timm.create_model("resnet50", num_classes=4).state_dict()
    save_file(resnet, desk.folder / "model.safetensors")
    torch.save(network, desk.folder / "whole.pth")
    desk.run("networks.md")
    saved = torch.load(desk.folder / "state.pth", weights_only=True)
    assert list(saved) == list(network.state_dict())


def test_localizers(desk):
    desk.bring("photos", "cat")
    random = np.random.default_rng(0)
    desk.names["svm"] = SimpleNamespace(
        coef_=random.normal(size=(1, 1280)), intercept_=random.normal(size=1)
    )
    desk.run("localizers.md")
    overrides = [f"model.linear_weights={desk.folder / 'concepts.npz'}"]
    experiment = load_settings(Experiment, None, [*overrides, f"run.dir={desk.folder / 'concept'}"])
    run = localize(desk.folder / "photos", experiment)
    assert [row["name"] for row in read_manifest(run.folder)["classes"]] == ["text"]


def test_settings(desk):
    desk.run("settings.md")
    assert load_settings(Experiment, desk.folder / "settings.yaml").localize.boxes.threshold == 0.3


def test_the_page_of_files_names_every_file_and_field(tmp_path, monkeypatch):
    """Of a run with all that can be switched on, of its score and of an export."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    draw_pictures(tmp_path / "photos", 3, broken=[1])
    write_voc(tmp_path / "boxes", {"00000": [(2, 0, 40, 35)], "00002": [(0, 0, 30, 30)]})
    run = tmp_path / "run"
    done = run_here(
        "localize", tmp_path / "photos", "-o", run, "--labels", tmp_path / "boxes", *TINY,
        "--set", "localize.overlays.enabled=true", "--set", "localize.crops=true",
        "--set", "localize.heatmaps=png",
    )  # fmt: skip
    assert done.code == 0
    scored = run_here("eval", run, "--boxes", tmp_path / "boxes", "--format", "json")
    assert run_here("export", run, "-o", tmp_path / "b.csv").code == 0
    page = (ROOT / "docs" / "files.md").read_text("utf-8")
    told = set(re.findall(r"`(\w+)`", page))
    for entry in run.iterdir():
        assert f"`{entry.name}" in page, entry
    records = list(map(json.loads, (run / "predictions.jsonl").read_text().splitlines()))
    classes = [one for record in records for one in record.get("classes", ())]
    assert any("error" in record for record in records)
    for record in (*records, *classes, *(box for one in classes for box in one["boxes"])):
        assert set(record) <= told
    manifest = json.loads((run / "manifest.json").read_text())
    for fields in (manifest, manifest["model"], manifest["counts"], manifest["classes"][0]):
        assert set(fields) <= told
    with np.load(run / "maps" / "00000.npz") as maps:
        assert set(maps) <= told
    result = json.loads(scored.out)
    assert set(result) <= told
    assert set(result["metrics"]["gt_known_error"]) <= told
    assert {"run", "experiment", "versions", "selection", "counts"} <= set(
        json.loads((tmp_path / "b.csv.export.json").read_text())
    )


NAMED = re.compile(r"`(camtool(?: [^`]+)?)`|^\$ (camtool .+)$", re.MULTILINE)
"""A command in a line of text, or in a block."""


@pytest.mark.parametrize("page", [*DOCS, ROOT / "README.md"], ids=lambda page: page.name)
def test_what_a_page_says_of_commands_is_there(page):
    """Those of no block, too: the command, its options and the keys of its settings."""
    keys = {part for row in describe(Experiment) for part in ancestors(row.key)}
    for inline, typed in NAMED.findall(page.read_text("utf-8")):
        words = [w.strip(",;:.'\"") for w in (inline or typed).split("  #")[0].split()[1:]]
        if not words or words[0].startswith("-") or words[0].isupper():
            continue
        assert words[0] in COMMANDS, words
        command = camtool.get_command(click.Context(camtool), words[0])
        known = {name for option in command.params for name in option.opts}
        options = {word.split("=")[0] for word in words[1:] if re.match(r"--?[a-z]", word)}
        assert options <= known | {"--help", "-h"}, (words, options - known)
    text = page.read_text("utf-8")
    for key in re.findall(r"--set '?\s*([a-z][\w.]+)=", text):
        assert key in keys, key


def ancestors(key: str) -> list[str]:
    parts = key.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts) + 1)]


def write_cub(root: Path) -> None:
    shapes = draw_shapes(root.parent / "shapes", train=20, val=4)
    boxes = dict(
        line.split(",", 1) for line in (shapes / "val_boxes.csv").read_text().splitlines()[1:]
    )
    lists: dict[str, list[str]] = {name: [] for name in (
        "images", "image_class_labels", "train_test_split", "bounding_boxes", "classes",
    )}  # fmt: skip
    number = 0
    for label, folder in enumerate(sorted((shapes / "train").iterdir()), 1):
        name = f"{label:03d}.{folder.name}"
        lists["classes"].append(f"{label} {name}")
        (root / "images" / name).mkdir(parents=True)
        for part in ("train", "val"):
            for picture in sorted((shapes / part / folder.name).iterdir()):
                number += 1
                file = f"{name}/{part}_{picture.stem}.jpg"
                Image.open(picture).convert("RGB").save(root / "images" / file)
                x0, y0, x1, y1 = (
                    map(int, boxes[picture.name].split(",")[:4])
                    if part == "val"
                    else (8, 8, 56, 56)
                )
                lists["images"].append(f"{number} {file}")
                lists["image_class_labels"].append(f"{number} {label}")
                lists["train_test_split"].append(f"{number} {int(part == 'train')}")
                lists["bounding_boxes"].append(f"{number} {x0}.0 {y0}.0 {x1 - x0}.0 {y1 - y0}.0")
    for name, lines in lists.items():
        (root / f"{name}.txt").write_text("\n".join(lines) + "\n")


class Desk:
    """A folder in which a page is typed, line by line."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            **os.environ,
            "XDG_STATE_HOME": str(folder / "state"),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
        }
        self.names: dict[str, object] = {}

    def bring(self, folder: str, *names: str) -> None:
        (self.folder / folder).mkdir()
        for name in names:
            shutil.copy(ROOT / "examples" / "images" / f"{name}.jpg", self.folder / folder)

    def run(self, page: str) -> None:
        """Type every block of a page; what stands below a command or a program must be printed."""
        printed = ""
        ran = 0
        for block in BLOCK.finditer((ROOT / "docs" / page).read_text("utf-8")):
            kind, text = block["kind"], block["text"]
            if block["why"]:
                continue
            ran += 1
            if kind in ("console", "bash"):
                for part in text.split("$ ")[1:]:
                    self._type(*part.split("\n", 1))
            elif kind == "python":
                printed = self._program(text, page)
            elif kind == "yaml":
                (self.folder / "settings.yaml").write_text(text, "utf-8")
                self._type("camtool config check settings.yaml", "settings.yaml: valid")
            else:
                assert printed == text, f"{page} prints {printed}"
        assert ran

    def _type(self, line: str, shown: str) -> None:
        done = subprocess.run(
            shlex.split(line.split("  #")[0]), cwd=self.folder, env=self.environment,
            capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        said = squeezed(done.stderr + done.stdout)
        assert done.returncode == 0, f"{line}\n{said}"
        for wanted in filter(None, map(squeezed, shown.splitlines())):
            assert wanted in said, f"{line}\nprints no {wanted!r}:\n{said}"

    def _program(self, text: str, page: str) -> str:
        output = io.StringIO()
        with contextlib.chdir(self.folder), contextlib.redirect_stdout(output):
            exec(compile(text, page, "exec"), self.names)
        return output.getvalue()


def squeezed(text: str) -> str:
    return re.sub(r"[ \t]+", " ", text).strip()


@pytest.fixture
def desk(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return Desk(tmp_path)
