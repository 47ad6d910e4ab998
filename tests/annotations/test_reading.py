"""Recognition of the formats, and what holds for all of them."""

from __future__ import annotations

import gc
import os
import subprocess
import sys

import pytest
from pydantic import TypeAdapter, ValidationError

from camtool.annotations import AnnotationReader, Reader, VocXml, image_stem, read_annotations
from camtool.errors import AnnotationError
from camtool.settings import members


@pytest.mark.parametrize("reader", members(AnnotationReader, Reader))
def test_every_format_is_a_final_setting(reader):
    setting = reader()
    assert reader.__final__
    assert reader.summary
    assert reader.layout
    assert "\n" not in reader.summary
    adapter = TypeAdapter(AnnotationReader)
    assert adapter.validate_python({"name": setting.name}) == setting
    with pytest.raises(ValidationError):
        adapter.validate_python({"name": setting.name, "unknown": 1})


def test_settings_of_a_format():
    adapter = TypeAdapter(AnnotationReader)
    assert adapter.validate_python({"name": "voc-xml", "origin": 0}) == VocXml(origin=0)
    with pytest.raises(ValidationError):
        adapter.validate_python({"name": "voc-xml", "origin": 2})


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("a.JPEG", "a"),
        ("001.Black_footed/x.y.jpg", "001.Black_footed/x.y"),
        ("001.Black_footed", "001.Black_footed"),
        ("a.jpg.png", "a.jpg"),
        ("a.xml", "a.xml"),
        ("a.TIFF", "a"),
        ("ILSVRC2012_val_00000001", "ILSVRC2012_val_00000001"),
        ("", ""),
    ],
)
def test_image_stem(name, stem):
    assert image_stem(name) == stem


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (None, "no such file or folder"),
        (b"", "empty: nothing in it"),
        (b"\n \t", "empty: nothing in it"),
        (b"\xff\xd8\xff\xe0 a picture", "an unknown format; it begins with"),
        (b"some words", "an unknown format; it begins with 'some words'"),
    ],
)
def test_what_cannot_be_recognised(data, reason, tmp_path):
    path = tmp_path / "a.dat"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(AnnotationError) as caught:
        read_annotations(path)
    assert caught.value.place == str(path)
    assert caught.value.reason.startswith(reason)


def test_folders_and_pipes_without_annotations(tmp_path):
    with pytest.raises(AnnotationError, match="no annotations known in this folder"):
        read_annotations(tmp_path)
    os.mkfifo(tmp_path / "pipe.xml")
    with pytest.raises(AnnotationError, match="not a regular file"):
        read_annotations(tmp_path / "pipe.xml")
    with pytest.raises(AnnotationError, match=r"pipe\.xml: not a regular file"):
        read_annotations(tmp_path)


def test_collector_is_on_again_after_an_error(tmp_path):
    (tmp_path / "a.xml").write_text("<annotation>")
    with pytest.raises(AnnotationError):
        read_annotations(tmp_path / "a.xml")
    assert gc.isenabled()


def test_no_torch_is_imported():
    code = "import sys, camtool.annotations; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
