from __future__ import annotations

import io
import tarfile
import time

import numpy as np
import pytest
from PIL import Image

from camtool.errors import ImageReadError, SettingsError
from camtool.images.decode import ImageSettings, decode
from camtool.images.sources import FileSource, ImageSource, TarSource, UrlSource
from tests.builders import picture

FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "PPM", "AVIF")


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def read(path, data: bytes | None = None, rotate: bool = True, max_pixels: int = 10**6):
    if data is not None:
        path.write_bytes(data)
    return decode(FileSource("a", str(path)), rotate, max_pixels)


@pytest.mark.parametrize("kind", FORMATS)
def test_the_content_tells_the_format(kind, tmp_path):
    options = {"lossless": True} if kind == "WEBP" else {}
    decoded = read(tmp_path / "wrong.name", encoded(picture(1), kind, **options))
    assert (decoded.image.size, decoded.image.mode) == ((48, 36), "RGB")
    tolerance = 60 if kind in ("JPEG", "GIF", "AVIF") else 0
    np.testing.assert_allclose(
        np.asarray(decoded.image, float), np.asarray(picture(1), float), atol=tolerance
    )
    assert decoded.warnings == ()


@pytest.mark.parametrize("kind", ["JPEG2000", "ICO", "PCX", "TGA", "SGI", "PDF"])
def test_other_formats_are_not_even_tried(kind, tmp_path):
    data = encoded(picture(1), kind)
    with pytest.raises(ImageReadError, match=r"^\S+: (not an image|cannot be decoded)"):
        read(tmp_path / "a.jpg", data)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_all_exif_orientations(orientation, tmp_path):
    """Rows and columns as the EXIF standard says where they begin."""
    upright = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3) * 10
    stored = {
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1],
        5: upright.swapaxes(0, 1), 6: upright.swapaxes(0, 1)[::-1],
        7: upright.swapaxes(0, 1)[::-1, ::-1], 8: upright.swapaxes(0, 1)[:, ::-1],
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(Image.fromarray(np.ascontiguousarray(stored)), "PNG", exif=exif)
    path = tmp_path / "a.png"
    np.testing.assert_array_equal(np.asarray(read(path, data).image), upright)
    np.testing.assert_array_equal(np.asarray(read(path, rotate=False).image), stored)


