"""Every awkward image, read alone: the exact reason, or the right pixels."""

from __future__ import annotations

import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from camtool.errors import ImageReadError
from camtool.images.decode import ImageSettings, decode
from camtool.images.sources import FileSource
from tests.builders import awkward_files

SPECIAL = ("folder.JPEG", "broken_link.JPEG", "loop_link.JPEG", "fifo.JPEG")
LIMIT = ImageSettings().max_pixels

KNOWN = "not an image of a known format (JPEG, PNG, WEBP, GIF, BMP, TIFF, PPM, AVIF)"
TRUNCATED = "cannot be decoded: image file is truncated…"

# Image → its reason; only its begin, up to `…`, where the rest is in Pillow's words.
REASONS = {
    "float32.tiff": "unsupported mode F (floating-point pixels): save it with 8 bits",
    "zero_bytes.JPEG": "empty file (0 bytes)",
    "header_only.JPEG": "cannot be decoded: …",
    "truncated_half.JPEG": TRUNCATED,
    "truncated_eoi.JPEG": TRUNCATED,
    "leading_garbage.JPEG": KNOWN,
    "truncated.png": TRUNCATED,
    "bad_crc.png": "cannot be decoded: broken data stream…",
    "text.JPEG": "not an image: it holds text",
    "photo_unavailable.JPEG": "not an image: it holds HTML or XML",
    "random.JPEG": KNOWN,
    "._resource_fork.JPEG": KNOWN,
    "warn_10000x10000.png": "too large: 10000×10000 pixels, the limit is 80,000,000"
    " (localize.images.max_pixels)",
    "bomb_20000x20000.png": "too large: 20000×20000 pixels, the limit is…",
    "header_2e9.png": "…",
    "sof_65500.JPEG": "…",
    "sof_0x0.JPEG": "cannot be decoded: the header is damaged or cut off",
    "text_bomb.png": "cannot be decoded: Decompressed data too large…",
    "folder.JPEG": "not a regular file",
    "broken_link.JPEG": "link to a file that is not there",
    "loop_link.JPEG": "cannot be opened (Too many levels of symbolic links)",
    "fifo.JPEG": "not a regular file",
}

WARNED = ("animated.gif", "animated.webp", "animated.png", "pages.tiff")

# What holds another picture than the reference, or holds it in fewer colours.
OTHER_PICTURE = {
    "gray.JPEG", "gray_alpha.png", "gray16.png", "one_bit.png", "rgb16.png", "quality1.JPEG",
    "corrupt_middle.JPEG", "large_6000x4000.JPEG", "black.png", "white.png", "gray_flat.png",
}  # fmt: skip


def read(folder: Path, name: str, rotate: bool = True):
    return decode(FileSource(name, str(folder / "images" / name)), rotate, LIMIT)


def pixels(folder: Path, name: str) -> np.ndarray:
    return np.asarray(read(folder, name).image, np.int64)


@pytest.mark.parametrize("name", [*awkward_files("images"), *SPECIAL])
def test_image(name, bad_inputs):
    if name in REASONS:
        with pytest.raises(ImageReadError) as raised:
            read(bad_inputs, name)
        reason = raised.value.reason
        expected = REASONS[name]
        if expected.endswith("…"):
            assert reason.startswith(expected[:-1])
        else:
            assert reason == expected
        assert raised.value.place == str(bad_inputs / "images" / name)
        return
    decoded = read(bad_inputs, name)
    assert decoded.image.mode == "RGB"
    many = "several pages" if name.endswith("tiff") else "4 frames or pages"
    notes = (f"{many}: only the first is used",) if name in WARNED else ()
    assert decoded.warnings == notes
    if name.startswith("size_"):
        assert decoded.image.size == tuple(map(int, name[5:-4].split("x")))
    elif name not in OTHER_PICTURE:
        difference = np.abs(np.asarray(decoded.image, np.int64) - pixels(bad_inputs, "bmp.bmp"))
        # JPEG and palettes are not exact; an inverted or gray picture differs by some 100.
        assert difference.mean() < 12


@pytest.mark.parametrize(
    "name", ["lossless.webp", "png_named.JPEG", "rgba_transparent.png", "animated.png"]
)
def test_exact_forms(name, bad_inputs):
    """Also under full transparency the colours that are stored are read."""
    np.testing.assert_array_equal(pixels(bad_inputs, name), pixels(bad_inputs, "bmp.bmp"))


@pytest.mark.parametrize("name", ["cmyk.JPEG", "cmyk.tiff"])
def test_cmyk_is_not_inverted(name, bad_inputs):
    np.testing.assert_allclose(pixels(bad_inputs, name)[120, 150], (230, 140, 30), atol=8)


@pytest.mark.parametrize("name", ["palette.png", "palette_trns.png", "gif_named.JPEG"])
def test_palette_colours(name, bad_inputs):
    np.testing.assert_allclose(pixels(bad_inputs, name)[120, 150], (230, 140, 30), atol=8)


def test_gray_is_made_three_channels(bad_inputs):
    gray = pixels(bad_inputs, "gray_alpha.png")
    assert (gray == gray[..., :1]).all()
    # ITU-R 601: .299 · 230 + .587 · 140 + .114 · 30
    assert gray[120, 150].tolist() == [154, 154, 154]


def test_16_bit_gray_is_scaled(bad_inputs):
    np.testing.assert_array_equal(
        pixels(bad_inputs, "gray16.png"), pixels(bad_inputs, "gray_alpha.png")
    )


def test_16_bit_colour_is_scaled(bad_inputs):
    wide = pixels(bad_inputs, "rgb16.png")
    assert wide[0, 150].tolist() == [230, 140, 30]
    np.testing.assert_array_equal(wide[:, 150:160], wide[:1, 150:160].repeat(240, 0))


def test_one_bit_is_black_and_white(bad_inputs):
    assert set(np.unique(pixels(bad_inputs, "one_bit.png"))) == {0, 255}


@pytest.mark.parametrize("orientation", [3, 5, 6, 8])
def test_exif_rotation(orientation, bad_inputs):
    name = f"exif_orientation{orientation}.JPEG"
    upright = read(bad_inputs, name).image
    assert upright.size == (320, 240)
    difference = np.asarray(upright, np.int64) - pixels(bad_inputs, "ok_rgb.JPEG")
    assert np.abs(difference).mean() < 3
    stored = read(bad_inputs, name, rotate=False).image
    assert stored.size == ((320, 240) if orientation == 3 else (240, 320))


@pytest.mark.parametrize(
    "name",
    ["warn_10000x10000.png", "bomb_20000x20000.png", "header_2e9.png", "sof_65500.JPEG",
     "text_bomb.png"],
)  # fmt: skip
def test_bombs_cost_neither_time_nor_memory(name, bad_inputs):
    tracemalloc.start()
    start = time.perf_counter()
    try:
        with pytest.raises(ImageReadError):
            read(bad_inputs, name)
        taken = time.perf_counter() - start
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert taken < 1
    # The compressed text is unpacked up to Pillow's own limit of 1 MiB a chunk.
    assert peak < 20 << 20
