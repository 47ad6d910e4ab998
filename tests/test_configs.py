"""Every shipped YAML loads, reads back equal, and says how it is used."""

import importlib
from pathlib import Path

import pytest

from camtool.pipelines.experiment import Experiment
from camtool.settings import dump_settings, load_settings

ROOT = Path(__file__).resolve().parent.parent
CONFIGS = sorted((ROOT / "configs").glob("**/*.yaml"))
EXPERIMENTS = ROOT / "scripts" / "experiments"


@pytest.fixture
def methods(monkeypatch):
    """The script that compares all ways to localize."""
    monkeypatch.syspath_prepend(EXPERIMENTS)
    return importlib.import_module("methods")


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


def test_the_table_of_methods_has_22_rows_a_network_which_all_load(methods):
    assert len(methods.METHODS) == 22
    assert set(methods.COSTLY) < set(methods.METHODS)
    rows = {
        (network, name): load_settings(
            Experiment, ROOT / methods.BASE, methods.overrides(name, network)
        )
        for network in methods.NETWORKS
        for name in methods.METHODS
    }
    assert len({experiment.model_dump_json() for experiment in rows.values()}) == 44
    for (network, _), experiment in rows.items():
        assert experiment.model.backbone == methods.NETWORKS[network]
    listed = methods.listing(list(methods.METHODS), list(methods.NETWORKS)).splitlines()
    assert [line.split(":")[0] for line in listed] == ["/".join(row) for row in rows]


OF_METHODS = [path for path in CONFIGS if path.parent.name == "methods"]


@pytest.mark.parametrize("path", OF_METHODS, ids=lambda p: p.stem)
def test_a_file_of_a_method_is_a_row_of_the_table(methods, path):
    row = load_settings(Experiment, ROOT / methods.BASE, methods.METHODS[path.stem])
    assert load_settings(Experiment, path) == row


def test_the_smoke_config_runs(tmp_path, monkeypatch):
    from camtool.pipelines.localize import localize

    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    (path,) = (c for c in CONFIGS if c.stem == "offline-smoke")
    experiment = load_settings(Experiment, path, [f'run.dir="{tmp_path}/run"'])
    examples = path.parent.parent / "examples" / "images"
    result = localize([str(examples)], experiment)
    assert (result.images, result.skipped, result.finished) == (7, (), True)