@pytest.mark.parametrize("value", [0, 9, 99, 65535])
def test_undefined_orientations_are_ignored(value, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = value
    decoded = read(tmp_path / "a.png", encoded(picture(2), "PNG", exif=exif))
    np.testing.assert_array_equal(np.asarray(decoded.image), np.asarray(picture(2)))


def test_the_limit_of_pixels(tmp_path):
    path = tmp_path / "a.png"
    data = encoded(Image.new("RGB", (100, 50)), "PNG")
    assert read(path, data, max_pixels=5000).image.size == (100, 50)
    with pytest.raises(ImageReadError) as raised:
        read(path, max_pixels=4999)
    assert raised.value.reason == (
        "too large: 100×50 pixels, the limit is 4,999 (localize.images.max_pixels)"
    )


@pytest.mark.parametrize(("value", "expected"), [(0, 0), (128, 0), (129, 1), (65535, 255)])
def test_16_bits_are_rounded(value, expected, tmp_path):
    image = Image.fromarray(np.full((2, 2), value, np.uint16))
    decoded = read(tmp_path / "a.png", encoded(image, "PNG"))
    assert decoded.image.getpixel((0, 0)) == (expected,) * 3


@pytest.mark.parametrize("value", [-1, 65536])
def test_32_bit_integers_are_refused(value, tmp_path):
    image = Image.fromarray(np.full((2, 2), value, np.int32))
    reason = r"unsupported mode I \(32-bit integers\): save it with 8 bits$"
    with pytest.raises(ImageReadError, match=reason):
        read(tmp_path / "a.tiff", encoded(image, "TIFF"))


def test_settings_are_checked():
    assert ImageSettings().exif_rotation == "auto"
    assert ImageSettings(exif_rotation=False).exif_rotation is False
    for wrong in ({"max_pixels": 0}, {"exif_rotation": "yes"}, {"exif_rotation": 1}):
        with pytest.raises(SettingsError):
            ImageSettings(**wrong)


def corrupted(random: np.random.Generator, data: bytes) -> bytes:
    """Cut off, overwrite, insert or repeat some of the bytes, more often near the header."""
    new = bytearray(data)
    near = len(new) if random.random() < 0.5 else min(len(new), 200)
    for _ in range(random.integers(1, 8)):
        place = int(random.integers(0, near))
        match random.integers(0, 5):
            case 0:
                del new[max(place, 3) :]
            case 1:
                new[place : place + 4] = random.bytes(4)
            case 2:
                new[place:place] = random.bytes(int(random.integers(1, 20)))
            case 3:
                del new[place : place + int(random.integers(1, 20))]
            case 4 if place < len(new):
                new[place] ^= 1 << int(random.integers(0, 8))
        near = min(near, len(new)) or 1
    return bytes(new)


@pytest.mark.parametrize("kind", [*FORMATS, "animated GIF", "animated WEBP", "palette PNG", "EXIF"])
def test_damaged_files_end_in_one_kind_of_error(kind, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    more = {"save_all": True, "append_images": [picture(6), picture(7)]}
    data = {
        "animated GIF": lambda: encoded(picture(5), "GIF", **more),
        "animated WEBP": lambda: encoded(picture(5), "WEBP", **more),
        "palette PNG": lambda: encoded(picture(5).quantize(16), "PNG", transparency=1),
        "EXIF": lambda: encoded(picture(5), "JPEG", exif=exif),
    }.get(kind, lambda: encoded(picture(5), kind))()
    random = np.random.default_rng(len(kind))
    refused = 0
    start = time.perf_counter()
    for number in range(80):
        # A new name each time: what is mapped into memory must not change under the reader.
        path = tmp_path / str(number)
        try:
            decoded = read(path, corrupted(random, data))
            assert decoded.image.mode == "RGB"
            np.asarray(decoded.image).sum()
        except ImageReadError as error:
            refused += 1
            assert error.reason
            assert "\n" not in str(error)
    assert refused > 5
    assert time.perf_counter() - start < 10


def test_a_missing_file(tmp_path):
    with pytest.raises(ImageReadError) as raised:
        read(tmp_path / "none.jpg")
    assert raised.value.reason == "no such file"
    assert FileSource("a", str(tmp_path / "none.jpg")).nbytes() == -1


def test_an_unreadable_file(tmp_path, monkeypatch):
    path = tmp_path / "a.jpg"
    path.write_bytes(b"x")

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(path), "open", refuse)
    with pytest.raises(ImageReadError, match=r"cannot be opened \(Permission denied\)$"):
        read(path)


def test_a_name_with_a_nul_byte():
    with pytest.raises(ImageReadError, match=r"cannot be opened \(embedded null byte\)$"):
        decode(FileSource("a", "a\0b.jpg"), True, 100)


def test_tar_members_are_read_in_place(tmp_path):
    path = tmp_path / "a.tar"
    data = encoded(picture(3), "PNG")
    with tarfile.open(path, "w") as tar:
        for name, content in (("first", b"x" * 700), ("a.png", data)):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    with tarfile.open(path) as tar:
        member = tar.getmember("a.png")
    source = TarSource("a", f"{path}:a.png", (), str(path), member.offset_data, member.size)
    assert source.nbytes() == len(data)
    decoded = decode(source, True, 10**6)
    np.testing.assert_array_equal(np.asarray(decoded.image), np.asarray(picture(3)))


@pytest.mark.parametrize(
    ("offset", "size", "reason"),
    [
        (0, 0, "empty file (0 bytes)"),
        (90, 20, "the tar file ends inside this member"),
        (0, 1 << 30, "too large (1,073,741,824 bytes)"),
    ],
)
def test_tar_members_that_cannot_be_read(offset, size, reason, tmp_path):
    path = tmp_path / "a.tar"
    path.write_bytes(bytes(100))
    with pytest.raises(ImageReadError) as raised:
        decode(TarSource("a", "a.tar:x", (), str(path), offset, size), True, 100)
    assert str(raised.value) == f"a.tar:x: {reason}"


def test_a_tar_that_went_away(tmp_path):
    source = TarSource("a", "a.tar:x", (), str(tmp_path / "a.tar"), 0, 5)
    with pytest.raises(ImageReadError, match=r"cannot be read \(No such file or directory\)$"):
        decode(source, True, 100)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("file:///none/a.png", "cannot be fetched (No such file or directory"),
        ("s3://bucket/a.png", "cannot be fetched: pip install 'camtool[s3]'"),
    ],
)
def test_a_url_that_cannot_be_fetched(url, reason):
    with pytest.raises(ImageReadError) as raised:
        decode(UrlSource("a", url), True, 100)
    assert reason.split(" (")[0] in raised.value.reason


def test_the_base_class_reads_nothing():
    assert ImageSource("a", "a").nbytes() == -1
    with pytest.raises(TypeError, match="ImageSource is abstract"):
        ImageSource("a", "a").open()
