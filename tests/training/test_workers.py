"""Data loader processes: signals for the job do not end them, the end of their main one does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

MAIN = """
import multiprocessing, os, sys, time
from camtool.training import batches

workers._SECONDS_TO_END = 3.0

def work():
    workers.start_worker()
    print(os.getpid(), flush=True)
    time.sleep(100)

if __name__ == "__main__":
    worker = multiprocessing.get_context("forkserver").Process(target=work, daemon=True)
    worker.start()
    sys.stdin.readline()
    worker.terminate()
    worker.join()
    print("ended", worker.exitcode, flush=True)
"""


@pytest.fixture
def main(tmp_path):
    (tmp_path / "main.py").write_text(MAIN)
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "main.py")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    yield process, int(process.stdout.readline())
    process.kill()
    process.communicate()


def is_there(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_signal_to_the_whole_job_ends_no_worker_but_its_main_process_does(main):
    process, worker = main
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
        os.kill(worker, number)
    time.sleep(1.0)
    assert is_there(worker)
    out, _ = process.communicate("\n", timeout=30)
    assert out == "ended 0\n"


def test_a_worker_does_not_outlive_a_main_process_that_is_killed(main):
    process, worker = main
    process.kill()
    limit = time.monotonic() + 30
    while is_there(worker):
        assert time.monotonic() < limit
        time.sleep(0.05)
