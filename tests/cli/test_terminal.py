r"""Names from outside on a terminal, other encodings, streams that are closed or full."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from camtool.cli.terminal import encodable, safe
from tests.builders import save_picture
from tests.commands import TINY


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain größe 中文 собака", "plain größe 中文 собака"),
        ("a\x1b[31mred\x07", r"a\u001b[31mred\u0007"),
        ("a\u202egpj.exe", r"a\u202egpj.exe"),
        ("tab\tand\nline", "tab\tand\nline"),
        ("\udcff\x9b31m", r"\udcff\u009b31m"),
        ("نمی\u200cخواهم 👩\u200d🔬", "نمی\u200cخواهم 👩\u200d🔬"),
    ],
)
def test_nothing_from_outside_controls_the_terminal(text, shown):
    assert safe(text) == shown
    assert json.loads(f'"{safe(text.replace(chr(10), ""))}"'.replace("\t", r"\t"))


def test_other_encodings():
    assert encodable("── 3×4 ≥ 中", "latin-1") == r"-- 3×4 >= \u4e2d"
    assert encodable("── 3×4 ≥ é", "ascii") == r"-- 3x4 >= \u00e9"
    assert encodable("── 3×4", "utf-8") == "── 3×4"
    assert encodable("×", "no such") == "x"
    assert json.loads(encodable('"× 😀"', "ascii", data=True)) == "× 😀"


def run(*arguments, encoding="utf-8", **options):
    command = [sys.executable, "-m", "camtool", *map(str, arguments)]
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    return subprocess.run(command, env=environment, timeout=120, **options)


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "cp1252"])
@pytest.mark.parametrize("command", [["methods"], ["formats"], ["config", "describe"]])
def test_commands_in_other_encodings(command, encoding):
    done = run(*command, encoding=encoding, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout) > 300


def test_names_in_output_and_messages(tmp_path):
    save_picture(tmp_path / "photos" / "red\x1b[31m\u202e.png")
    (tmp_path / "photos" / "bad\x1b[2J.png").write_bytes(b"x")
    for encoding in ("utf-8", "latin-1"):
        done = run("localize", tmp_path / "photos", "-o", tmp_path / encoding, *TINY,
                   encoding=encoding, capture_output=True)  # fmt: skip
        assert done.returncode == 0, done.stderr
        both = done.stdout + done.stderr
        assert b"\x1b" not in both
        assert "\u202e".encode() not in both
    record = json.loads((tmp_path / "utf-8" / "predictions.jsonl").read_text().splitlines()[1])
    assert record["image_id"] == "red\x1b[31m\u202e"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_streams_that_are_closed_or_full(tmp_path):
    with Path("/dev/full").open("w") as full:
        done = run("methods", stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 6
    assert done.stderr == b"camtool: stdout cannot be written: No space left on device\n"
    save_picture(tmp_path / "a.png")
    line = f"{sys.executable} -m camtool localize {tmp_path}/a.png -o {tmp_path}/run "
    line += " ".join(TINY)
    assert subprocess.run(f"{line} 2>&-", shell=True, capture_output=True).returncode == 0
    assert subprocess.run(f"{line} >&-", shell=True, capture_output=True).returncode == 0
    piped = subprocess.run(
        f"{sys.executable} -m camtool methods | head -1", shell=True, capture_output=True
    )
    assert piped.stderr == b""
