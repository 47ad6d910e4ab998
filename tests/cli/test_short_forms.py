"""Options that stand for settings, names that are enough, and hints where they are wrong."""

from __future__ import annotations

import json

import pytest

from camtool.runs import read_predictions
from tests.builders import draw_pictures
from tests.commands import TINY, run_here


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return draw_pictures(tmp_path_factory.mktemp("short") / "pictures", 2)


def identity(run) -> dict:
    return json.loads((run / "manifest.json").read_text())["identity"]


@pytest.mark.parametrize(
    ("short", "settings"),
    [
        (["--method", "grad-cam"], ["localize.cam.name=grad-cam"]),
        (["--threshold", ".3"], ["localize.boxes.threshold=0.3"]),
        (["--threshold", "otsu"], ["localize.boxes.threshold=otsu"]),
        (["--boxes-rule", "multi"], ["localize.boxes={name: multi, scale: min-max}"]),
        (["--top-k", "2"], ["localize.classes.k=2"]),
        (["--min-score", ".001"], ["localize.classes.min_score=.001"]),
        (
            ["--classes", "n02123045, n02084071"],
            ["localize.classes={name: list, classes: [n02123045, n02084071]}"],
        ),
    ],
)
def test_each_is_its_setting(short, settings, pictures, tmp_path):
    if short[0] == "--boxes-rule":
        short = [*short, "--set", "localize.boxes.scale=min-max"]
    if "n02084071" in short[-1]:
        short[-1] = short[-1].replace("n02084071", "n02085620")
        settings = [settings[0].replace("n02084071", "n02085620")]
    small = TINY if "--boxes-rule" not in short else TINY[:6] + TINY[8:]
    one = run_here("localize", pictures, *small, *short, "-o", tmp_path / "short")
    assert one.code == 0, one.err
    long = [argument for text in settings for argument in ("--set", text)]
    assert run_here("localize", pictures, *small, *long, "-o", tmp_path / "long").code == 0
    assert identity(tmp_path / "short") == identity(tmp_path / "long")


def test_classes_are_listed_or_counted(pictures, tmp_path):
    ran = run_here("localize", pictures, *TINY, "--classes", "a", "--top-k", 2, "-o", tmp_path)
    assert ran.code == 2
    assert "--classes names all classes that get a map: leave out --top-k" in ran.err


def test_no_class_is_probable_enough(pictures, tmp_path):
    ran = run_here("localize", pictures, *TINY, "--min-score", ".9", "-o", tmp_path / "run")
    assert ran.code == 0
    assert all(p.classes == () and p.error is None for p in read_predictions(tmp_path / "run"))
    assert "(no class chosen)" in ran.out


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("localize.cam=gradcam", "did you mean 'grad-cam'?"),
        ("k=3", "unknown setting; did you mean 'localize.classes.k'?"),
        ("boxes.threshold=.3", "unknown setting; did you mean 'localize.boxes.threshold'?"),
    ],
)
def test_hints(text, hint):
    ran = run_here("config", "check", "--set", text)
    assert ran.code == 2
    assert ran.err.endswith(f"{hint}\n")


def test_a_part_by_its_name_keeps_what_is_set_beside_it():
    more = ("--set", "localize.cam=layer-cam", "--set", "localize.cam.layers=[bn2]")
    ran = run_here("config", "show", *more)
    assert ran.code == 0, ran.err
    assert "name: layer-cam" in ran.out
    assert "- bn2" in ran.out or "[bn2]" in ran.out


def test_a_command_that_is_none():
    ran = run_here("localise", "x")
    assert ran.code == 2
    assert "no command 'localise'; did you mean 'localize'?" in ran.err


def test_another_call_takes_the_next_folder(pictures, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    for k, folder in ((1, "localize"), (2, "localize-2"), (1, "localize"), (3, "localize-3")):
        ran = run_here("localize", pictures, *TINY, "--top-k", k)
        assert ran.code == 0, ran.err
        assert f"0 skipped: runs/{folder}/" in ran.out
    assert "runs/localize holds another run: this one is runs/localize-3" in ran.err
    strict = run_here("localize", pictures, *TINY, "--top-k", 4, "-o", "runs/localize")
    assert strict.code == 6
    assert "holds another experiment" in strict.err
    ran = run_here("eval", "--boxes", "none.csv")
    assert ran.err.startswith(f"scoring the run written last: {tmp_path}/runs/localize-3\n")


def test_one_method_and_its_settings():
    ran = run_here("methods", "layer-cam")
    assert ran.out.startswith("localize.cam: layer-cam\n")
    assert "layers: list of text" in ran.out
    ran = run_here("methods", "gradcm")
    assert (ran.code, ran.err) == (
        2, "camtool: no method is called 'gradcm'; did you mean 'grad-cam'?\n",
    )  # fmt: skip


@pytest.mark.parametrize(
    "command", [["methods"], ["formats"], ["methods", "cam"], ["models", "*resnet18*"]]
)
def test_listings_fit_the_terminal(command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    ran = run_here(*command)
    assert ran.code == 0
    assert max(map(len, ran.out.splitlines())) <= 80


def test_versions():
    ran = run_here("--version")
    assert ran.code == 0
    assert all(name in ran.out for name in ("camtool, version", "torch ", "timm ", "numpy "))


def test_quiet_and_verbose(pictures, tmp_path):
    loud = run_here("-v", "localize", pictures, *TINY, "-o", tmp_path / "a")
    assert "network timm/test_resnet: input 160×160, 1000 classes, scores softmax" in loud.err
    assert run_here("-q", "localize", pictures, *TINY, "-o", tmp_path / "b").err == ""
