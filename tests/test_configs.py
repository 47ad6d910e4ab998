"""Every shipped YAML loads, reads back equal, and says how it is used."""

from pathlib import Path

import pytest

from camtool.pipelines.experiment import Experiment
from camtool.settings import dump_settings, load_settings

CONFIGS = sorted((Path(__file__).resolve().parent.parent / "configs").glob("**/*.yaml"))


def test_there_are_configs():
    assert len(CONFIGS) >= 5


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_config(path, tmp_path):
    experiment = load_settings(Experiment, path)
    assert experiment != Experiment()
    copy = tmp_path / "copy.yaml"
    copy.write_text(dump_settings(experiment))
    assert load_settings(Experiment, copy) == experiment
    head = [line for line in path.read_text().splitlines() if line.startswith("#")]
    for word in ("command", "duration", "figure"):
        assert any(line.startswith(f"#   {word}") for line in head), f"the head names no {word}"


def test_the_smoke_config_runs(tmp_path, monkeypatch):
    from camtool.pipelines.localize import localize

    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    (path,) = (c for c in CONFIGS if c.stem == "offline-smoke")
    experiment = load_settings(Experiment, path, [f'run.dir="{tmp_path}/run"'])
    examples = path.parent.parent / "examples" / "images"
    result = localize([str(examples)], experiment)
    assert (result.images, result.skipped, result.finished) == (7, (), True)
