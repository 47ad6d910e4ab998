from __future__ import annotations

from pathlib import Path

import pytest

from camtool.annotations import read_labels
from camtool.errors import DataError, ImageReadError
from camtool.images import find_images
from camtool.images.decode import decode
from camtool.images.lists import read_list
from tests.builders import awkward_files

OK, GRAY = "ok_rgb.JPEG", "gray.JPEG"
BANANA, FIG = "n07747607", "n07753592"

# List → the entries it gives, and its warnings (after the file's name).
READ = {
    "ok.csv": ({OK: (BANANA,), GRAY: (BANANA,)}, []),
    "crlf.csv": ({OK: (BANANA,)}, []),
    "bom.csv": ({OK: (BANANA,)}, []),
    "no_header.csv": ({OK: (BANANA,)}, []),
    "duplicate.csv": ({OK: (BANANA,)}, []),
    "conflict.csv": (
        {OK: ()},
        [
            f": conflict: '{OK}' has the classes ('{BANANA}',) and ('{FIG}',);"
            " neither is used as its true class"
        ],
    ),
    "missing_file.csv": ({"not_there.JPEG": (BANANA,), OK: (BANANA,)}, []),
    "blank_lines.csv": ({OK: (BANANA,)}, []),
    "quoted.csv": ({'with space, comma & "quote".JPEG': (BANANA,)}, []),
    "traversal.csv": ({"../../../../etc/passwd": (BANANA,)}, []),
    # Lists of boxes name images, too.
    "wsol_localization.txt": ({"val/ok_rgb.JPEG": ()}, []),
    "tiny_boxes.txt": ({"ok_rgb.JPEG": ()}, []),
}

REFUSED = {
    "short_row.csv": "no image in this list ({path}:2: too few fields; the line is left out)",
    "empty.csv": "no image in this list",
    "header_only.csv": "no image in this list",
}


@pytest.mark.parametrize("name", awkward_files("lists"))
def test_awkward_list(name, bad_inputs):
    path = bad_inputs / "lists" / name
    if name in READ:
        entries, warnings = READ[name]
        listed = read_list(path)
        assert listed.entries == entries
        assert [w[len(_short(path)) :] for w in listed.warnings] == warnings
        return
    with pytest.raises(DataError) as raised:
        read_list(path)
    if name == "latin1.csv":
        expected = f"{path}:2: wrong encoding: byte 0xe9 is not UTF-8; save it as UTF-8"
    else:
        expected = f"{_short(path)}: {REFUSED[name]}".replace("{path}", _short(path))
    assert str(raised.value) == expected


def _short(path: Path) -> str:
    from camtool.errors import shorten

    return shorten(str(path))


def write(tmp_path, name: str, text: str):
    path = tmp_path / name
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize(
    ("text", "entries"),
    [
        ("a.jpg\nsub/b.jpg\n", {"a.jpg": (), "sub/b.jpg": ()}),
        ("a.jpg\r\nb.jpg", {"a.jpg": (), "b.jpg": ()}),
        ("\ufeffa.jpg\n\n  b c.jpg  \n", {"a.jpg": (), "b c.jpg": ()}),
        # Line separators that are none in a list are part of the name.
        ("a\u2028b.jpg\nc\x0cd.jpg", {"a\u2028b.jpg": (), "c\x0cd.jpg": ()}),
    ],
)
def test_text_lists(text, entries, tmp_path):
    assert read_list(write(tmp_path, "l.txt", text)).entries == entries


@pytest.mark.parametrize(
    ("text", "entries"),
    [
        ("label,file\ndog,a.jpg\n", {"a.jpg": ("dog",)}),
        ("Image , Class \na.jpg,dog\n", {"a.jpg": ("dog",)}),
        ("file\na.jpg\nb.jpg\n", {"a.jpg": (), "b.jpg": ()}),
        ("a.jpg\nb.jpg\n", {"a.jpg": (), "b.jpg": ()}),
        ("file,size\na.jpg,12\n", {"a.jpg": ()}),
        ("file,class_index\na.jpg,65\nb.jpg,007\n", {"a.jpg": (65,), "b.jpg": (7,)}),
        ("file,class\na.jpg,\nb.jpg, dog \n", {"a.jpg": (), "b.jpg": ("dog",)}),
        ('file,class\n"two\nlines.jpg",dog\n', {"two\nlines.jpg": ("dog",)}),
        ("file,class\na\u2028b.jpg,dog\n", {"a\u2028b.jpg": ("dog",)}),
        ("file,class\na.jpg,６５\n", {"a.jpg": ("６５",)}),
        (f"file,class\na.jpg,{'9' * 5000}\n", {"a.jpg": ("9" * 5000,)}),
    ],
)
def test_tables(text, entries, tmp_path):
    listed = read_list(write(tmp_path, "l.csv", text))
    assert listed.entries == entries
    assert listed.warnings == []


