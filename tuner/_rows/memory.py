"""What memory a run may take and what it takes: refused before it starts, not killed in its middle."""

from __future__ import annotations

from pathlib import Path

from tuner._rows.table import Table
from tuner.exceptions import InputError

SHARE = 0.8  # of what is available, where the user names no limit
FIXED_BYTES = 200 * 2**20  # what the fits take whatever the table
TABLES = 4  # the table, and at most three times its size in folds, designs and predictions
CGROUP = Path("/sys/fs/cgroup")
FILE_CACHE = ("active_file", "inactive_file")  # what was read of files: given back as soon as it is needed


def check_memory(table: Table, max_memory: int | None) -> None:
    """Refuse a table that a run has no room for.

    A run's peak beyond the interpreter and its libraries stays below four times the table plus 200 MB
    (measured at 1,000,000 rows x 50 columns: `examples/benchmarks/engine.py --sections memory`); the rows are
    there already.

    Parameters
    ----------
    max_memory : int or None
        Bytes; None: 80% of what is available now.

    Raises
    ------
    InputError
        If a run needs more.
    """
    size = table_bytes(table)
    needed = (TABLES - 1) * size + FIXED_BYTES
    allowed = int(SHARE * available_bytes()) if max_memory is None else max_memory
    if needed > allowed:
        raise InputError(
            "A run must fit into `max_memory` (default: 80% of what is available).",
            f"a table of {size / 1e6:,.0f} MB that needs {needed / 1e6:,.0f} MB more where "
            f"{allowed / 1e6:,.0f} MB are allowed",
            "Tune on a sample of the rows, drop columns, or use a machine with more memory.",
        )


def table_bytes(table: Table) -> int:
    """Return the size of the encoded rows in memory."""
    numeric = table.numeric
    parts = [numeric.data, numeric.indices, numeric.indptr] if table.is_sparse else [numeric]
    return int(sum(part.nbytes for part in (*parts, table.categorical)))


def available_bytes(cgroup: Path = CGROUP) -> int:
    """Return what this process may still take: of the machine, and of its container where that is less."""
    import psutil

    machine = int(psutil.virtual_memory().available)
    try:
        limit = (cgroup / "memory.max").read_text().strip()
        used = int((cgroup / "memory.current").read_text()) - _file_cache_bytes(cgroup)
    except (OSError, ValueError):
        return machine
    return machine if limit == "max" else max(0, min(machine, int(limit) - used))


def _file_cache_bytes(cgroup: Path) -> int:
    lines = (line.split() for line in (cgroup / "memory.stat").read_text().splitlines())
    return sum(int(size) for name, size in lines if name in FILE_CACHE)
