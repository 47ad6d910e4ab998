from __future__ import annotations

import bz2
import gzip
import io
import os
import tarfile
import zipfile

import pytest

from camtool.annotations import VocXml, read_annotations
from camtool.errors import AnnotationError


def tar_of(path, files, mode="w"):
    with tarfile.open(path, mode) as archive:
        for name, text in files.items():
            data = text.encode()
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def xyxy(result):
    return {k: [o.box.xyxy for o in a.objects] for k, a in result.annotations.items()}


def test_bundle_is_named_by_filename(tmp_path, voc):
    path = tmp_path / "val.xml"
    path.write_text(
        "<images><part>"
        + voc((1, 2, 3, 4), filename="001.Cat/one.jpg")
        + voc((5, 6, 7, 8), filename="two.JPEG")
        + voc((5, 6, 7, 8), filename="")
        + "</part></images>"
    )
    result = read_annotations(path)
    assert xyxy(result) == {"001.Cat/one": [(1, 2, 4, 5)], "two": [(5, 6, 8, 9)]}
    assert [str(p) for p in result.problems] == [
        f"{path}: annotation 3: no <filename>, which names the image in a file of many annotations"
    ]


def test_bundle_that_breaks_off_keeps_what_came_before(tmp_path, voc):
    path = tmp_path / "val.xml"
    for rest in (voc((1, 2, 3, 4), filename="b")[:-20], "<annotation>&x;", "</wrong>", ""):
        for filler in ("", "<!--" + "x" * (1 << 20) + "-->"):
            path.write_text("<r>" + voc((1, 2, 3, 4)) + filler + rest)
            result = read_annotations(path)
            assert list(result.annotations) == ["a"]
            (problem,) = result.problems
            assert problem.place == str(path)
            assert problem.reason.startswith("not well formed, line 1: ")


def test_single_annotation_followed_by_rubbish_is_not_used(tmp_path, voc):
    path = tmp_path / "a.xml"
    for rest in ("x", "<!--" + "x" * (1 << 20) + "--><b/>"):
        path.write_text(voc((1, 2, 3, 4)) + rest)
        with pytest.raises(AnnotationError, match="not well formed, line 1: "):
            read_annotations(path)


@pytest.mark.parametrize(
    ("origin", "name", "expected"),
    [
        ("auto", "n07747607", (10, 20, 31, 41)),
        ("auto", "orange", (9, 19, 30, 40)),
        ("auto", "n0774760", (9, 19, 30, 40)),
        (0, "orange", (10, 20, 31, 41)),
        (1, "n07747607", (9, 19, 30, 40)),
    ],
)
def test_origin(origin, name, expected, tmp_path, voc):
    path = tmp_path / "a.xml"
    path.write_text(voc((10, 20, 30, 40), name=name))
    assert xyxy(VocXml(origin=origin).read(path)) == {"a": [expected]}


@pytest.mark.parametrize("far", [320, 320.5, 321])
def test_far_side_out_by_one_pixel_is_clipped_without_a_word(far, tmp_path, voc):
    path = tmp_path / "a.xml"
    path.write_text(voc((10, 20, far, 40)))
    result = read_annotations(path)
    assert xyxy(result) == {"a": [(10, 20, 320, 41)]}
    assert bool(result.warnings) == (far > 320)


def test_of_two_sizes_neither_is_taken(tmp_path, voc):
    path = tmp_path / "a.xml"
    other = "<size><width>64</width><height>48</height></size>"
    path.write_text(voc((1, 2, 3, 4)).replace("<object>", f"{other}<object>"))
    with pytest.raises(AnnotationError, match="two <width>"):
        read_annotations(path)


@pytest.mark.parametrize("text", ["9<b/>0", "<b>9</b>0", "9<b>x</b>0"])
def test_markup_inside_a_number_never_makes_another_number(text, tmp_path, voc):
    path = tmp_path / "a.xml"
    path.write_text(voc((text, 2, 300, 40)))
    with pytest.raises(AnnotationError, match=r"object 1: xmin is not a number: <markup>"):
        read_annotations(path)


