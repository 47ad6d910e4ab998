"""What a caller may give for a picture: read as the file would be, or refused with the remedy."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from camtool.errors import ImageReadError
from camtool.images.decode import decode
from camtool.pipelines.pictures import source_of
from tests.builders import noise_picture

PICTURE = noise_picture((40, 30))
ARRAY = np.asarray(PICTURE)
TENSOR = torch.from_numpy(ARRAY.copy()).permute(2, 0, 1)


def read(given, value_range=None):
    return decode(source_of(given, value_range), rotate=True, max_pixels=10**8)


def refused(given, value_range=None):
    with pytest.raises(ImageReadError) as caught:
        read(given, value_range)
    return caught.value.reason


def encoded(picture, form="PNG", **options):
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    "given",
    [
        PICTURE, encoded(PICTURE), bytearray(encoded(PICTURE)), ARRAY, ARRAY[::-1][::-1], TENSOR,
        np.dstack([ARRAY, ARRAY[:, :, 0]]), PICTURE.convert("RGBA"),
    ],
    ids=["pil", "bytes", "bytearray", "array", "view", "tensor", "four channels", "pil with alpha"],
)  # fmt: skip
def test_every_kind_is_the_same_picture(given, tmp_path):
    PICTURE.save(tmp_path / "a.png")
    expected = np.asarray(read(tmp_path / "a.png").image)
    assert np.array_equal(expected, np.asarray(read(str(tmp_path / "a.png")).image))
    assert np.array_equal(expected, np.asarray(read(given).image))


@pytest.mark.parametrize(
    "gray", [ARRAY[:, :, 0], ARRAY[:, :, :1], TENSOR[:1], TENSOR[0], PICTURE.getchannel("R")]
)
def test_gray_is_gray(gray):
    image = read(gray).image
    assert image.mode == "RGB"
    assert np.array_equal(np.asarray(image), np.repeat(ARRAY[:, :, :1], 3, 2))


@pytest.mark.parametrize(
    ("given", "value_range"),
    [
        (ARRAY / 255, (0, 1)),
        ((ARRAY / 255).astype(np.float32), (0.0, 1.0)),
        (ARRAY.astype(np.float32), (0, 255)),
        (ARRAY.astype(np.int64), (0, 255)),
        (ARRAY.astype(np.uint16) * 257, (0, 65535)),
        (TENSOR.float() / 127.5 - 1, (-1, 1)),
        (TENSOR / 255, (0, 1)),
        (TENSOR, (0, 255)),
    ],
)
def test_a_range_that_is_said_is_exact(given, value_range):
    assert np.array_equal(np.asarray(read(given, value_range).image), ARRAY)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (ARRAY / 255, "of float64, from 0 to 1, and nothing says which values are black and white"),
        (TENSOR.float(), "of float32, from 0 to 255, and nothing says"),
        (TENSOR.bfloat16(), "from 0 to 255, and nothing says"),
        (ARRAY.astype(np.int64), "of int64, from 0 to 255"),
        (ARRAY > 3, "of bool, which is no brightness: give uint8"),
        (ARRAY.astype(complex), "of complex128, which is no brightness"),
        (ARRAY.transpose(2, 0, 1), "does not end with 3 channels: write array.transpose(1, 2, 0)"),
        (TENSOR.permute(1, 2, 0), "does not begin with 3 channels: write tensor.permute(2, 0, 1)"),
        (ARRAY[:3, :, :], "shape (3, 40, 3) can be read with the channels first or last"),
        (TENSOR[:, :, :3], "shape (3, 30, 3) can be read with the channels first or last"),
        (ARRAY[None], "shape (1, 30, 40, 3) is a batch of 1: give list(…) of it"),
        (torch.stack([TENSOR, TENSOR]), "is a batch of 2: give list(…) of it"),
        (ARRAY[:, :, :2], "does not end with 3 channels: give (height, width, 3)"),
        (ARRAY[0, :, 0], "shape (40,) is no picture's"),
        (ARRAY[:0], "no pixels: shape (0, 40, 3)"),
        (b"", "empty (0 bytes)"),
        (b"not a picture", "not an image: it holds text"),
        (PICTURE.convert("F"), "unsupported mode F"),
        ("ftp://host/a.jpg", "no scheme 'ftp' is opened"),
        (Path("tests"), "a folder: stream(folder) localizes all images in it"),
        ("nowhere.png", "no such file"),
    ],
)
def test_what_is_no_picture_or_two_is_refused_with_the_remedy(given, reason):
    assert reason in refused(given)


@pytest.mark.parametrize(
    ("given", "value_range", "reason"),
    [
        (TENSOR / 100 - 1, (0, 1), "do not lie in value_range=(0, 1); normalised values must be"),
        (np.full((9, 9, 3), np.nan), (0, 1), "values from nan to nan do not lie in"),
        (ARRAY / 255, (1, 0), "value_range: 1 must be less than 0"),
        (ARRAY, (0, 1), "do not lie in value_range=(0, 1)"),
    ],
)
def test_values_beyond_the_range_are_refused(given, value_range, reason):
    assert reason in refused(given, value_range)


@pytest.mark.parametrize("given", [None, 3, {"a": 1}, io.BytesIO(b"a"), [ARRAY]])
def test_no_picture_at_all_is_a_wrong_call(given):
    with pytest.raises(TypeError, match=r"not a picture: an object of type .*; give a path"):
        source_of(given)


@pytest.mark.parametrize("turned", range(1, 9))
def test_a_picture_of_pillows_is_turned_as_its_file_is(turned, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = turned
    PICTURE.save(tmp_path / "a.png", exif=exif)
    expected = read(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as opened:
        found = read(opened)
        converted = read(opened.convert("RGB"))
    for one in (found, converted):
        assert one.exif == expected.exif == turned
        assert np.array_equal(np.asarray(one.image), np.asarray(expected.image))


def test_a_closed_picture_is_told():
    with Image.open(io.BytesIO(encoded(PICTURE))) as opened:
        pass
    assert "cannot be decoded" in refused(opened)


def test_ids_and_paths(tmp_path):
    PICTURE.save(tmp_path / "a.b.png")
    with Image.open(tmp_path / "a.b.png") as opened:
        sources = [source_of(x) for x in (str(tmp_path / "a.b.png"), opened)]
    assert {(s.image_id, s.path) for s in sources} == {("a.b", str(tmp_path / "a.b.png"))}
    assert source_of(ARRAY).path == "array"
    assert source_of(TENSOR, number=3).image_id == "tensor-3"
    assert source_of("https://host/b/c.jpg?size=1.5").image_id == "c"


def test_the_owner_may_write_to_an_array_afterwards():
    gray = ARRAY[:, :, 0].copy()
    source = source_of(gray)
    gray[:] = 0
    assert np.asarray(decode(source, rotate=True, max_pixels=10**8).image).any()
