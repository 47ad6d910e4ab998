"""Every awkward list, as IMAGES and as `--labels`, ends as its index says.

The tables say what each ends as; `docs/inputs.md` tells users the same.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from camtool.runs import read_predictions
from tests.builders import awkward_files
from tests.commands import TINY, run_here


@dataclass(frozen=True)
class Expected:
    """How a list ends: exit code, what is said, and image id → (error, has its true class)."""

    code: int = 0
    said: str = ""
    images: tuple[tuple[str, str | None, bool], ...] = (("ok_rgb", None, True),)


QUOTED = 'with space, comma & "quote"'
NONE_READ = "none of 1 images could be read; the first: "

AS_IMAGES = {
    "ok.csv": Expected(images=(("ok_rgb", None, True), ("gray", None, True))),
    "crlf.csv": Expected(),
    "bom.csv": Expected(),
    "no_header.csv": Expected(),
    "blank_lines.csv": Expected(),
    "quoted.csv": Expected(images=((QUOTED, None, True),)),
    "duplicate.csv": Expected(said="duplicate.csv: 1 lines repeat an image: each is used once"),
    "conflict.csv": Expected(
        said="conflict: 'ok_rgb.JPEG' has the classes ('n07747607',) and ('n07753592',)",
        images=(("ok_rgb", None, False),),
    ),
    "missing_file.csv": Expected(
        said="not_there.JPEG: no such file; skipped",
        images=(("not_there", "no such file", False), ("ok_rgb", None, True)),
    ),
    "short_row.csv": Expected(3, "short_row.csv:2: too few fields; the line is left out", ()),
    # Where it leads to depends on the depth of the folder; in no case to a picture.
    "traversal.csv": Expected(3, NONE_READ, (("etc/passwd", "…", False),)),
    "empty.csv": Expected(3, "empty.csv: no image in this list", ()),
    "header_only.csv": Expected(3, "header_only.csv: no image in this list", ()),
    "latin1.csv": Expected(
        3, "latin1.csv:2: wrong encoding: byte 0xe9 is not UTF-8; save it as UTF-8", ()
    ),
    # Of rows of boxes the first column is the image.
    "wsol_localization.txt": Expected(3, NONE_READ, (("val/ok_rgb", "no such file", False),)),
    "tiny_boxes.txt": Expected(images=(("ok_rgb", None, False),)),
}

AS_LABELS = {
    "ok.csv": Expected(),
    "crlf.csv": Expected(),
    "bom.csv": Expected(),
    "no_header.csv": Expected(),
    "blank_lines.csv": Expected(),
    "missing_file.csv": Expected(),
    "duplicate.csv": Expected(said="duplicate.csv:3: listed twice, counted once: ok_rgb"),
    "conflict.csv": Expected(
        3, "conflict.csv:3: ok_rgb has class n07753592 here and n07747607 at ", ()
    ),
    "short_row.csv": Expected(3, "short_row.csv:2: no class in this row", ()),
    "empty.csv": Expected(3, "empty.csv: empty", ()),
    "header_only.csv": Expected(3, "header_only.csv: empty", ()),
    "latin1.csv": Expected(3, "latin1.csv:2: wrong encoding: byte 0xe9 is not UTF-8", ()),
    "quoted.csv": Expected(3, "quoted.csv: no image belongs to an annotated image", ()),
    "traversal.csv": Expected(3, "traversal.csv: no image belongs to an annotated image", ()),
    # Boxes without classes: read, but there is no true class to localize.
    "wsol_localization.txt": Expected(
        0, "wsol_localization.txt:1: a box without a class", (("ok_rgb", None, False),)
    ),
    "tiny_boxes.txt": Expected(3, "tiny_boxes.txt:1: box [90, 60, 220, 180) lies wholly", ()),
}


@pytest.fixture
def beside(bad_inputs, tmp_path) -> Path:
    """A folder with the pictures that the lists name."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("ok_rgb.JPEG", "gray.JPEG", f"{QUOTED}.JPEG"):
        shutil.copy(bad_inputs / "images" / name, folder / name)
    return folder


@pytest.mark.parametrize("name", awkward_files("lists"))
def test_list_of_images(name, bad_inputs, beside, tmp_path):
    shutil.copy(bad_inputs / "lists" / name, beside / name)
    before = sorted(tmp_path.rglob("*"))
    ran = run_here("localize", beside / name, "-o", tmp_path / "run", *TINY)
    _check(AS_IMAGES[name], ran, tmp_path / "run")
    outside = [p for p in tmp_path.rglob("*") if not p.is_relative_to(tmp_path / "run")]
    assert sorted(p for p in outside if "state" not in p.parts) == before


@pytest.mark.parametrize("name", awkward_files("lists"))
def test_list_of_labels(name, bad_inputs, beside, tmp_path):
    labels = ("--labels", bad_inputs / "lists" / name)
    picture = beside / "ok_rgb.JPEG"
    ran = run_here("localize", picture, "-o", tmp_path / "run", *TINY, *labels)
    _check(AS_LABELS[name], ran, tmp_path / "run")


def _check(expected, ran, run) -> None:
    assert ran.code == expected.code
    assert expected.said in ran.err
    if not expected.said:
        assert ran.err == ""
    if expected.code:
        assert ran.err.splitlines()[-1].startswith("camtool: ")
    if not expected.images:
        assert not run.exists()
        return
    vague = any(error == "…" for _, error, _ in expected.images)
    found = tuple(
        (
            p.image_id,
            p.error and ("…" if vague else p.error),
            any(c.target and c.name == "n07747607" for c in p.classes),
        )
        for p in read_predictions(run)
    )
    assert found == expected.images
