"""What a run may take of memory, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from tuner import TuningConfig, tune
from tuner._rows.memory import FIXED_BYTES, available_bytes, check_memory, table_bytes
from tuner._rows.table import Table
from tuner.exceptions import InputError


def table(n_rows=1000):
    """Return rows of ten numbers and two codes: 88 bytes each."""
    return Table(np.zeros((n_rows, 10)), np.zeros((n_rows, 2), dtype=np.int32))


def test_size_of_a_table():
    """1,000 rows of ten float64 and two int32; of a sparse table what is stored."""
    assert table_bytes(table()) == 1000 * (10 * 8 + 2 * 4)
    stored = sparse.csr_matrix(np.eye(100))
    assert table_bytes(Table(stored, np.empty((100, 0), dtype=np.int32))) == 100 * 8 + 100 * 4 + 101 * 4


def test_a_run_that_has_no_room_is_refused_and_one_that_has_is_not():
    """Three times the table and 200 MB: a byte less is refused, with what is needed and allowed."""
    needed = 3 * 88_000 + FIXED_BYTES
    check_memory(table(), needed)
    with pytest.raises(InputError) as caught:
        check_memory(table(), needed - 1)
    assert "needs 210 MB more where 210 MB are allowed" in caught.value.value


def test_a_container_s_limit_counts(tmp_path):
    """Of 3,000 bytes 2,500 are used, 1,700 of them for files read: 3,000 - 800; no limit: the machine's."""
    machine = available_bytes(tmp_path / "none")
    assert machine > 10**8
    (tmp_path / "memory.current").write_text("2500\n")
    (tmp_path / "memory.max").write_text("3000\n")
    (tmp_path / "memory.stat").write_text(
        "anon 700\nfile 1750\nactive_file 200\ninactive_file 1500\nworkingset_activate_file 5\n"
    )
    assert available_bytes(tmp_path) == 2200
    (tmp_path / "memory.max").write_text("max\n")
    assert available_bytes(tmp_path) == pytest.approx(machine, rel=0.5)


def test_the_option_reaches_the_run():
    """A megabyte is too little for any run; nothing is fitted."""
    X, y = np.random.default_rng(0).normal(size=(40, 2)), np.tile([0, 1], 20)
    with pytest.raises(InputError, match="max_memory"):
        tune(X, y, config=TuningConfig(max_memory=10**6, max_trials=1, verbose=0))
