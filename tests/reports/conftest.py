from __future__ import annotations

import pytest

from tests.browser import chromium


@pytest.fixture(scope="session")
def browser():
    """A real browser; tests that need it are skipped where there is none."""
    with chromium() as found:
        yield found
