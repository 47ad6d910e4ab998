"""The public names are what `__all__` says, load on first use, and cost nothing before."""

import subprocess
import sys

import pytest

import camtool


def test_all_is_the_truth():
    assert sorted(camtool.__all__) == list(camtool.__all__)
    assert set(camtool.__all__) == {*camtool._HOME, "__version__"}
    for name in camtool.__all__:
        assert getattr(camtool, name) is not None
    assert dir(camtool) == sorted(camtool.__all__)


def test_unknown_name():
    with pytest.raises(AttributeError, match="module 'camtool' has no attribute 'cam_tool'"):
        _ = camtool.cam_tool


def test_type_checkers_see_the_same_names():
    import ast
    from pathlib import Path

    tree = ast.parse(Path(camtool.__file__).read_text("utf-8"))
    (checked,) = (n for n in tree.body if isinstance(n, ast.If))
    names = {a.name: n.module for n in checked.body for a in n.names}
    assert names == camtool._HOME


def test_import_is_light():
    code = (
        "import camtool, sys; print(*sorted({'numpy', 'torch', 'pydantic'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
