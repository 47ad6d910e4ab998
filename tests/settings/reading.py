"""Settings from a text, and the lines of the error that it ends in."""

from __future__ import annotations

from pathlib import Path

import pytest

from camtool.errors import SettingsError
from camtool.settings import load_settings
from tests.settings.sample_settings import Experiment


def write(text: str | bytes) -> Path:
    file = Path("e.yaml")
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def problems(text: str | bytes, *overrides: str, cls=Experiment) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load_settings(cls, write(text), overrides)
    return str(caught.value).split("\n")


def override_problems(*overrides: str, cls=Experiment) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load_settings(cls, None, overrides)
    return str(caught.value).split("\n")
