"""Inputs that people brought, rebuilt in `../shared/cases`: pixels, sizes, and hostile files."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from camtool.errors import ImageReadError
from camtool.images.decode import decode, quiet_pillow
from camtool.images.sources import FileSource
from tests.commands import TINY, run_alone

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "cases" / "11-pixel-formats"
ODD = ("README", "ref.png", "one_bit_g4.tif", "five_bands8.tif", "tiff_orientation6.tif",
       "i16_12bit_values.tif", "i16_signed.tif", "rgba_junk_under_alpha.png")  # fmt: skip
PLAIN = sorted(p.name for p in FOLDER.glob("*") if p.name not in ODD)


def read(path: Path, rotate: bool = True, most: int = 80_000_000):
    with quiet_pillow():
        return decode(FileSource("x", str(path)), rotate, most)


@pytest.mark.parametrize("name", PLAIN)
def test_one_picture_in_many_pixel_formats(name):
    """Case 11: as in colour, or as in gray."""
    colour = np.asarray(Image.open(FOLDER / "ref.png").convert("RGB")).astype(int)
    gray = np.asarray(Image.open(FOLDER / "ref.png").convert("L")).astype(int)[..., None]
    found = np.asarray(read(FOLDER / name).image).astype(int)
    assert min(np.abs(found - colour).mean(), np.abs(found - gray).mean()) < 6


def test_pixels_that_are_warned_of_or_refused(shared):
    for name in ("i16_12bit_values.tif", "i16_signed.tif"):
        (warning,) = read(FOLDER / name).warnings
        assert "nearly black as it is; scale its values" in warning
    with pytest.raises(ImageReadError, match="an unsupported TIFF"):
        read(FOLDER / "five_bands8.tif")
    assert read(FOLDER / "tiff_orientation6.tif", rotate=False).image.size == (120, 180)
    assert read(FOLDER / "tiff_orientation6.tif").image.size == (180, 120)
    large = shared / "cases" / "24-max-pixels-above-pillows-limit" / "190_megapixels.png"
    with pytest.raises(ImageReadError, match=r"the limit is 80,000,000 \(localize.images.max_pix"):
        read(large)


@pytest.mark.parametrize("name", ["t1_chain.tgz", "t2_big.tar", "t3_neg.tar", "t4_sparse.tar",
                                  "t5_loop.tar", "t6_bomb.tgz"])  # fmt: skip
def test_hostile_archives(name, shared, tmp_path):
    """Case 25: as images and as annotations, each with a reason; two minutes are a hang."""
    path = shared / "cases" / "25-hostile-files" / name
    runs = [run_alone("localize", path, *TINY, "-o", tmp_path / "run", **limits())]
    runs.append(
        run_alone("eval", "--predictions", tmp_path / "none.csv", "--boxes", path, **limits())
    )
    for ran in runs:
        assert ran.code in (3, 5), ran.err
        assert ran.err.startswith("camtool: ") or "warning: " in ran.err


@pytest.mark.parametrize("name", ["avif_timescale0.avif", "bomb_webp.webp"])
def test_one_bad_picture_does_not_end_a_run(name, shared, tmp_path):
    (tmp_path / "photos").mkdir()
    shutil.copy(shared / "cases" / "25-hostile-files" / name, tmp_path / "photos")
    Image.new("RGB", (60, 40), "red").save(tmp_path / "photos" / "red.png")
    ran = run_alone("localize", tmp_path / "photos", *TINY, "-o", tmp_path / "run")
    assert ran.code == 0, ran.err
    assert "1 images localized, 1 skipped" in ran.out


def test_hostile_text(shared, tmp_path):
    case = shared / "cases" / "25-hostile-files"
    ran = run_alone("config", "check", case / "yaml_q.yaml", **limits())
    assert ran.code == 2
    ran = run_alone("eval", "--predictions", tmp_path / "none.csv", "--boxes",
                    case / "coco_hugewidth.json", **limits())  # fmt: skip
    assert ran.code in (3, 5), ran.err


def limits() -> dict:
    """Options of a process that may take two gigabytes."""
    import resource

    return {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_DATA, (4 << 30, 4 << 30))}
