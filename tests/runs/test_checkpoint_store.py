"""The lock of a run's checkpoints: held by one process, and blamed for nothing else."""

from __future__ import annotations

import pytest

from camtool.errors import RunError
from camtool.runs.checkpoint_store import CheckpointStore


def test_one_process_at_a_time(tmp_path):
    with (
        CheckpointStore(tmp_path).lock(),
        pytest.raises(RunError, match="another process is writing this run"),
        CheckpointStore(tmp_path).lock(),
    ):
        pass
    with CheckpointStore(tmp_path).lock():
        pass


def test_errors_under_the_lock_are_no_errors_of_it(tmp_path):
    """A connection or an image that fails is not a folder that cannot be written."""
    with pytest.raises(ConnectionResetError), CheckpointStore(tmp_path).lock():
        raise ConnectionResetError
