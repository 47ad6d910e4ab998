"""The program's own files with values changed or left out: a refusal or a result, no traceback.

`CAMTOOL_DAMAGES` sets the number of tries of each kind (a thousand take some minutes).
"""

from __future__ import annotations

import copy
import json
import os
import random
import shutil

import pytest

from tests.builders import draw_pictures, draw_shapes
from tests.commands import SMALL, TINY, run_here, shapes_data

TRIES = int(os.environ.get("CAMTOOL_DAMAGES", "12"))
NUMBERS = (True, -1, 0, 3.5, 1e300, float("nan"), 10**30)
VALUES = (None, *NUMBERS, "", "x", "\x00", [], [[]], {}, {"a": 1}, ["x"], [None])


def places(value: object, path: tuple = ()) -> list[tuple]:
    """The paths of all values within a JSON value."""
    inside = value.items() if isinstance(value, dict) else ()
    inside = enumerate(value) if isinstance(value, list) else inside
    return [path, *(p for key, each in inside for p in places(each, (*path, key)))]


def damaged(document: object, chance: random.Random) -> object:
    """Change one value of a document, or leave it out."""
    result = copy.deepcopy(document)
    *way, last = chance.choice(places(result)[1:])
    inner = result
    for key in way:
        inner = inner[key]
    if chance.random() < 0.3:
        del inner[last]
    else:
        inner[last] = copy.deepcopy(chance.choice(VALUES))
    return result


def deep(levels: int) -> bytes:
    return b'{"a":' * levels + b"1" + b"}" * levels


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    draw_pictures(folder / "pictures", 6)
    rows = [f"{n:05d}.png,5,5,40,30,n01440764" for n in range(6)]
    (folder / "boxes.csv").write_text("\n".join(rows))
    given = ("--labels", folder / "boxes.csv", "-o", folder / "run")
    assert run_here("localize", folder / "pictures", *TINY, *given).code == 0
    given = ("--boxes", folder / "boxes.csv", "--calibrate-on", folder / "boxes.csv")
    return folder


def commands(folder, run):
    boxes = ("--boxes", folder / "boxes.csv")
    yield ("eval", run, *boxes)
    yield ("eval", run, *boxes, "--protocol", "maxboxacc")
    yield ("localize", folder / "pictures", *TINY, "--labels", folder / "boxes.csv", "-o", run)
    yield ("compare", folder / "run", run, *boxes)


def check(folder, run):
    for command in commands(folder, run):
        ran = run_here(*command)
        assert ran.code in range(7), (command, ran.err)
        assert ran.code == 0 or ran.err


@pytest.mark.parametrize("name", ["manifest.json", "predictions.jsonl"])
def test_a_value_that_is_changed_or_left_out(name, whole, tmp_path):
    chance = random.Random(name)
    run = shutil.copytree(whole / "run", tmp_path / "run")
    lines = (whole / "run" / name).read_text().splitlines() if name.endswith("l") else None
    for _ in range(TRIES):
        if lines is None:
            text = json.dumps(damaged(json.loads((whole / "run" / name).read_text()), chance))
        else:
            row = chance.randrange(len(lines))
            changed = json.dumps(damaged(json.loads(lines[row]), chance))
            text = "\n".join([*lines[:row], changed, *lines[row + 1 :]]) + "\n"
        (run / name).write_text(text)
        check(whole, run)


@pytest.mark.parametrize("content", [b"", b"[]", b"5", b"\xff\xfe", deep(10_000), b"NaN"])
@pytest.mark.parametrize("name", ["manifest.json", "predictions.jsonl", "threshold.json"])
def test_a_file_that_is_something_else(name, content, whole, tmp_path):
    run = shutil.copytree(whole / "run", tmp_path / "run")
    (run / name).write_bytes(content)
    check(whole, run)


def test_damaged_map_files(whole, tmp_path):
    chance = random.Random(7)
    run = shutil.copytree(whole / "run", tmp_path / "run")
    data = (whole / "run" / "maps" / "00000.npz").read_bytes()
    for _ in range(TRIES):
        changed = bytearray(data)
        for _ in range(chance.randint(1, 8)):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        (run / "maps" / "00000.npz").write_bytes(changed[: chance.randint(1, len(changed))])
        check(whole, run)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    shapes = draw_shapes(folder / "shapes", train=3, val=1)
    one = (*shapes_data(shapes), *SMALL, "--set", "train.epochs=1")
    ran = run_here("train", *one, "-o", folder / "run")
    assert ran.code == 0, ran.err
    return folder, one


@pytest.mark.parametrize("name", ["checkpoint.json", "classes.json"])
def test_damaged_checkpoints(name, trained, tmp_path):
    folder, given = trained
    chance = random.Random(name)
    run = shutil.copytree(folder / "run", tmp_path / "run")
    picture = next((folder / "shapes" / "val").rglob("*.png"))
    for _ in range(max(3, TRIES // 3)):
        for place in ("last", "best"):
            path = run / "checkpoints" / place / name
            whole = json.loads((folder / "run" / "checkpoints" / place / name).read_text())
            path.write_text(json.dumps(damaged(whole, chance)))
        for command in (
            ("localize", picture, "-m", run, "-o", tmp_path / "found", "--overwrite"),
            ("train", *given, "-o", run, "--resume"),
        ):
            ran = run_here(*command)
            assert ran.code in range(7), ran.err