def test_skipped_entity_of_an_external_dtd_never_makes_another_number(tmp_path, voc):
    path = tmp_path / "a.xml"
    head = '<!DOCTYPE annotation SYSTEM "nowhere.dtd">'
    path.write_text(head + voc(("9&x;0", 2, 300, 40)))
    with pytest.raises(AnnotationError, match="entities are not allowed"):
        read_annotations(path)


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".tgz", ".tar.bz2", ".zip"])
def test_archives(suffix, tmp_path, voc):
    path = tmp_path / f"a{suffix}"
    files = {
        "val/b.xml": voc((1, 2, 3, 4), filename="b"),
        "val/a.XML": voc((5, 6, 7, 8), filename="a"),
        "val/._b.xml": "\0\5",
        "val/.c.xml": "x",
        "val/image.jpg": "x",
        "val/broken.xml": "<annotation>",
    }
    if suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, text in files.items():
                archive.writestr(name, text)
    else:
        mode = {".tar": "w", ".tar.bz2": "w:bz2"}.get(suffix, "w:gz")
        tar_of(path, files, mode)
    result = read_annotations(path)
    assert xyxy(result) == {"b": [(1, 2, 4, 5)], "a": [(5, 6, 8, 9)]}
    assert [str(p) for p in result.problems] == [
        f"{path}: val/broken.xml: not well formed, line 1: cut off before its end"
    ]


def test_truncated_archive_keeps_what_came_before(tmp_path, voc):
    whole = tar_of(tmp_path / "a.tgz", {f"{i}.xml": voc((i, 2, 99, 4)) for i in range(600)}, "w:gz")
    path = tmp_path / "b.tgz"
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    result = read_annotations(path)
    assert 0 < len(result.annotations) < 600
    assert result.problems[-1].place == str(path)
    assert "damaged archive, not read to its end" in result.problems[-1].reason


def test_damaged_header_inside_a_tar_is_no_end(tmp_path, voc):
    path = tar_of(tmp_path / "a.tar", {f"{i}.xml": voc((i, 2, 99, 4)) for i in range(5)})
    data = bytearray(path.read_bytes())
    data[2048 + 100 : 2048 + 160] = b"\xff" * 60  # two blocks a member: the third header
    path.write_bytes(data)
    result = read_annotations(path)
    assert list(result.annotations) == ["0", "1"]
    assert "damaged header" in result.problems[0].reason


def test_large_members_and_bombs_are_not_unpacked(tmp_path, voc, monkeypatch):
    monkeypatch.setattr("camtool.annotations.archives.LARGEST_MEMBER", 1000)
    files = {"a.xml": voc((1, 2, 3, 4)), "b.xml": voc((1, 2, 3, 4)) + " " * 1000}
    result = read_annotations(tar_of(tmp_path / "a.tar", files))
    assert list(result.annotations) == ["a"]
    assert "larger than" in result.problems[0].reason
    info = tarfile.TarInfo("zeros.bin")
    info.size = 1 << 40
    bomb = tmp_path / "bomb.tgz"
    bomb.write_bytes(gzip.compress(info.tobuf() + bytes(1 << 20)))
    with pytest.raises(AnnotationError, match=r"unpacks to over 1,099,511,629,312 bytes from"):
        VocXml().read(bomb)


@pytest.mark.parametrize("data", [gzip.compress(b"text"), bz2.compress(b"x"), b"PK\3\4rest"])
def test_packed_rubbish(data, tmp_path):
    path = tmp_path / "a.tgz"
    path.write_bytes(data)
    with pytest.raises(AnnotationError, match="not an archive that can be read"):
        read_annotations(path)


def test_encrypted_member_is_a_problem(tmp_path, voc):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.xml", voc((1, 2, 3, 4)))
        archive.writestr("b.xml", voc((1, 2, 3, 4)))
    data = bytearray(path.read_bytes())
    local, central = data.find(b"PK\3\4"), data.find(b"PK\1\2")
    data[local + 6] |= 1
    data[central + 8] |= 1
    path.write_bytes(data)
    result = read_annotations(path)
    assert list(result.annotations) == ["b"]
    assert "cannot be unpacked" in result.problems[0].reason


def test_the_same_name_in_several_folders(tmp_path, voc):
    """Folders tell images apart; where all files lie in one, it is no part of their names."""
    for folder, box in (("x", (1, 2, 3, 4)), ("y", (1, 2, 3, 5))):
        (tmp_path / "top" / folder).mkdir(parents=True)
        (tmp_path / "top" / folder / "a.xml").write_text(voc(box))
    expected = {"top/x/a": [(1, 2, 4, 5)], "top/y/a": [(1, 2, 4, 6)]}
    assert xyxy(read_annotations(tmp_path)) == expected
    (tmp_path / "top" / "y" / "a.xml").unlink()
    assert xyxy(read_annotations(tmp_path)) == {"a": [(1, 2, 4, 5)]}


