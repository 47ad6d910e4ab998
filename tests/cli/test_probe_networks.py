"""`camtool models --probe`: a row each, whatever a network does, and nothing looked at twice."""

from __future__ import annotations

import json

import pytest

from camtool.cli import models_command
from tests.commands import run_here

NAMES = ("timm/test_resnet", "timm/test_vit")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "camtool" / "networks.json"


def test_what_was_found_is_remembered(cache, monkeypatch):
    first = run_here("models", "timm/test_resnet*", "--probe")
    assert first.code == 0
    assert "Linear" in first.out
    held = json.loads(cache.read_text())
    assert set(held["versions"]) == {"camtool", "timm", "torch", "torchvision"}
    monkeypatch.setattr(models_command, "_probe", lambda _: pytest.fail("looked at twice"))
    assert run_here("models", "timm/test_resnet*", "--probe").out == first.out


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"versions": 1}', '{"versions": {}, "rows": 3}']
)
def test_a_damaged_memory_is_none(cache, content):
    cache.parent.mkdir(parents=True)
    cache.write_text(content)
    assert "Linear" in run_here("models", "timm/test_resnet", "--probe").out


def test_other_versions_are_looked_at_again(cache):
    run_here("models", "timm/test_resnet", "--probe")
    held = json.loads(cache.read_text())
    held["versions"]["timm"] = "0"
    held["rows"]["timm/test_resnet"] = ["timm/test_resnet", "", "", "old"]
    cache.write_text(json.dumps(held))
    assert "old" not in run_here("models", "timm/test_resnet", "--probe").out


def test_an_interrupted_look_keeps_what_it_found(cache, monkeypatch):
    found = []

    def probe(name):
        if found:
            raise KeyboardInterrupt
        found.append(name)
        return name, "1", "2", "3"

    monkeypatch.setattr(models_command, "_probe", probe)
    with pytest.raises(KeyboardInterrupt):
        models_command._rows(list(NAMES))
    assert list(json.loads(cache.read_text())["rows"]) == [NAMES[0]]


@pytest.mark.parametrize("error", [RuntimeError("no\nmore"), MemoryError(), KeyError("x")])
def test_a_network_that_fails_is_a_row(monkeypatch, error):
    def fail(_):
        raise error

    monkeypatch.setattr(models_command, "_probed", fail)
    row = models_command._probe("timm/test_resnet")
    assert row[3].startswith(f"fails: {type(error).__name__}")


def test_a_network_that_is_too_large_is_not_built(monkeypatch):
    monkeypatch.setattr(models_command, "_SHARE", 0.0)
    monkeypatch.setattr(models_command, "_probed", lambda _: pytest.fail("built"))
    assert models_command._probe("timm/test_resnet")[3].startswith("not built: its weights take")


def test_a_cache_that_cannot_be_written_is_no_reason_to_fail(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert run_here("models", "timm/test_resnet", "--probe").code == 0
