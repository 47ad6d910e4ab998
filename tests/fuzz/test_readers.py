"""Whatever damage a file has, its reader gives a result or one of camtool's own errors.

A reader is called on small valid files of which one is damaged; each try is drawn by its number.
CAMTOOL_FUZZ is the number of tries of each reader, for long runs.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from camtool.pipelines.experiment import Experiment
from camtool.settings import describe, dump_settings, load_settings
from tests.fuzz.annotation_readers import ANNOTATIONS, PREDICTIONS
from tests.fuzz.data_readers import DATA
from tests.fuzz.guard import bounded_memory, fault_of
from tests.fuzz.mutations import ODD_JSON, ODD_TEXTS, of_bytes, of_tokens
from tests.fuzz.valid import Fuzzed

TRIES = int(os.environ.get("CAMTOOL_FUZZ", "30"))

ROWS = [row for row in describe(Experiment) if "[]" not in row.key]
LARGEST = 2**63 - 1


def loaded(file: Path | None, overrides: tuple[str, ...], again: Path) -> None:
    """Load settings; they can be written and read again, and every whole number fits in 64 bits."""
    experiment = load_settings(Experiment, file, overrides)
    again.write_text(dump_settings(experiment), "utf-8")
    assert load_settings(Experiment, again) == experiment
    waiting: list[object] = [experiment.model_dump(mode="json")]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict | list):
            waiting += value.values() if isinstance(value, dict) else value
        assert not isinstance(value, int) or abs(value) <= LARGEST, value


YAML = """
run: {dir: runs/mine, seed: 1, workers: 2}
model:
  backbone: timm/test_resnet
  weights: none
localize:
  views: {name: multi-scale, scales: [1.0, 1.5], flip: true}
  cam: {name: rise, masks: 20, seed: 3, probability: 0.5}
  boxes: {name: paper, threshold: 0.2}
data: {name: csv, train: train.csv, columns: {path: a, label: b}}
train: {epochs: 3, rates: {head: 2.0}, optimizer: {name: sgd, learning_rate: 1e-3}}
eval: {protocol: maxboxacc, images: 1-10, bootstrap: {samples: 200, seed: 4}}
"""
SETTINGS = {
    "yaml": Fuzzed(
        {"a.yaml": YAML.encode()},
        (of_tokens, of_tokens, of_bytes),
        lambda folder: loaded(folder / "a.yaml", (), folder / "again.yaml"),
    ),
}
READERS = ANNOTATIONS | PREDICTIONS | DATA | SETTINGS


@pytest.mark.parametrize("name", READERS)
def test_a_damaged_file_is_read_or_refused(name, tmp_path):
    faults: dict[str, tuple[int, str]] = {}
    counts: Counter[str] = Counter()
    with bounded_memory():
        for number in range(-1, TRIES):
            folder = write_damaged(name, number, tmp_path / "a")
            if (fault := fault_of(lambda at=folder: READERS[name].call(at))) is not None:
                faults.setdefault(fault.kind, (number, fault.detail))
                counts[fault.kind] += 1
            shutil.rmtree(folder)
    told = [f"{kind} ({counts[kind]}×; try {n}): {detail}" for kind, (n, detail) in faults.items()]
    assert not told, "\n".join([f"{name}:", *told])


def write_damaged(name: str, number: int, folder: Path) -> Path:
    """Write the files of a reader for one try; those of number -1 are as they should be."""
    reader = READERS[name]
    random = Random(f"{name} {number}")
    chosen = random.choice(list(reader.files)) if number >= 0 else None
    for path, data in reader.files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(
            random.choice(reader.damage)(random, data) if path == chosen else data
        )
    return folder


def test_any_value_of_any_setting_is_taken_or_refused(tmp_path):
    faults: dict[str, str] = {}
    for number in range(10 * TRIES):
        random = Random(f"set {number}")
        row = random.choice(ROWS)
        value = random.choice(random.choice((ODD_TEXTS, ODD_JSON)))
        value = random.choice((value, value, f"[{value}]", f"[{value}, {value}]"))
        key = random.choice((row.key, row.key, row.key, f"{row.key}.x", value))
        overrides = (row.when, f"{key}={value}") if row.when else (f"{key}={value}",)
        fault = fault_of(lambda given=overrides: loaded(None, given, tmp_path / "again.yaml"))
        if fault is not None:
            faults.setdefault(fault.kind, f"{overrides!r:.300}: {fault.detail}")
    assert not faults, "\n".join(f"{kind}: {detail}" for kind, detail in faults.items())
