from __future__ import annotations

import os

import pytest

from camtool.runs import last_run, remember


@pytest.fixture(autouse=True)
def _own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


def finish(path):
    path.mkdir(parents=True)
    (path / "manifest.json").write_text("{}")
    return path


def test_no_run_yet():
    assert last_run() is None


def test_the_run_written_last_is_remembered_in_its_folder(tmp_path, monkeypatch):
    first, second = finish(tmp_path / "a"), finish(tmp_path / "ünï \udce9")
    remember(first)
    assert last_run() == first
    remember(second)
    assert last_run() == second
    monkeypatch.chdir(tmp_path)
    assert last_run() is None


def test_a_relative_path_is_remembered_as_what_it_is(tmp_path):
    run = finish(tmp_path / "work" / "run")
    remember(type(run)("run"))
    assert last_run() == run


def test_the_default_folder_where_the_remembered_one_is_gone(tmp_path):
    finish(tmp_path / "work" / "runs" / "localize")
    run = finish(tmp_path / "a")
    remember(run)
    (run / "manifest.json").unlink()
    assert os.fspath(last_run()) == "runs/localize"


def test_a_home_that_cannot_be_written_costs_nothing(tmp_path):
    (tmp_path / "state").write_text("a file")
    remember(finish(tmp_path / "a"))
    assert last_run() is None
