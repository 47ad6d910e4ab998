"""Every awkward image through `camtool localize`, in a folder and alone, ends as its index says.

The tables say what each ends as; `docs/inputs.md` tells users the same.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from camtool.runs import MapFiles, read_predictions
from tests.builders import awkward_files
from tests.commands import TINY, run_here

SPECIAL = ("folder.JPEG", "broken_link.JPEG", "loop_link.JPEG", "fifo.JPEG")


FILES = [*awkward_files("images"), *SPECIAL]

# Image → the reason in its row. Everything else is localized.
SKIPPED = {
    "float32.tiff": "unsupported mode F (floating-point pixels): save it with 8 bits",
    "zero_bytes.JPEG": "empty file (0 bytes)",
    "header_only.JPEG": "cannot be decoded",
    "truncated_half.JPEG": "truncated",
    "truncated_eoi.JPEG": "truncated",
    "leading_garbage.JPEG": "not an image of a known format (JPEG, PNG, ",
    "truncated.png": "truncated",
    "bad_crc.png": "cannot be decoded: broken data stream",
    "text.JPEG": "not an image: it holds text",
    "photo_unavailable.JPEG": "not an image: it holds HTML or XML",
    "random.JPEG": "not an image of a known format (JPEG, PNG, ",
    "._resource_fork.JPEG": "not an image",
    "warn_10000x10000.png": "too large: 10000×10000 pixels, the limit is 80,000,000",
    "bomb_20000x20000.png": "too large",
    "header_2e9.png": "too large",
    "sof_65500.JPEG": "too large",
    "sof_0x0.JPEG": "cannot be decoded: the header is damaged",
    "text_bomb.png": "cannot be decoded",
    "broken_link.JPEG": "link to a file that is not there",
    "loop_link.JPEG": "cannot be opened (Too many levels of symbolic links)",
    "fifo.JPEG": "not a regular file",
}

WARNED = {
    f"{name}": "4 frames or pages: only the first is used"
    for name in ("animated.gif", "animated.webp", "animated.png")
} | {
    "pages.tiff": "several pages: only the first is used",
    **{
        f"size_{a}x{b}.png": f"{a}×{b} pixels are squeezed to 64×64, {max(a, b) / min(a, b):.1f}"
        " times as much along one side; localize.views={name: tiles, count: 64} sees it in parts"
        for a, b in ((1, 2000), (2000, 1), (3000, 2))
    },
}

# A folder scan passes over hidden files; a folder is entered, whatever its name.
LEFT_OUT = {".hidden.JPEG", "._resource_fork.JPEG", "folder.JPEG"}

# The picture turned upright, where its EXIF block is sound; 320×240 unless listed.
SIZES = {
    "size_1x1.png": (1, 1),
    "size_2x2.png": (2, 2),
    "size_1x2000.png": (1, 2000),
    "size_2000x1.png": (2000, 1),
    "size_3000x2.png": (3000, 2),
    "size_7x7.png": (7, 7),
    "size_8x5.png": (8, 5),
    "large_6000x4000.JPEG": (6000, 4000),
}


class Run:
    """One run over the whole folder."""

    def __init__(self, folder: Path, out: Path) -> None:
        self.folder = folder
        self.path = out
        self.ran = run_here("localize", folder, "-o", out, *TINY)
        lines = (out / "predictions.jsonl").read_text().split("\n")
        records = [json.loads(line) for line in lines if line]
        self.records = {str(Path(r["path"]).relative_to(folder)): r for r in records}
        self.count = len(records)


@pytest.fixture(scope="module")
def run(bad_inputs, tmp_path_factory) -> Run:
    return Run(bad_inputs / "images", tmp_path_factory.mktemp("run") / "all")


def test_the_run_over_the_folder_ends_well(run):
    assert run.ran.code == 0
    assert run.count == len(run.records) == len(FILES) - len(LEFT_OUT)
    assert len({r["image_id"] for r in run.records.values()}) == run.count
    skipped = [n for n, r in run.records.items() if "error" in r]
    assert sorted(skipped) == sorted(set(SKIPPED) - LEFT_OUT)
    manifest = json.loads((run.path / "manifest.json").read_text())
    counts = manifest["counts"]
    assert (counts["images"], counts["skipped"]) == (run.count, len(skipped))
    assert counts["localized"] == run.count - len(skipped)
    assert f"{run.count - len(skipped)} images localized, {len(skipped)} skipped" in run.ran.out


@pytest.mark.parametrize("name", FILES)
def test_image_in_the_folder(name, run):
    if name in LEFT_OUT:
        assert name not in run.records
        return
    record = run.records[name]
    # Messages are one line each, also of a name with a line break in it.
    messages = [m for m in run.ran.err.splitlines() if f"/{_shown(name)}: " in m]
    if name in SKIPPED:
        assert SKIPPED[name] in record["error"]
        assert "classes" not in record
        assert messages == [f"warning: {run.folder}/{name}: {record['error']}; skipped"]
        return
    assert (record["width"], record["height"]) == SIZES.get(name, (320, 240))
    assert len(record["classes"]) == 5
    expected = [f"warning: {run.folder}/{name}: {WARNED[name]}"] if name in WARNED else []
    assert messages == expected
    _in_the_picture(record)


def _shown(name: str) -> str:
    return name.replace("\n", "\\n")


def _in_the_picture(record) -> None:
    for found in record["classes"]:
        assert 0 < found["score"] < 1
        for box in found["boxes"]:
            assert 0 <= box["x0"] < box["x1"] <= record["width"]
            assert 0 <= box["y0"] < box["y1"] <= record["height"]
            assert 0 < box["score"] <= 1


@pytest.mark.parametrize("name", FILES)
def test_image_alone(name, run, tmp_path):
    """Named on the command line, an image ends as it does in a folder; hidden files count."""
    ran = run_here("localize", run.folder / name, "-o", tmp_path / "run", *TINY)
    if name == "folder.JPEG":
        assert (ran.code, ran.err) == (3, f"camtool: no images in {_clipped(run.folder / name)}\n")
        return
    (prediction,) = read_predictions(tmp_path / "run")
    if name in SKIPPED:
        assert ran.code == 3
        assert "camtool: none of 1 images could be read; the first: " in ran.err
        assert SKIPPED[name] in ran.err.splitlines()[-1]
        return
    assert ran.code == 0
    assert prediction.error is None
    if name in run.records:
        (alone,) = (tmp_path / "run" / "predictions.jsonl").read_text().strip().split("\n")
        assert _results(json.loads(alone)) == _results(run.records[name])


def _clipped(path: Path) -> str:
    from camtool.errors import shorten

    return shorten(str(path))


def _results(record) -> list[object]:
    """The classes without the place of their maps."""
    return [{k: v for k, v in c.items() if k != "map"} for c in record["classes"]]


def _map(run: Path, path: str) -> np.ndarray:
    prediction = next(p for p in read_predictions(run) if p.path == path)
    return MapFiles(run).load(prediction, prediction.classes[0].map).values


# Recoded without loss, so the network must see the very same pixels as in `lossless.webp`.
@pytest.mark.parametrize("name", ["bmp.bmp", "animated.png"])
def test_lossless_forms_give_the_same_map(name, run):
    folder = run.folder
    expected = _map(run.path, str(folder / "lossless.webp"))
    np.testing.assert_array_equal(_map(run.path, str(folder / name)), expected)


def test_16_bits_are_scaled_not_clipped(run):
    gray = _map(run.path, str(run.folder / "gray16.png"))
    np.testing.assert_allclose(gray, _map(run.path, str(run.folder / "gray.JPEG")), atol=2e-3)
    white = _map(run.path, str(run.folder / "white.png"))
    assert np.abs(gray - white).max() > 0.01


EXIF = [f"exif_orientation{n}.JPEG" for n in (3, 5, 6, 8)]


@pytest.mark.parametrize("name", EXIF)
def test_exif_pictures_are_upright(name, run):
    upright = _map(run.path, str(run.folder / "ok_rgb.JPEG"))
    np.testing.assert_allclose(_map(run.path, str(run.folder / name)), upright, atol=5e-3)


def test_exif_rotation_can_be_switched_off(run, tmp_path):
    files = [run.folder / name for name in EXIF]
    off = ("--set", "localize.images.exif_rotation=false")
    assert run_here("localize", *files, "-o", tmp_path / "run", *TINY, *off).code == 0
    sizes = [p.size for p in read_predictions(tmp_path / "run")]
    assert sizes == [(320, 240), (240, 320), (240, 320), (240, 320)]


@pytest.mark.parametrize(
    ("size", "seen"),
    [((320, 240), (320, 240)), ((240, 320), (240, 320)), ((0, 0), (240, 320))],
)
def test_the_annotated_size_decides_about_the_exif_rotation(size, seen, run, bad_inputs, tmp_path):
    """Without one, boxes among the labels leave the picture as it is stored."""
    xml = tmp_path / "exif_orientation6.xml"
    text = (bad_inputs / "annotations" / "ok.xml").read_text()
    width, height = (f"<width>{size[0]}</width>", f"<height>{size[1]}</height>")
    text = re.sub(r"<width>\d+</width>", width, text)
    xml.write_text(re.sub(r"<height>\d+</height>", height, text))
    picture = run.folder / "exif_orientation6.JPEG"
    ran = run_here("localize", picture, "-o", tmp_path / "run", *TINY, "--labels", xml)
    assert ran.code == 0
    (prediction,) = read_predictions(tmp_path / "run")
    assert prediction.size == seen
    assert (prediction.exif, prediction.upright) == (6, seen == (320, 240))
    assert [c.name for c in prediction.classes if c.target] == ["n07747607"]


def test_skipped_images_with_strict(run):
    arguments = ("localize", run.folder, "-o", run.path, *TINY, "--strict")
    count = len(SKIPPED) - 1
    ran = run_here(*arguments)
    assert ran.code == 3
    assert ran.err.splitlines()[-1] == (
        f"camtool: {count} of {run.count} images were skipped (--strict)"
    )
