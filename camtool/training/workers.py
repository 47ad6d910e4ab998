"""A data loader's process: which signals it takes, and that it ends with the one it works for."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from typing import TYPE_CHECKING, Final

from camtool.images.decode import quiet_pillow

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

__all__ = ["start_worker"]

_SECONDS_BETWEEN_LOOKS: Final = 2.0


def start_worker(_: int = 0) -> None:
    """Prepare this process; a data loader calls it with the worker's number.

    Batch systems send their signals to all processes of a job. They end the job at a step's end, by
    the main process's decision, which until then needs its batches. A main process that is killed
    tells nobody: without a look at it, its workers would stay for good, with their memory.
    """
    for number in (signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    # Blocked here, so that the watching thread alone gets it; threads to come inherit that.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    main = multiprocessing.parent_process()
    if main is not None:
        threading.Thread(target=_watch, args=(main,), daemon=True).start()
    quiet_pillow().__enter__()


def _watch(main: BaseProcess) -> None:
    """End this process when the main one is gone, or asks for it."""
    while main.is_alive():
        came = signal.sigtimedwait({signal.SIGTERM}, _SECONDS_BETWEEN_LOOKS)
        if came is not None and came.si_pid == main.pid:
            break
    os._exit(0)
