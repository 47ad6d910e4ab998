"""Small pictures come from wherever a run read its images, in the frame that its boxes are in."""

from __future__ import annotations

import io
import tarfile
import zipfile

import pytest
from PIL import Image

from camtool.reports.thumbnails import Thumbnails
from camtool.structures import Prediction
from tests.builders import noise_picture, save_picture


def made(*predictions, side=320):
    found = [thumbnail for _, thumbnail in Thumbnails(side).of(predictions)]
    return [t.reason or Image.open(io.BytesIO(t.jpeg)) for t in found]


def test_a_large_picture_is_reduced_and_a_small_one_is_not_enlarged(tmp_path):
    noise_picture((1000, 500)).save(tmp_path / "large.png")
    noise_picture((30, 20)).save(tmp_path / "small.png")
    large = Prediction("large", str(tmp_path / "large.png"), (1000, 500))
    small = Prediction("small", str(tmp_path / "small.png"), (30, 20))
    assert [image.size for image in made(large, small, side=100)] == [(100, 50), (30, 20)]


@pytest.mark.parametrize(("upright", "size"), [(True, (20, 30)), (False, (30, 20))])
def test_a_picture_is_turned_as_the_boxes_are(upright, size, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    # Red above, as it is stored; upright, red is on the right.
    image = Image.new("RGB", (30, 20))
    image.paste((255, 0, 0), (0, 0, 30, 10))
    image.save(tmp_path / "a.jpg", exif=exif, quality=95)
    (found,) = made(Prediction("a", str(tmp_path / "a.jpg"), size, exif=6, upright=upright))
    assert found.size == size
    red = found.getpixel((size[0] - 2, size[1] // 2) if upright else (size[0] // 2, 2))
    assert red[0] > 200


def test_members_of_archives(tmp_path):
    path = save_picture(tmp_path / "a.png")
    with tarfile.open(tmp_path / "t.tar", "w") as tar:
        tar.add(path, "in/a.png")
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.write(path, "in/a.png")
    names = (f"{tmp_path}/t.tar:in/a.png", f"{tmp_path}/z.zip:in/a.png", f"{tmp_path}/t.tar:b.png")
    one, two, gone = made(*(Prediction(name, name, (48, 36)) for name in names))
    assert one.size == two.size == (48, 36)
    assert gone == "no longer in its archive"


def test_what_cannot_be_shown_has_its_reason(tmp_path):
    (tmp_path / "text.jpg").write_text("no picture")
    found = made(
        Prediction("a", str(tmp_path / "absent.jpg"), (10, 10)),
        Prediction("b", str(tmp_path / "text.jpg"), (10, 10)),
        Prediction("c", str(tmp_path), (10, 10)),
        Prediction("d", "ftp://somewhere/d.jpg", (10, 10)),
        Prediction("e", "nul\0.jpg", (10, 10)),
    )
    assert found[0] == "no such file"
    assert found[1] == "not an image: it holds text"
    assert found[2] == "not a regular file"
    assert "no scheme 'ftp' is opened" in found[3]
    assert "cannot be opened" in found[4]
