"""The examples in docstrings: they run, and what the faces of packages name has one."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
from pathlib import Path

import pytest

import camtool

FACES = ["camtool"] + [
    module.name for module in pkgutil.walk_packages(camtool.__path__, "camtool.") if module.ispkg
]
EXAMPLES = Path(__file__).parents[1] / "examples"


def named(face: str) -> list[tuple[str, object]]:
    """Return the classes and functions that a face names."""
    module = importlib.import_module(face)
    found = [(name, getattr(module, name)) for name in getattr(module, "__all__", ())]
    return [(n, one) for n, one in found if inspect.isclass(one) or inspect.isfunction(one)]


CASES = sorted(
    {
        f"{one.__module__}.{one.__qualname__}": one for face in FACES for _, one in named(face)
    }.items()
)


@pytest.mark.parametrize(("name", "one"), CASES, ids=[name for name, _ in CASES])
def test_what_a_face_names_has_an_example_that_runs(name, one, tmp_path, monkeypatch):
    found = doctest.DocTestFinder(recurse=True).find(one, name, module=inspect.getmodule(one))
    tests = [test for test in found if test.examples]
    assert tests, f"{name} has no example"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "examples").symlink_to(EXAMPLES)
    for test in tests:
        result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test)
        assert not result.failed, f"{result.failed} of {result.attempted} lines of {name} fail"
