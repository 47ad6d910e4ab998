"""Batches: their order, and the processes that read images for them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from camtool.training.batches import BatchOrder, Place, permutation


def test_an_epoch_is_a_permutation_of_its_own():
    first, second = (permutation(50, (), 0, epoch) for epoch in (0, 1))
    assert sorted(first) == sorted(second) == list(range(50))
    assert first != second
    assert permutation(50, (), 0, 0) == first
    assert permutation(50, (), 1, 0) != first


def test_shards_come_a_few_at_a_time():
    shards = (10,) * 12
    order = permutation(120, shards, 0, 0)
    assert sorted(order) == list(range(120))
    windows = [{i // 10 for i in order[begin : begin + 40]} for begin in (0, 40, 80)]
    assert all(len(w) == 4 for w in windows)
    assert order[:40] != sorted(order[:40])


@pytest.mark.parametrize(("world", "accumulate"), [(1, 1), (2, 1), (4, 2), (1, 8)])
def test_processes_and_parts_share_the_same_steps(world, accumulate):
    whole = list(BatchOrder(50, 8))
    assert len(whole) == 6
    shared = [list(BatchOrder(50, 8, accumulate, 0, rank, world)) for rank in range(world)]
    for step, batch in enumerate(whole):
        parts = [own[step * accumulate : (step + 1) * accumulate] for own in shared]
        assert [p for own in parts for part in own for p in part] == batch


def test_the_rest_of_an_epoch():
    order = BatchOrder(50, 8, 2, epoch=3)
    every = list(order)
    order.start = 4
    assert list(order) == every[8:]
    assert len(order) == len(every[8:])
    assert every[0][0] == Place(3, permutation(50, (), 0, 3)[0])


MAIN = """
import multiprocessing, os, sys, time
from camtool.training import batches

batches._SECONDS_TO_END = 3.0

def work():
    batches.start_worker()
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
