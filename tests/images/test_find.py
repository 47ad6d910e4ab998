from __future__ import annotations

import io
import os
import tarfile
import threading

import fsspec
import pytest

from camtool.errors import DataError, ImageReadError
from camtool.images import find_images, sources
from camtool.images.decode import decode
from tests.builders import picture, save_picture


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Return a function that draws pictures under names relative to the working folder."""
    monkeypatch.chdir(tmp_path)

    def draw_at(*names: str):
        for number, name in enumerate(names):
            save_picture(tmp_path / name, number)
        return tmp_path

    return draw_at


def ids(*arguments: str) -> list[str]:
    return [s.image_id for s in find_images(arguments).sources]


def paths(*arguments: str) -> list[str]:
    return [s.path for s in find_images(arguments).sources]


def test_folders_are_searched_to_the_ground_in_order(make):
    make("d/b.png", "d/a.png", "d/sub/z.png", "d/sub/deep/y.jpg", "d/a/x.png", "d/B.png")
    assert paths("d") == [
        "d/B.png", "d/a/x.png", "d/a.png", "d/b.png", "d/sub/deep/y.jpg", "d/sub/z.png",
    ]  # fmt: skip
    assert ids("d") == ["B", "a/x", "a", "b", "sub/deep/y", "sub/z"]
    assert ids("d/") == ids("d")


def test_endings_in_any_case_and_other_files(make):
    folder = make("d/a.JPG", "d/b.Jpeg", "d/c.tiff", "d/d.WebP", "d/e.jfif", "d/f.ppm", "d/g.avif")
    for name in ("notes.txt", "a.xml", "list.csv", "a.jpg.part", "Thumbs.db"):
        (folder / "d" / name).write_text("no picture")
    assert ids("d") == ["a", "b", "c", "d", "e", "f", "g"]


def test_hidden_files_and_folders_are_left_out(make):
    make("d/a.png", "d/.hidden.png", "d/._a.png", "d/.git/b.png", "d/.cache/sub/c.png")
    assert ids("d") == ["a"]
    # But not where they are named.
    assert ids("d/.hidden.png", "d/.git") == [".hidden", "b"]


def test_files_without_an_ending_are_looked_into(make):
    folder = make("d/photo")
    (folder / "d" / "README").write_text("no picture")
    (folder / "d" / "empty").write_bytes(b"")
    os.mkfifo(folder / "d" / "pipe")
    assert ids("d") == ["photo"]


def test_a_folder_named_like_an_image_is_a_folder(make):
    make("d/folder.JPEG/a.png")
    assert paths("d") == ["d/folder.JPEG/a.png"]


def test_links_that_lead_back_end(make):
    folder = make("d/sub/a.png")
    (folder / "d" / "sub" / "up").symlink_to("..")
    (folder / "d" / "sub" / "self").symlink_to("self")
    assert paths("d") == ["d/sub/a.png"]


def test_links_to_other_folders_are_followed(make):
    folder = make("d/a.png", "elsewhere/b.png")
    (folder / "d" / "link").symlink_to("../elsewhere")
    assert ids("d") == ["a", "link/b"]


def test_a_pipe_is_a_row_with_its_reason(make):
    folder = make("d/a.png")
    os.mkfifo(folder / "d" / "b.png")
    source = find_images(["d"]).sources[1]
    with pytest.raises(ImageReadError, match=r"not a regular file$"):
        decode(source, True, 10**6)


def test_names_that_are_not_utf8(make):
    folder = make("d/a.png")
    name = os.fsdecode(b"\xe9t\xe9.png")
    picture(1).save(folder / "d" / name)
    found = find_images(["d"]).sources
    assert [s.image_id for s in found] == ["a", name[:-4]]
    assert decode(found[1], True, 10**6).image.size == (48, 36)
    assert ids(f"d/{name}") == [name[:-4]]


def test_names_with_anything_in_them(make):
    names = ["-dash.png", "<b>html&amp;.png", "a" * 180 + ".png", 'comma, "quote".png',
             "new\nline.png", "ünï-日本-🐶.png"]  # fmt: skip
    make(*(f"d/{n}" for n in names))
    assert sorted(ids("d")) == sorted(n[:-4] for n in names)


def test_equal_names_get_longer_ids(make):
    make("x/a.png", "y/a.png", "y/b.png")
    assert ids("x", "y") == ["x/a.png", "y/a.png", "b"]


def test_one_name_with_two_endings(make):
    make("d/a.png", "d/a.jpg", "d/b.png")
    assert ids("d") == ["a.jpg", "a.png", "b"]


def test_equal_names_in_equally_named_folders(make):
    make("p/x/a.png", "q/x/a.png")
    assert ids("p/x", "q/x") == ["p/x/a.png", "q/x/a.png"]
    assert len(set(ids("p/x/a.png", "q/x/a.png"))) == 2


def test_ids_are_unique_whatever_the_names(make):
    """A folder `d` whose files are named as the longer forms of others."""
    make("d/a.png", "d/a.jpg", "d/a.png.png", "d/a.jpg.png", "e/d/a.png", "d/d/a.png")
    found = ids("d", "e", "d/a.png", "e/d")
    assert len(set(found)) == len(found) == 6


def test_ids_never_lead_out(make):
    folder = make("a.png", "d/b.png")
    (folder / "d" / "list.txt").write_text("../a.png\n/etc/passwd\n")
    assert ids("d/list.txt") == ["a", "etc/passwd"]
    assert ids("d/../a.png") == ["a"]


def test_the_same_file_twice_is_used_once(make):
    make("d/a.png", "d/b.png")
    found = find_images(["d", "d/a.png", "./d/b.png", "d"])
    assert [s.path for s in found.sources] == ["d/a.png", "d/b.png"]
    assert found.warnings == ["4 images are named twice: each is used once"]


def test_images_in_a_tar(make):
    folder = make("a.png")
    data = (folder / "a.png").read_bytes()
    with tarfile.open(folder / "shard.tar", "w") as tar:
        for name in ("x/b.png", "x/a.JPEG", "x/._a.png", "notes.txt", "c.png/", "../up.png"):
            info = tarfile.TarInfo(name.rstrip("/"))
            info.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
            info.size = 0 if name.endswith("/") else len(data)
            tar.addfile(info, io.BytesIO(data))
        link = tarfile.TarInfo("link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    found = find_images(["shard.tar"])
    assert found.warnings == ["shard.tar: not read, since they hold no image: 1 links"]
    found = found.sources
    assert [s.image_id for s in found] == ["x/b", "x/a", "up"]
    assert [s.path for s in found] == [
        "shard.tar:x/b.png", "shard.tar:x/a.JPEG", "shard.tar:../up.png",
    ]  # fmt: skip
    assert decode(found[1], True, 10**6).image.size == (48, 36)


def test_a_tar_without_images(make):
    folder = make("a.png")
    with tarfile.open(folder / "empty.tar", "w"):
        pass
    with pytest.raises(DataError, match=r"^no images in empty\.tar$"):
        find_images(["empty.tar"])


def test_a_tar_that_is_none(make):
    (make("a.png") / "bad.tar").write_bytes(b"not a tar" * 200)
    with pytest.raises(DataError, match=r"^bad\.tar: not a readable tar file \("):
        find_images(["bad.tar"])


def test_a_tar_that_breaks_off(make):
    """What was cut off is an error, or a row with its reason: never silence."""
    folder = make("a.png")
    with tarfile.open(folder / "whole.tar", "w") as tar:
        tar.add("a.png")
        tar.add("a.png", "b.png")
    data = (folder / "whole.tar").read_bytes()
    second = data.index(b"b.png\0")
    (folder / "cut.tar").write_bytes(data[: second + 600])
    with pytest.raises((DataError, ImageReadError), match=r"cut\.tar"):
        for source in find_images(["cut.tar"]).sources:
            decode(source, True, 10**6)


@pytest.mark.parametrize("name", ["a.tar.gz", "a.tgz", "a.TAR.XZ", "a.tar.bz2", "a.tar.zst"])
def test_compressed_tars_are_refused_with_the_remedy(name, make):
    (make("a.png") / name).write_bytes(b"")
    with pytest.raises(DataError) as raised:
        find_images([name])
    assert str(raised.value) == (
        f"{name}: a compressed tar cannot be read image by image; uncompress it first (the images"
        " in it are compressed already)"
    )


def test_what_is_not_there(make):
    make("a.png")
    with pytest.raises(DataError, match=r"^none\.png: no such file or folder$"):
        find_images(["a.png", "none.png"])
    with pytest.raises(DataError, match=r"^a\\x00b: no such file or folder$"):
        find_images(["a\0b"])


def test_a_link_to_nothing_is_a_row_with_its_reason(make):
    (make("a.png") / "broken.png").symlink_to("nowhere")
    (source,) = find_images(["broken.png"]).sources
    with pytest.raises(ImageReadError, match=r"link to a file that is not there$"):
        source.open()


def test_a_folder_without_images(make):
    (make("a.png") / "empty").mkdir()
    with pytest.raises(DataError, match=r"^no images in empty$"):
        find_images(["empty"])
    (make("a.png") / "other").mkdir()
    with pytest.raises(DataError, match=r"^no images in empty, other$"):
        find_images(["empty", "other"])


def test_a_folder_that_cannot_be_read(make, monkeypatch):
    make("d/a.png")

    def refuse(path="."):
        raise PermissionError(13, "Permission denied", os.fspath(path))

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DataError, match=r"^d: Permission denied$"):
        find_images(["d"])


@pytest.fixture
def _remote(monkeypatch):
    """A remote store that is in memory: two pictures, and a file that is none."""
    monkeypatch.setitem(sources.SCHEMES, "memory", "")
    system = fsspec.filesystem("memory")
    system.store.clear()
    buffer = io.BytesIO()
    picture(1).save(buffer, "PNG")
    for name in ("/bucket/b.png", "/bucket/sub/a.PNG", "/bucket/notes.txt"):
        system.pipe_file(name, buffer.getvalue())
    yield system
    system.store.clear()


@pytest.mark.usefixtures("_remote")
def test_a_remote_folder():
    found = find_images(["memory://bucket"]).sources
    assert [s.image_id for s in found] == ["b", "sub/a"]
    assert [s.path for s in found] == ["memory:///bucket/b.png", "memory:///bucket/sub/a.PNG"]
    assert decode(found[1], True, 10**6).image.size == (48, 36)


@pytest.mark.usefixtures("_remote")
def test_a_remote_file():
    (source,) = find_images(["memory://bucket/b.png"]).sources
    assert source.image_id == "b"
    assert decode(source, True, 10**6).image.size == (48, 36)


@pytest.mark.usefixtures("_remote")
def test_a_remote_file_that_is_not_there_is_a_row_with_its_reason():
    (source,) = find_images(["memory://bucket/none.png"]).sources
    with pytest.raises(ImageReadError, match=r"^memory:///bucket/none\.png: cannot be fetched \("):
        decode(source, True, 10**6)


@pytest.mark.usefixtures("_remote")
def test_remote_files_in_a_list(tmp_path):
    (tmp_path / "list.txt").write_text("memory://bucket/b.png\n")
    (source,) = find_images([str(tmp_path / "list.txt")]).sources
    assert source.image_id == "bucket/b"
    assert decode(source, True, 10**6).image.size == (48, 36)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("nosuch://x", "no scheme 'nosuch' is opened, only http, https, s3, gs, file"),
        ("data://x", "no scheme 'data' is opened"),
        ("reference://::data:x", "a chain of URLs (::), which is never opened"),
        ("zip://a.png::file:///tmp/x.zip", "a chain of URLs (::), which is never opened"),
        ("filecache::file:///etc/hosts", "a chain of URLs (::), which is never opened"),
        ("simplecache://x", "no scheme 'simplecache' is opened"),
        ("github://a:b@/x.png", "no scheme 'github' is opened"),
        ("s3://", "names nothing"),
    ],
)
def test_urls_that_are_never_opened(url, reason, tmp_path, monkeypatch):
    """As an argument, and as a line of a list."""
    monkeypatch.setattr(fsspec, "open", None)
    monkeypatch.setattr(fsspec.core, "url_to_fs", None)
    with pytest.raises(DataError) as raised:
        find_images([url])
    assert reason in str(raised.value)
    (tmp_path / "list.txt").write_text(f"{url}\n")
    with pytest.raises(DataError) as raised:
        find_images([str(tmp_path / "list.txt")])
    assert reason in str(raised.value)


def test_a_server_that_does_not_answer(monkeypatch):
    monkeypatch.setattr(sources, "_SECONDS", 0.2)
    monkeypatch.setattr(fsspec.core, "url_to_fs", lambda _: threading.Event().wait(30))
    with pytest.raises(DataError, match=r"^https://x/y: cannot be listed \(no answer in 0.2 sec"):
        find_images(["https://x/y"])


@pytest.mark.parametrize("error", [ZeroDivisionError("x"), RuntimeError("a\nb"), KeyError("k")])
def test_whatever_a_remote_library_raises_is_that_images_reason(error, monkeypatch, tmp_path):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(fsspec, "open", fail)
    (tmp_path / "list.txt").write_text("https://x/y.png\n")
    (source,) = find_images([str(tmp_path / "list.txt")]).sources
    with pytest.raises(ImageReadError, match=r"^https://x/y\.png: cannot be fetched \("):
        decode(source, True, 10**6)


def test_what_a_scan_leaves_out_is_told_in_one_line(make):
    folder = make("a.png")
    data = (folder / "a.png").read_bytes()
    for name in ("no ending", "b.jpg_large", "photo.2021"):
        (folder / name).write_bytes(data)
    for name in ("IMG_1.HEIC", "IMG_2.heic", "x.xml", "y.xml", "notes", "data.bin"):
        (folder / name).write_bytes(b"x")
    found = find_images([str(folder)])
    assert [s.image_id for s in found.sources] == ["a", "b.jpg_large", "no ending", "photo.2021"]
    assert found.warnings == [
        f"{folder}: 2 HEIC photos left out, which are not read (IMG_1.HEIC, IMG_2.heic); convert"
        " them to JPEG first, e.g. magick mogrify -format jpg *.HEIC",
        f"{folder}: 4 files are no images by name and content, and left out (2 .xml, 1 .bin, 1 no"
        " ending)",
    ]


@pytest.mark.parametrize("ending", ["webp", "avif", "ppm", "tiff", "bmp", "gif", "jpeg"])
def test_files_without_an_ending_are_recognised_by_content(ending, tmp_path):
    picture(0).save(tmp_path / f"x.{ending}")
    (tmp_path / f"x.{ending}").rename(tmp_path / "photo")
    assert [s.image_id for s in find_images([str(tmp_path)]).sources] == ["photo"]


def test_runs_are_left_out_of_a_scan(make):
    """Also one that a kill cut short; a manifest of another program is none of ours."""
    folder = make("a.png")
    data = (folder / "a.png").read_bytes()
    marks = {
        "runs/whole/manifest.json": b'{"schema_version": 1, "program": {"name": "camtool"}}',
        "runs/cut/parts/run.json": b"{}",
        "app/manifest.json": b'{"name": "app"}',
    }
    for name, content in marks.items():
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_bytes(content)
    for run in ("runs/whole", "runs/cut", "app"):
        (folder / run / "overlays").mkdir()
        (folder / run / "overlays" / "a.png").write_bytes(data)
    found = find_images([str(folder)])
    assert [s.image_id for s in found.sources] == ["a", "app/overlays/a"]
    assert set(found.warnings) == {
        f"{folder}: runs of camtool in it are left out (cut, whole)",
        f"{folder}: 1 files are no images by name and content, and left out (1 .json)",
    }
    with pytest.raises(DataError, match="a run of camtool, whose pictures are overlays"):
        find_images([str(folder / "runs" / "whole")])


def test_masks_of_pascal_voc_are_no_photos(make):
    folder = make("JPEGImages/a.png", "SegmentationClass/a.png")
    found = find_images([str(folder)])
    assert [s.image_id for s in found.sources] == ["JPEGImages/a"]
    assert found.warnings == [f"{folder}: folders of masks in it are left out (SegmentationClass)"]
