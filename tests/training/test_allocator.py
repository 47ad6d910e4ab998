"""What a step frees is kept for the next one."""

from __future__ import annotations

import platform

from camtool.training.distributed import keep_freed_memory


def test_glibc_takes_the_settings():
    assert keep_freed_memory() == (platform.libc_ver()[0] == "glibc")