@pytest.mark.parametrize("ending", ["csv", "txt"])
@pytest.mark.parametrize(
    "text",
    [
        "a.jpg dog\nsub/my cat.jpg dog\n",
        "a.jpg\tdog\nsub/my cat.jpg\tdog\n",
        "file;class\na.jpg;dog\nsub/my cat.jpg;dog\n",
        ",filename,class\n0,a.jpg,dog\n1,sub/my cat.jpg,dog\n",
        "filepath,category\na.jpg,dog\nsub/my cat.jpg,dog\n",
        "Class Name,Image-Path\ndog,a.jpg\ndog,sub/my cat.jpg\n",
        "a.jpg,1,2,30,40,dog\nsub/my cat.jpg,1,2,30,40,dog\n",
    ],
)
def test_the_same_list_in_many_forms(text, ending, tmp_path):
    path = write(tmp_path, f"l.{ending}", text)
    assert read_list(path).entries == {"a.jpg": ("dog",), "sub/my cat.jpg": ("dog",)}
    labels = read_labels(path).annotations
    assert {name: found.labels for name, found in labels.items()} == {
        "a": ("dog",), "sub/my cat": ("dog",),
    }  # fmt: skip


def test_comments_and_names_with_commas(tmp_path):
    path = write(tmp_path, "l.txt", "# my list\nfirst, second.jpg\n\n# the rest\nb.jpg\n")
    assert read_list(path).entries == {"first, second.jpg": (), "b.jpg": ()}


@pytest.mark.parametrize("text", ["a.jpg,b.jpg\n", "one,two\nx,y\n", "0,a.jpg,dog\n"])
def test_lists_that_can_mean_two_things_are_refused(text, tmp_path):
    with pytest.raises(DataError, match=r"l\.csv:1: no header that is understood: .*; call the"):
        read_list(write(tmp_path, "l.csv", text))


def test_backslashes_divide_folders_where_no_file_has_them_in_its_name(tmp_path):
    (tmp_path / "sub").mkdir()
    for name in ("sub/a.jpg", "odd\\name.jpg"):
        (tmp_path / name).write_bytes(b"x")
    listed = write(tmp_path, "l.txt", "sub\\a.jpg\nodd\\name.jpg\nno\\where.jpg\n")
    found = find_images([str(listed)])
    assert [s.path[len(str(tmp_path)) + 1 :] for s in found.sources] == [
        "sub/a.jpg", "odd\\name.jpg", "no\\where.jpg",
    ]  # fmt: skip
    assert found.warnings == [
        f"{listed}: 1 names hold a backslash and are no files here: paths of Windows? Write /"
        " between folders"
    ]


def test_lists_of_pascal_voc_name_images_without_an_ending(tmp_path):
    (tmp_path / "VOC" / "JPEGImages").mkdir(parents=True)
    (tmp_path / "VOC" / "JPEGImages" / "000005.jpg").write_bytes(b"x")
    (tmp_path / "VOC" / "ImageSets" / "Main").mkdir(parents=True)
    for text in ("000005\n", "000005 -1\n"):
        listed = write(tmp_path, "VOC/ImageSets/Main/val.txt", text)
        (source,) = find_images([str(listed)]).sources
        assert (source.image_id, Path(source.path).read_bytes()) == ("000005", b"x")


def test_a_short_row_is_told_and_the_rest_is_read(tmp_path):
    path = write(tmp_path, "l.csv", "file,class\na.jpg\nb.jpg,dog\n")
    listed = read_list(path)
    assert listed.entries == {"b.jpg": ("dog",)}
    assert listed.warnings == [f"{path}:2: too few fields; the line is left out"]


def test_a_field_without_end(tmp_path):
    path = write(tmp_path, "l.csv", "file,class\na.jpg," + "x" * 200_000 + "\n")
    with pytest.raises(DataError, match=r"l\.csv:2: not a CSV row: field larger than field limit"):
        read_list(path)


def test_a_list_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match=r"l\.txt: No such file or directory$"):
        read_list(tmp_path / "l.txt")


def test_a_list_that_is_too_large(tmp_path):
    path = tmp_path / "l.txt"
    with path.open("wb") as file:
        file.truncate((1 << 30) + 1)
    with pytest.raises(DataError, match=r"l\.txt:1: a line of over 4 MB$"):
        read_list(path)


def test_names_are_relative_to_the_list(tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    (tmp_path / "d").mkdir()
    write(tmp_path, "d/a.jpg", "x")
    write(tmp_path, "d/l.csv", f"file,class\na.jpg,dog\n{tmp_path}/other.jpg,3\n")
    found = find_images([str(tmp_path / "d" / "l.csv")])
    assert [s.path for s in found.sources] == [f"{tmp_path}/d/a.jpg", f"{tmp_path}/other.jpg"]
    assert [s.labels for s in found.sources] == [("dog",), (3,)]


def test_a_listed_image_that_is_not_there_is_a_row_with_its_reason(bad_inputs):
    found = find_images([str(bad_inputs / "lists" / "missing_file.csv")]).sources
    with pytest.raises(ImageReadError, match=r"not_there\.JPEG: no such file$"):
        decode(found[0], True, 100)


def test_a_list_that_leads_out_reads_nothing_that_is_no_image(bad_inputs):
    (source,) = find_images([str(bad_inputs / "lists" / "traversal.csv")]).sources
    assert source.image_id == "etc/passwd"
    with pytest.raises(
        ImageReadError, match=r"passwd: (not an image: it holds text|no such file)$"
    ):
        decode(source, True, 100)
