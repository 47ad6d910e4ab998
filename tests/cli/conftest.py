from __future__ import annotations

import functools
import signal
from pathlib import Path

import pytest

from camtool.models import ModelSettings
from tests.builders import draw_pictures


@pytest.fixture(scope="session")
def pictures(tmp_path_factory) -> Path:
    """A folder of 24 small drawn pictures, one of which cannot be read."""
    return draw_pictures(tmp_path_factory.mktemp("drawn") / "pictures", 24, broken=(5,))


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    """Neither the working folder nor the run written last is shared between tests."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


@pytest.fixture(autouse=True)
def _handlers_restored():
    """`localize` and `train` take two signals over; the tests' own process gets them back."""
    numbers = (signal.SIGTERM, signal.SIGUSR1)
    before = [signal.getsignal(n) for n in numbers]
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    yield
    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.fixture(autouse=True, scope="module")
def _networks_built_once():
    """Building a network and checking its maps takes longer than the rest of a small run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ModelSettings, "build", functools.cache(ModelSettings.build))
        yield
