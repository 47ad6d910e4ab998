"""What a command imports, seen in a fresh process: scoring and help must not wait for torch."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from camtool.structures import Box
from tests.builders import WNID, guess, prediction, write_predictions, write_voc

HEAVY = ("torch", "torchvision", "timm", "cv2", "numpy", "pydantic", "PIL", "yaml")
TORCH = ("torch", "torchvision", "timm")
PROGRAM = """
import atexit, json, sys
def tell():
    print("\\nMODULES" + json.dumps(sorted(m for m in sys.modules if "." not in m)))
atexit.register(tell)
from camtool.cli import main
main()
"""


def imported(*arguments: object, code: int = 0) -> set[str]:
    command = [sys.executable, "-c", PROGRAM, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == code, done.stderr
    return set(json.loads(done.stdout.rsplit("\nMODULES", 1)[1]))


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["localize", "--help"]])
def test_help_imports_nothing_heavy(arguments):
    modules = imported(*arguments)
    assert "click" in modules
    assert modules.isdisjoint(HEAVY)


@pytest.mark.parametrize(
    "arguments", [["config", "show"], ["config", "check"], ["config", "schema"], ["formats"]]
)
def test_settings_and_formats_without_torch(arguments):
    modules = imported(*arguments)
    assert "pydantic" in modules
    assert modules.isdisjoint(TORCH)


def test_an_input_that_is_not_there_is_refused_without_torch(tmp_path):
    modules = imported("localize", tmp_path / "none.jpg", code=3)
    assert modules.isdisjoint(TORCH)


def test_methods_without_torch():
    assert imported("methods").isdisjoint(TORCH)


def test_eval_without_torch(tmp_path):
    write_voc(tmp_path / "a.xml", {"a": [(0, 0, 47, 35)]})
    write_predictions(tmp_path / "p.jsonl", [prediction("a", guess(WNID, Box(0, 0, 48, 36)))])
    modules = imported(
        "eval", "--predictions", tmp_path / "p.jsonl", "--boxes", tmp_path / "a.xml",
        "--format", "json",
    )  # fmt: skip
    assert "numpy" in modules
    assert modules.isdisjoint(TORCH)
