from __future__ import annotations

import errno
import os
import stat

import pytest

from camtool.errors import RunError
from camtool.runs.writing import atomic_file, make_folder, write_atomically


def test_a_file_appears_when_the_block_ends(tmp_path):
    path = tmp_path / "a.txt"
    with atomic_file(path) as file:
        file.write(b"one")
        file.flush()
        assert not path.exists()
    assert path.read_bytes() == b"one"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_nothing_appears_when_the_block_fails(tmp_path):
    path = tmp_path / "a.txt"
    with pytest.raises(ZeroDivisionError), atomic_file(path) as file:
        file.write(b"half")
        1 / 0  # noqa: B018
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit])
def test_an_interruption_leaves_what_was_there(interruption, tmp_path):
    path = tmp_path / "a.txt"
    write_atomically(path, "old")
    with pytest.raises(interruption), atomic_file(path) as file:
        file.write(b"new")
        raise interruption
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_text_and_bytes(tmp_path):
    write_atomically(tmp_path / "a", "ünï")
    write_atomically(tmp_path / "b", b"\xff", sync=False)
    assert (tmp_path / "a").read_bytes() == "ünï".encode()
    assert (tmp_path / "b").read_bytes() == b"\xff"


def test_files_are_as_readable_as_others(tmp_path):
    (tmp_path / "usual").write_bytes(b"")
    write_atomically(tmp_path / "own", b"")
    modes = {stat.S_IMODE((tmp_path / n).stat().st_mode) for n in ("usual", "own")}
    assert len(modes) == 1


@pytest.mark.parametrize("synced", [True, False])
def test_content_is_forced_to_the_disk_before_the_rename(synced, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(os, "fsync", lambda _: seen.append((tmp_path / "a").exists()))
    write_atomically(tmp_path / "a", b"x", sync=synced)
    assert seen == ([False] if synced else [])


REMEDIES = {
    errno.ENOSPC: "no space left on the disk; free some and start again to go on",
    errno.EDQUOT: "the disk quota is used up; free some space and start again to go on",
    errno.EROFS: "the file system is read-only; choose another --out",
    errno.EIO: "Input/output error",
}


@pytest.mark.parametrize("number", REMEDIES)
def test_the_systems_errors_say_what_to_do(number, tmp_path, monkeypatch):
    def fail(_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    path = tmp_path / "a"
    with pytest.raises(RunError) as raised:
        write_atomically(path, b"x")
    assert str(raised.value) == f"{path}: cannot be written: {REMEDIES[number]}"
    assert isinstance(raised.value.__cause__, OSError)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_while_writing(tmp_path):
    with pytest.raises(RunError, match="no space left on the disk"), atomic_file(tmp_path / "a"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way_of_a_folder(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunError) as raised:
        make_folder(tmp_path / "file")
    assert str(raised.value) == (
        f"{tmp_path}/file: cannot be written: a file of that name is in the way;"
        " choose another --out"
    )
    with pytest.raises(RunError, match=r"a part of the path is a file; choose another --out$"):
        make_folder(tmp_path / "file" / "sub")


def test_a_folder_without_permission(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(type(tmp_path), "mkdir", refuse)
    with pytest.raises(RunError, match=r"no permission to write there; choose another --out$"):
        make_folder(tmp_path / "a")


def test_a_folder_that_is_missing(tmp_path):
    with pytest.raises(RunError, match=r"No such file or directory$"):
        write_atomically(tmp_path / "none" / "a", b"x")


def test_folders_are_made_with_their_parents(tmp_path):
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
