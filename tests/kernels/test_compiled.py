"""Where compiled kernels are kept, and from which call on they run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from pathlib import Path

from camtool.kernels import compiled as module

SOURCE = """
from camtool.kernels.compiled import compiled

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
    places = [tmp_path / "kernels" / "a.py", tmp_path / "kernels" / "b.py"]
    for place in places:
        place.parent.mkdir(exist_ok=True)
        place.write_text("")
    folders = {module._cache_folder()}
    monkeypatch.setattr(module, "__file__", str(tmp_path / "kernels" / "compiled.py"))
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
        if re.search(r"^from camtool\.kernels\.compiled import", path.read_text(), re.MULTILINE)
    }
    hashed = {path for pattern in module._SOURCES for path in package.glob(pattern)}
    assert with_kernels
    assert with_kernels <= hashed


class Machine:
    """Takes the place of a compiled function: in memory once it was called."""

    def __init__(self, folder: str | None = None):
        self.__qualname__ = "_machine"
        self.signatures = []
        self.stats = type("Stats", (), {"cache_path": folder})

    def __call__(self) -> None:
        self.signatures.append("()")


def kernel(last, **options):
    @module.with_plain(lambda x: ("plain", x), last, **options)
    def either(x):
        """Say which body ran."""
        last()
        return "compiled", x

    return either


def test_the_first_calls_are_plain_and_all_others_compiled():
    either = kernel(Machine(), calls=3)
    assert [either(x)[0] for x in range(6)] == ["plain"] * 3 + ["compiled"] * 3
    assert either(9) == ("compiled", 9)


def test_both_bodies_can_be_called_by_name():
    either = kernel(Machine())
    assert (either.plain(1), either.compiled(x=2)) == (("plain", 1), ("compiled", 2))
    assert either.__doc__ == "Say which body ran."


def test_code_in_memory_is_used_at_once():
    last = Machine()
    either = kernel(last)
    assert either(1)[0] == "plain"
    either.compiled(1)
    assert either(1)[0] == "compiled"


def test_what_is_too_large_for_the_plain_body_is_compiled():
    either = kernel(Machine(), small=lambda x: x < 10)
    assert [either(x)[0] for x in (1, 9, 10, 1)] == ["plain", "plain", "compiled", "compiled"]


def test_code_on_disk_is_used_at_once(tmp_path):
    (tmp_path / "sweep._machine-12.py311.nbi").touch()
    assert kernel(Machine(str(tmp_path)))(1)[0] == "compiled"
    (tmp_path / "sweep._machine-12.py311.nbi").rename(tmp_path / "sweep._machines-12.py311.nbi")
    assert kernel(Machine(str(tmp_path)))(1)[0] == "plain"


def test_the_names_of_files_on_disk_are_as_numba_has_them(tmp_path):
    script = tmp_path / "kernel.py"
    script.write_text(
        SOURCE
        + "from camtool.kernels.compiled import _is_on_disk\n"
        + "new = compiled(lambda x: x)\n"
        + "print(_is_on_disk(twice), _is_on_disk(new))\n"
    )
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    out = subprocess.check_output([sys.executable, str(script)], env=environment, text=True)
    assert out.splitlines() == ["42", "True False"]


def test_threads_share_one_count():
    last = Machine()
    either = kernel(last, calls=100)
    ran = []

    def work():
        ran.extend(either.plain(0)[0] if last.signatures else either(x)[0] for x in range(20))

    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ran == ["plain"] * 100
    assert either(1)[0] == "compiled"
