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
_SECONDS_TO_END: float = 10.0


def start_worker(_: int = 0) -> None:
    """Prepare this process; a data loader calls it with the worker's number.

    Batch systems send their signals to all processes of a job. They end the job at a step's end, by
    the main process's decision, which until then needs its batches: so a worker that is told to end
    first waits ten seconds for the end of its main process. A main process that is killed tells
    nobody: without a look at it, its workers would stay for good, with their memory.
    """
    for number in (signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    # Not a mask: threads that libraries have started by now would take the signal, and its default.
    asked = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: asked.set())
    main = multiprocessing.parent_process()
    if main is not None:
        threading.Thread(target=_watch, args=(main, asked), daemon=True).start()
    quiet_pillow().__enter__()


def _watch(main: BaseProcess, asked: threading.Event) -> None:
    """End this process when the main one is gone, or some time after it was asked for."""
    while main.is_alive():
        if asked.wait(_SECONDS_BETWEEN_LOOKS):
            main.join(_SECONDS_TO_END)
            break
    os._exit(0)
