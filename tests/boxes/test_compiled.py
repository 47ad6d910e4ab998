"""Where compiled kernels are kept."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from camtool.boxes import compiled as module

SOURCE = """
from camtool.boxes.compiled import compiled

@compiled
def twice(x):
    return 2 * x

print(twice(21))
"""


def run(tmp_path, **environment):
    script = tmp_path / "kernel.py"
    script.write_text(SOURCE)
    clean = {k: v for k, v in os.environ.items() if k not in {"NUMBA_CACHE_DIR", "XDG_CACHE_HOME"}}
    result = subprocess.run(
        [sys.executable, str(script)],
        env={**clean, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout


def test_in_the_cache_folder_of_the_user(tmp_path):
    assert run(tmp_path, XDG_CACHE_HOME=str(tmp_path / "cache")) == "42\n"
    (folder,) = (tmp_path / "cache" / "camtool" / "compiled").iterdir()
    assert len(folder.name) == 16
    assert len(list(folder.rglob("*.nbc"))) == 1


def test_in_the_folder_that_numba_is_told(tmp_path):
    assert run(tmp_path, NUMBA_CACHE_DIR=str(tmp_path / "told")) == "42\n"
    assert len(list((tmp_path / "told").rglob("*.nbc"))) == 1


def test_without_any_place_everything_is_compiled_anew(monkeypatch):
    def no_place(**options):
        if options.pop("cache", False):
            raise RuntimeError("cannot cache function: no locator available")
        return lambda f: (f, options)

    monkeypatch.setattr(module, "njit", no_place)
    assert module.compiled(abs) == (abs, {"nogil": True})


def test_without_a_home_nothing_is_kept(monkeypatch):
    """Least of all in a common temporary folder, where anyone could have put a pickle."""

    def no_home(_path):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(module._config, "CACHE_DIR", "")
    monkeypatch.setattr(module.Path, "expanduser", no_home)
    assert module._cache_folder() is None
    monkeypatch.setattr(module, "_FOLDER", None)
    monkeypatch.setattr(module, "njit", lambda **options: lambda f: (f, options))
    assert module.compiled(abs) == (abs, {"nogil": True})


def test_other_sources_have_another_folder(tmp_path, monkeypatch):
    places = [tmp_path / "boxes" / "a.py", tmp_path / "metrics" / "b.py", tmp_path / "geometry.py"]
    for place in places:
        place.parent.mkdir(exist_ok=True)
        place.write_text("")
    folders = {module._cache_folder()}
    monkeypatch.setattr(module, "__file__", str(tmp_path / "boxes" / "compiled.py"))
    folders.add(module._cache_folder())
    for place in places:
        place.write_text("# another version")
        folders.add(module._cache_folder())
    assert len(folders) == 2 + len(places)


def test_every_compiled_function_is_among_these_sources():
    """Else an update of its file, of the same size and time, would go on with the old code."""
    package = Path(module.__file__).parents[1]
    with_kernels = {
        path
        for path in package.rglob("*.py")
        if re.search(r"^from camtool\.boxes\.compiled import", path.read_text(), re.MULTILINE)
    }
    hashed = {path for pattern in module._SOURCES for path in package.glob(pattern)}
    assert with_kernels
    assert with_kernels <= hashed
