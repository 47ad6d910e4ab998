"""Other ways to name images: patterns, names on stdin, zip files, folders as labels."""

from __future__ import annotations

import io
import json
import zipfile

import pytest

from camtool.errors import DataError, ImageReadError
from camtool.images import find_images
from camtool.images.decode import decode
from camtool.runs import read_predictions
from tests.builders import draw_pictures
from tests.commands import TINY, run_here


@pytest.fixture
def pictures(tmp_path):
    return draw_pictures(tmp_path / "pictures", 4)


def ids(arguments) -> list[str]:
    return [source.image_id for source in find_images(arguments).sources]


def test_a_quoted_pattern(pictures):
    assert ids([f"{pictures}/*[02].png"]) == ["00000", "00002"]
    with pytest.raises(DataError, match=r"\*\.jpg: no file fits this pattern"):
        find_images([f"{pictures}/*.jpg"])


def test_a_file_that_is_called_like_a_pattern(pictures):
    (pictures / "00001.png").rename(pictures / "a[1].png")
    assert ids([f"{pictures}/a[1].png"]) == ["a[1]"]


def test_names_on_stdin(pictures, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{pictures}/00003.png\n\n{pictures}/00001.png\n"))
    assert sorted(ids(["-"])) == ["00001", "00003"]
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    with pytest.raises(DataError, match="no name of an image on stdin"):
        find_images(["-"])


@pytest.mark.parametrize("packing", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_zip_is_read_without_unpacking(packing, pictures, tmp_path):
    with zipfile.ZipFile(tmp_path / "p.zip", "w", packing) as archive:
        for file in sorted(pictures.iterdir()):
            archive.write(file, f"sub/{file.name}")
        archive.writestr("../out.png", b"x")
        archive.writestr("notes.txt", b"words")
    found = find_images([str(tmp_path / "p.zip")]).sources
    assert [s.image_id for s in found] == [*(f"sub/{n:05d}" for n in range(4)), "out"]
    for source, file in zip(found, sorted(pictures.iterdir()), strict=False):
        with source.open() as member:
            assert member.read() == file.read_bytes()
        assert decode(source, rotate=True, max_pixels=10**8).image.size


def test_a_damaged_member_of_a_zip(pictures, tmp_path):
    with zipfile.ZipFile(tmp_path / "p.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(pictures / "00000.png", "a.png")
    data = bytearray((tmp_path / "p.zip").read_bytes())
    data[60] ^= 0xFF
    (tmp_path / "p.zip").write_bytes(data)
    (source,) = find_images([str(tmp_path / "p.zip")]).sources
    with pytest.raises(ImageReadError, match="damaged in the zip file"):
        source.open()


def test_a_bomb_in_a_zip(tmp_path):
    """What is unpacked is bounded by the size that the directory claims."""
    with zipfile.ZipFile(tmp_path / "p.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", bytes(50_000_000))
    data = (tmp_path / "p.zip").read_bytes()
    size = (50_000_000).to_bytes(4, "little")
    (tmp_path / "p.zip").write_bytes(data.replace(size, (1000).to_bytes(4, "little")))
    (source,) = find_images([str(tmp_path / "p.zip")]).sources
    with pytest.raises(ImageReadError, match="its content is another"):
        source.open()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"words"])
def test_no_zip(content, tmp_path):
    (tmp_path / "p.zip").write_bytes(content)
    with pytest.raises(DataError, match=r"p\.zip: not a readable zip file"):
        find_images([str(tmp_path / "p.zip")])


def test_folders_are_labels(pictures, tmp_path):
    for number, name in enumerate(("tabby", "n02123159", "tabby", "n02123159")):
        folder = tmp_path / "classes" / name
        folder.mkdir(parents=True, exist_ok=True)
        (pictures / f"{number:05d}.png").rename(folder / f"{number}.png")
    root = tmp_path / "classes"
    ran = run_here("localize", root, *TINY, "-o", tmp_path / "hint")
    assert "the 2 folders are named like classes of the network: --labels folders takes" in ran.err
    ran = run_here("localize", root, *TINY, "--labels", "folders", "-o", tmp_path / "run")
    assert ran.code == 0, ran.err
    assert "--labels folders" not in ran.err
    true = [[c.name for c in p.classes if c.target] for p in read_predictions(tmp_path / "run")]
    assert true == [["n02123159"], ["n02123159"], ["n02123045"], ["n02123045"]]
    counts = json.loads((tmp_path / "run" / "manifest.json").read_text())["counts"]
    assert counts["images"] == 4


def test_one_folder_says_nothing_of_classes(pictures, tmp_path):
    ran = run_here("localize", pictures, *TINY, "--labels", "folders", "-o", tmp_path / "run")
    assert ran.code == 3
    assert "--labels folders: all images lie in one folder ('pictures')" in ran.err
