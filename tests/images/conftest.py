from __future__ import annotations

import pytest

from camtool.images.decode import quiet_pillow


@pytest.fixture(autouse=True)
def _pillow_is_quiet():
    """As in every loading loop of the program; the tests turn warnings into errors."""
    with quiet_pillow():
        yield
