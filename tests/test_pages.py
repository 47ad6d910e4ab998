"""The pages of the docs that lead through a job: every command runs as written, and prints that."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch
from PIL import Image

from camtool.runs import read_manifest
from tests.builders import draw_shapes

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"```(console|python|text)\n(.*?)```", re.DOTALL)


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
        blocks = BLOCK.findall((ROOT / "docs" / page).read_text("utf-8"))
        assert blocks
        for kind, text in blocks:
            if kind == "console":
                for part in text.split("$ ")[1:]:
                    self._type(*part.split("\n", 1))
            elif kind == "python":
                printed = self._program(text, page)
            else:
                assert printed == text, f"{page} prints {printed}"

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
