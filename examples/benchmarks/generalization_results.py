"""What one cell of the benchmark leaves behind, kept as JSON lines; no fit and no statistics here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from json_lines import read_lines


@dataclass(frozen=True)
class Result:
    """One method on one table under one seed.

    Attributes
    ----------
    table, seed, method, seconds
        The key; ``seconds`` is the budget.
    split : {"iid", "time", "group"}
        How the table's tuning and test rows were divided.
    loss : float or None
        On the test rows (lower is better); None where the cell failed.
    took : float or None
        Seconds from entering the method's fit to its return.
    claim : float or None
        The loss that the method itself promises on new rows; None: it promises none.
    trials : int or None
        Configurations tried.
    rows_per_second : float or None
        Prediction speed of the final model on the test rows.
    incumbents : tuple of float
        Test losses of the configurations that were the best so far, in order, each fitted on all rows after
        the clock, a dozen of them evenly spaced; the last one is the delivered model's. Empty: unknown.
    noise : float or None
        Standard error of log(loss / the default's loss), by the test rows; None: unknown.
    failed : str or None
        Why there is no loss.
    details : mapping
        What else the method tells; not used in comparisons.
    """

    table: str
    seed: int
    method: str
    seconds: float
    split: str
    loss: float | None = None
    took: float | None = None
    claim: float | None = None
    trials: int | None = None
    rows_per_second: float | None = None
    incumbents: tuple[float, ...] = ()
    noise: float | None = None
    failed: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, int, str, float]:
        """Table, seed, method, seconds: what a finished cell is known by."""
        return self.table, self.seed, self.method, self.seconds

    def to_json(self) -> str:
        """Return one line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Result:
        """Rebuild what ``to_json`` wrote, once read."""
        return cls(**{**row, "incumbents": tuple(row.get("incumbents", ()))})


def read_results(path: Path) -> dict[tuple[str, int, str, float], Result]:
    """Return the finished cells by key; of two with the same key the later line counts."""
    results = map(Result.from_row, read_lines(path))
    return {result.key: result for result in results}


def append_result(path: Path, result: Result) -> None:
    """Add one line; the cell is finished once it is there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    is_torn = path.exists() and not path.read_text().endswith("\n")
    with path.open("a") as file:
        file.write(("\n" if is_torn else "") + result.to_json() + "\n")
