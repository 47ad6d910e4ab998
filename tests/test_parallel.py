from __future__ import annotations

import logging
import os
import random
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from camtool import progress as progress_module
from camtool.parallel import cores_here, ordered_map
from camtool.progress import progress


def slow_square(number: int) -> int:
    time.sleep(random.random() / 200)
    return number * number


@pytest.mark.parametrize("workers", [0, 1, 4])
@pytest.mark.parametrize("window", [1, 3, 100])
def test_order_is_kept(workers, window):
    expected = [n * n for n in range(40)]
    if not workers:
        assert list(ordered_map(slow_square, range(40), None, window)) == expected
        return
    with ThreadPoolExecutor(workers) as pool:
        assert list(ordered_map(slow_square, range(40), pool, window)) == expected


def test_no_items():
    with ThreadPoolExecutor(1) as pool:
        assert list(ordered_map(slow_square, [], pool, 5)) == []


def test_no_more_than_the_window_is_begun():
    begun, taken = [], []

    def items():
        for number in range(20):
            taken.append(number)
            yield number

    with ThreadPoolExecutor(4) as pool:
        for result in ordered_map(lambda n: begun.append(n) or n, items(), pool, 3):
            assert len(taken) <= result + 1 + 3
    assert sorted(begun) == list(range(20))


def test_an_error_arrives_in_its_place():
    def fail_at_five(number: int) -> int:
        return 1 // (number - 5)

    seen = []
    with ThreadPoolExecutor(2) as pool, pytest.raises(ZeroDivisionError):
        for result in ordered_map(fail_at_five, range(100), pool, 4):
            seen.append(result)
    assert seen == [-1] * 5


def test_what_has_not_begun_is_cancelled():
    release, begun = threading.Event(), []

    def wait(number: int) -> int:
        begun.append(number)
        if number:
            release.wait(10)
        return number

    with ThreadPoolExecutor(1) as pool:
        results = ordered_map(wait, range(50), pool, 10)
        assert next(results) == 0
        results.close()
        release.set()
    assert begun in ([0], [0, 1])


def test_cores_where_the_system_tells_no_affinity(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2}, raising=False)
    assert cores_here() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 5)
    assert cores_here() == 5


def test_progress_passes_everything_on_and_is_silent_in_a_short_run(capsys, caplog):
    caplog.set_level(logging.INFO)
    assert list(progress(range(5), 5, 0, "images")) == [0, 1, 2, 3, 4]
    assert capsys.readouterr() == ("", "")
    assert caplog.messages == []


def test_progress_in_a_log_file(monkeypatch, caplog):
    """A line at most every half minute: 10 s an image, 1,500 images of which 1,000 were done."""
    caplog.set_level(logging.INFO)
    clock = iter(range(0, 10_000, 10))
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: next(clock))
    assert len(list(progress(range(9), 1500, 1000, "images"))) == 9
    assert caplog.messages == [
        "1,004 of 1,500 images, 0.1 a second, about 83 minutes left",
        "1,008 of 1,500 images, 0.1 a second, about 82 minutes left",
    ]


def test_progress_in_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert list(progress(range(3), 10, 7, "images")) == [0, 1, 2]
    out, err = capsys.readouterr()
    assert out == ""
    assert "10/10" in err
    assert " images" in err
