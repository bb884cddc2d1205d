"""A job's rows: its table file read, its columns checked and given their roles."""

from __future__ import annotations

import csv
import gzip
import warnings
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from tuner._jobs.file import DataSection, Job
from tuner._rows.data import Dataset, make_dataset
from tuner._types import IntArray
from tuner.exceptions import InputError

ROLES = ("target", "groups", "time", "sample_weight")
SHOWN_COLUMNS = 10
BLANKS = [" " * width for width in range(1, 65)]  # cells that exports pad; texts keep the spaces around them
_UNREADABLE = (OSError, ValueError, EOFError, csv.Error, zlib.error, pd.errors.ParserWarning)


@dataclass(frozen=True, eq=False)
class JobRows:
    """A job's rows as its file holds them, columns told apart by role.

    Attributes
    ----------
    features : DataFrame of shape (n_rows, n_columns)
    target : Series of shape (n_rows,)
    roles : dict of str to Series
        Those of groups, time and sample_weight that the job names.
    """

    features: pd.DataFrame
    target: pd.Series
    roles: dict[str, pd.Series]

    def take(self, rows: IntArray) -> JobRows:
        """Return the given rows."""
        roles = {role: values.iloc[rows] for role, values in self.roles.items()}
        return JobRows(self.features.iloc[rows], self.target.iloc[rows], roles)

    def labelled(self) -> JobRows:
        """Return the rows whose target is known: labels often come late."""
        known = self.target.notna().to_numpy()
        if known.all():
            return self
        rows = self.take(np.flatnonzero(known))
        target = rows.target.infer_objects()
        if target.dtype.kind == "f" and (target == target.round()).all():
            target = target.astype(np.int64)  # whole numbers that only the gaps had made floats
        return JobRows(rows.features, target, rows.roles)

    def dataset(self, task: str) -> Dataset:
        """Return the rows checked and encoded.

        Raises
        ------
        InputError
            If the data breaks a rule.
        """
        roles: dict[str, Any] = dict(self.roles)
        return make_dataset(self.features, self.target, task=task, **roles)


def read_rows(job: Job) -> Dataset:
    """Load the training table, checked and encoded (see `read_raw_rows`).

    Raises
    ------
    InputError
        If the file cannot be read, a named column is missing, or the data breaks a rule.
    """
    return read_raw_rows(job).dataset(job.data.task)


def read_raw_rows(job: Job) -> JobRows:
    """Load the training table and split it into features, target and roles.

    Raises
    ------
    InputError
        If the file cannot be read, or a named column is missing.
    """
    data = job.data
    frame = read_table(Path(data.train))
    _check_columns(data, [str(name) for name in frame.columns])
    roles = {role: getattr(data, role) for role in ROLES if getattr(data, role) is not None}
    features = frame.drop(columns=list({*roles.values(), *data.drop}))
    vectors = {role: frame[column] for role, column in roles.items()}
    return JobRows(features, vectors.pop("target"), vectors)


def read_table(path: Path) -> pd.DataFrame:
    """Read a ``.csv``, ``.csv.gz`` or ``.parquet`` file; a CSV has a header and commas.

    Raises
    ------
    InputError
        If the file is missing, of another kind or broken, or a header name is used twice.
    """
    try:
        if not path.is_file():  # raises where a folder on the way may not be searched
            cure = "Relative paths start at the job file's folder, with --set at the working directory."
            raise InputError("`data.train` must be an existing file.", str(path), cure)
        readers = {".csv": _read_csv, ".csv.gz": _read_csv, ".parquet": _read_parquet}
        reader = next((readers[end] for end in readers if path.name.lower().endswith(end)), None)
        if reader is None:
            rule = "`data.train` must be a .csv, .csv.gz or .parquet file."
            raise InputError(rule, path.name, "Convert it.")
        return reader(path)
    except InputError:
        raise
    except _UNREADABLE as error:
        reason = " ".join(f"{path.name}: {error}".split())
        cure = "Repair the file, or write it anew as UTF-8 with a header and commas, or as parquet."
        raise InputError("`data.train` must be a readable table.", reason, cure) from error


def _read_csv(path: Path) -> pd.DataFrame:
    zipped = path.name.lower().endswith(".gz")
    with (gzip.open if zipped else open)(path, "rt", encoding="utf-8-sig", newline="") as lines:
        header: list[str] = next((row for row in csv.reader(cast("Iterable[str]", lines)) if row), [])
    repeated = sorted({name for name in header if name and header.count(name) > 1})
    if repeated:  # pandas would rename them silently
        raise InputError(
            "Column names must be unique.",
            f"{repeated} more than once",
            "Rename or drop the repeated columns.",
        )
    with warnings.catch_warnings():
        # Rows longer than the header: pandas would shift or cut them.
        warnings.simplefilter("error", pd.errors.ParserWarning)
        return pd.read_csv(
            path,
            compression="gzip" if zipped else None,
            encoding="utf-8-sig",
            index_col=False,
            na_values=BLANKS,
            low_memory=False,
        )


def _read_parquet(path: Path) -> pd.DataFrame:
    frame = pd.read_parquet(path, engine="pyarrow")
    named = any(name is not None for name in frame.index.names)
    frame = frame.reset_index(drop=not named)  # a named index is a column of the file
    return frame.set_axis([str(name) for name in frame.columns], axis=1)


def _check_columns(data: DataSection, columns: list[str]) -> None:
    named = [(role, getattr(data, role)) for role in ROLES] + [("drop", column) for column in data.drop]
    for key, column in named:
        if column is None:
            continue
        if column not in columns:
            close = get_close_matches(column, columns, n=1, cutoff=0.0)
            shown = ", ".join(map(repr, columns[:SHOWN_COLUMNS])) + (", ..." * (len(columns) > SHOWN_COLUMNS))
            hint = f"Did you mean {close[0]!r}? " if close else ""
            rule = f"`data.{key}` must name a column of {Path(data.train).name}."
            raise InputError(rule, repr(column), f"{hint}Columns: {shown}.")
        if key != "target" and column == data.target:
            rule = f"`data.{key}` and `data.target` must name different columns."
            raise InputError(rule, f"{column!r} for both", f"Take it out of `data.{key}`.")
