from __future__ import annotations

from pathlib import Path

import pytest
import torch

SHARED = Path(__file__).parents[2].parent / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real data; tests that need it are skipped where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("the folder ../shared with real data is absent")
    return SHARED


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """Small inputs gain nothing from more, and lose much where processes share the cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