def test_warnings_are_bounded(tmp_path, voc):
    for i in range(50):
        (tmp_path / f"{i:02}.xml").write_text(voc((1, 2, 3, 4), filename="%s"))
    result = read_annotations(tmp_path)
    assert len(result.annotations) == 50
    assert len(result.warnings) == 21
    assert result.warnings[-1].startswith("30 more: <filename> differs")
    assert result.warnings[-1].endswith("(50 in all)")


def test_folder_passes_over_hidden_files_and_broken_links(tmp_path, voc):
    (tmp_path / "a.xml").write_text(voc((1, 2, 3, 4)))
    (tmp_path / ".b.xml").write_text("x")
    (tmp_path / "c.xml").symlink_to(tmp_path / "nowhere")
    (tmp_path / "d.txt").write_text("0 0.5 0.5 1 1")
    (tmp_path / "e.xml").mkdir()
    result = read_annotations(tmp_path)
    assert list(result.annotations) == ["a"]
    assert [(p.place, p.reason) for p in result.problems] == [
        (str(tmp_path / "c.xml"), "not a regular file")
    ]


def test_folder_that_cannot_be_opened_is_a_problem(tmp_path, voc, monkeypatch):
    (tmp_path / "a.xml").write_text(voc((1, 2, 3, 4)))
    (tmp_path / "sub").mkdir()
    scandir = os.scandir

    def guarded(path):
        if str(path).endswith("sub"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    result = VocXml().read(tmp_path)
    assert list(result.annotations) == ["a"]
    assert [str(p) for p in result.problems] == [f"{tmp_path / 'sub'}: Permission denied"]


def test_file_that_is_only_an_extension(tmp_path, voc):
    (tmp_path / ".xml").write_text(voc((1, 2, 3, 4)))
    assert list(read_annotations(tmp_path / ".xml").annotations) == [".xml"]


def test_single_fault_is_the_error_and_many_are_counted(tmp_path):
    (tmp_path / "a.xml").write_text("<annotation/>")
    with pytest.raises(AnnotationError) as caught:
        read_annotations(tmp_path)
    assert str(caught.value) == f"{tmp_path / 'a.xml'}: no <object> in it"
    (tmp_path / "b.xml").write_text("<annotation/>")
    with pytest.raises(AnnotationError) as caught:
        read_annotations(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: none of its 2 entries can be used; first: "
        f"{tmp_path / 'a.xml'}: no <object> in it"
    )


def test_imagenet_val_archive(shared):
    result = read_annotations(shared / "data" / "ILSVRC2012_bbox_val.tgz")
    assert len(result.annotations) == 50_000
    assert sum(len(a.objects) for a in result.annotations.values()) == 80_477
    assert (result.problems, result.warnings) == ([], [])
    first = result.annotations["ILSVRC2012_val_00000001"]
    assert (first.size, first.labels) == ((500, 375), ("n01751748",))
    assert first.objects[0].box.xyxy == (111, 108, 442, 194)


def test_real_folders(shared):
    data = shared / "data"
    det = read_annotations(data / "ilsvrc-val-227" / "Annotations-DET-real")
    assert (len(det.annotations), len(det.problems)) == (133, 0)
    first = det.annotations["ILSVRC2012_val_00000347"]
    assert first.objects[0].box.xyxy == (39, 148, 83, 220)
    fruit = read_annotations(data / "fruit-voc" / "Annotations-original")
    assert len(fruit.annotations) == 138
    assert fruit.problems == []
    odd = read_annotations(data / "real-odd")
    assert odd.annotations["banana_35"].size is None
    assert odd.annotations["banana_35"].objects[0].box.xyxy == (73, 82, 243, 191)


def test_a_zip_whose_members_are_nothing_but_zeros_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr("camtool.annotations.archives._BOMB_BYTES", 1 << 20)
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(50):
            archive.writestr(f"{number}.xml", bytes(1 << 18))
    with pytest.raises(AnnotationError, match=r"unpacks to over [\d,]+ bytes from"):
        VocXml().read(bomb)
