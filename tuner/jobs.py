"""A job file: read, checked, its paths made absolute, its rows loaded, its run started."""

from __future__ import annotations

import csv
import gzip
import json
import os
import re
import tomllib
import warnings
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from time import monotonic
from typing import Annotated, Any, cast

import pandas as pd
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from search_spaces import SPACES, Dimension, dimension_from_toml
from tuner._config import TuningConfig, check_config
from tuner._data import Dataset, make_dataset
from tuner._listeners import RunContext
from tuner._result import TuningResult
from tuner._tune import study_hash, tune_dataset
from tuner._types import Scalar
from tuner.exceptions import InputError

# TuningConfig's name -> the job file's key. A key the file leaves out keeps TuningConfig's default.
CONFIG_KEYS = {
    "task": "data.task",
    "families": "search.families",
    "time_budget": "search.time_budget",
    "max_trials": "search.max_trials",
    "random_state": "search.seed",
    "n_folds": "search.n_folds",
    "n_repeats": "search.n_repeats",
    "outer_folds": "search.outer_folds",
    "n_jobs": "search.n_jobs",
    "metric": "objective.metric",
    "gap_weight": "objective.gap_weight",
    "final": "final.model",
    "estimate": "final.estimate",
    "tracking_uri": "tracking.uri",
    "experiment_name": "tracking.experiment",
    "storage": "storage.url",
}
ROLES = ("target", "groups", "time", "sample_weight")
SHOWN_COLUMNS = 10

_KINDS = {  # pydantic's error type -> what the key must hold
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "string_type": "a text in quotes",
    "tuple_type": "a list",
    "dict_type": "a table",
    "model_type": "a section",
}
_UNREADABLE = (OSError, ValueError, EOFError, csv.Error, zlib.error, pd.errors.ParserWarning)


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _none_word(value: object) -> object:
    """TOML has no null: the word "none" stands for Python's None."""
    return None if value == "none" else value


_Names = Annotated[tuple[str, ...], Field(strict=False)]  # TOML's lists become tuples


class JobSection(_Section):
    """``[job]``: what the job is called; the name is part of the study's name and of the job key."""

    name: str = Field(examples=["churn"])

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        if not re.fullmatch(r"\w[\w. -]*", name):
            raise InputError(
                "`job.name` must begin with a letter or digit and hold only letters, digits, `.`, `_`, `-` "
                "and blanks.",
                repr(name),
                'Write for example `name = "churn"` under [job].',
            )
        return name


class DataSection(_Section):
    """``[data]``: the training table and which columns play a role; those are never features."""

    train: str = Field(examples=["churn.csv"])
    target: str = Field(examples=["churned"])
    task: str = Field(default="auto", examples=["classification"])
    groups: str | None = Field(default=None, examples=["customer"])
    time: str | None = Field(default=None, examples=["month"])
    sample_weight: str | None = Field(default=None, examples=["weight"])
    slices: object = Field(default=None)
    drop: _Names = Field(default=(), examples=[["id"]])

    @field_validator("slices")
    @classmethod
    def _refuse_slices(cls, slices: object) -> object:
        raise InputError(
            "`data.slices` is not built yet in this version.", repr(slices), "Remove `slices` from [data]."
        )


class SearchSection(_Section):
    """``[search]``: limits, seed, folds and spaces. ``time_budget`` and ``max_trials`` may be "none"."""

    families: _Names | None = Field(default=None, examples=[["lightgbm", "linear"]])
    time_budget: Annotated[float | None, BeforeValidator(_none_word)] = Field(default=None, examples=[300])
    max_trials: Annotated[int | None, BeforeValidator(_none_word)] = Field(default=None, examples=[200])
    seed: int | None = Field(default=None, ge=0, examples=[0])
    n_folds: int = Field(default=5, examples=[5])
    n_repeats: int = Field(default=1, examples=[1])
    outer_folds: int = Field(default=5, examples=[5])
    n_jobs: int = Field(default=-1, examples=[-1])
    space: dict[str, object] = Field(default_factory=dict)


class ObjectiveSection(_Section):
    """``[objective]``: what is minimized."""

    metric: str | None = Field(default=None, examples=["log_loss"])
    gap_weight: object = Field(default="auto")


class FinalSection(_Section):
    """``[final]``: the delivered model and how its score is estimated; ``estimate`` may be "none"."""

    model: str = Field(default="ensemble", examples=["ensemble"])
    estimate: Annotated[str | None, BeforeValidator(_none_word)] = Field(default="auto", examples=["nested"])


class TrackingSection(_Section):
    """``[tracking]``: where MLflow keeps the trials; without a ``uri`` MLflow's own setting holds."""

    uri: str | None = Field(default=None, examples=["sqlite:///mlflow.db"])
    experiment: str | None = Field(default=None, examples=["churn"])
    register_as: str | None = Field(default=None, examples=["churn"])


class StorageSection(_Section):
    """``[storage]``: the database of the trials; without a ``url`` they live in memory."""

    url: str | None = Field(default=None, examples=["sqlite:///tuner.db"])

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str) -> str:
        if "://" not in url:
            raise InputError(
                "`storage.url` must be a database URL.", repr(url), 'Write `url = "sqlite:///tuner.db"`.'
            )
        return url


class Job(_Section):
    """A job file as one frozen record; its paths are absolute."""

    job: JobSection
    data: DataSection
    search: SearchSection = SearchSection()
    objective: ObjectiveSection = ObjectiveSection()
    final: FinalSection = FinalSection()
    tracking: TrackingSection = TrackingSection()
    storage: StorageSection = StorageSection()

    @property
    def name(self) -> str:
        """The job's name."""
        return self.job.name


SECTIONS = {name: cast("type[_Section]", field.annotation) for name, field in Job.model_fields.items()}
KEYS = tuple(f"{name}.{key}" for name, section in SECTIONS.items() for key in section.model_fields)


@dataclass(frozen=True, kw_only=True)
class JobOutcome:
    """What a job gave.

    Attributes
    ----------
    name : str
        The job's name.
    job_key : str
        ``{name}+{run key}-{hash}``, without ``+`` where there is no run key.
    study_name : str
        ``{name}-{hash}``.
    result : TuningResult
    """

    name: str
    job_key: str
    study_name: str
    result: TuningResult


def run_job(path: str | Path, *, overrides: Sequence[str] = (), run_key: str = "") -> JobOutcome:
    """Run a job file: everything that can be checked without data is checked before data is read.

    Parameters
    ----------
    path : str or Path
        The job file.
    overrides : sequence of str
        ``section.key=value``, applied over the file in order.
    run_key : str
        Tells runs of one job apart, such as a schedule's date.

    Raises
    ------
    InputError
        For a bad job file or bad data, before any fit.
    TrialsFailedError
        If no trial could be scored.
    """
    started = monotonic()  # reading counts against the time budget
    job = load_job(path, overrides)
    config = job_config(job)
    dataset = read_rows(job)
    digest = study_hash(dataset, config)
    study_name = f"{job.name}-{digest}"
    job_key = f"{job.name}{'+' + run_key if run_key else ''}-{digest}"
    context = RunContext(
        name=job.name, job_key=job_key, register_as=job.tracking.register_as, study_name=study_name
    )
    result = tune_dataset(dataset, config, context, started=started)
    return JobOutcome(name=job.name, job_key=job_key, study_name=study_name, result=result)


def load_job(path: str | Path, overrides: Sequence[str] = ()) -> Job:
    """Read and check a job file.

    Parameters
    ----------
    path : str or Path
        The TOML file; its relative paths start at its own folder.
    overrides : sequence of str
        ``section.key=value``: the value as TOML, else as a bare text; relative paths start at the working
        directory.

    Raises
    ------
    InputError
        If the file is missing, is no TOML, or a key is unknown, missing or of the wrong type.
    """
    file = Path(path)
    raw = _read_toml(file)
    for section, keys in raw.items():
        if isinstance(keys, dict):
            anchored = {key: _anchored(f"{section}.{key}", keys[key], file.absolute().parent) for key in keys}
            raw[section] = anchored
    for override in overrides:
        _apply(raw, override)
    try:
        return Job.model_validate(raw)
    except ValidationError as error:
        raise _first_error(error) from error


def job_config(job: Job) -> TuningConfig:
    """Turn a job into a checked `TuningConfig`.

    Limits are those the job names, as TOML has no null: with ``max_trials`` alone there is no time limit;
    with neither, `TuningConfig`'s default time budget holds.

    Raises
    ------
    InputError
        With the job file's key in place of the Python name.
    """
    values = {name: _value(job, key) for name, key in CONFIG_KEYS.items() if _is_given(job, key)}
    if job.search.max_trials is not None:
        values.setdefault("time_budget", None)
    values.setdefault("experiment_name", job.name)
    if job.search.space:
        values["search_space"] = _search_space(job.search.space)
    config = TuningConfig(**values)
    try:
        check_config(config)
    except InputError as error:
        raise InputError(
            _with_keys(error.rule), error.value, _with_keys(error.cure, none='"none"')
        ) from error
    return config


def read_rows(job: Job) -> Dataset:
    """Load the training table and split it into features, target and roles.

    Raises
    ------
    InputError
        If the file cannot be read, a named column is missing, or the data breaks a rule.
    """
    data = job.data
    frame = read_table(Path(data.train))
    _check_columns(data, [str(name) for name in frame.columns])
    roles = {role: getattr(data, role) for role in ROLES if getattr(data, role) is not None}
    features = frame.drop(columns=list({*roles.values(), *data.drop}))
    vectors = {role: frame[column] for role, column in roles.items()}
    return make_dataset(features, vectors.pop("target"), task=data.task, **vectors)


def read_table(path: Path) -> pd.DataFrame:
    """Read a ``.csv``, ``.csv.gz`` or ``.parquet`` file; a CSV has a header and commas.

    Raises
    ------
    InputError
        If the file is missing, of another kind or broken, or a header name is used twice.
    """
    if not path.is_file():
        cure = "Relative paths start at the job file's folder, with --set at the working directory."
        raise InputError("`data.train` must be an existing file.", str(path), cure)
    readers = {".csv": _read_csv, ".csv.gz": _read_csv, ".parquet": _read_parquet}
    reader = next((readers[end] for end in readers if path.name.lower().endswith(end)), None)
    if reader is None:
        raise InputError("`data.train` must be a .csv, .csv.gz or .parquet file.", path.name, "Convert it.")
    try:
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


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InputError("A job file must be readable.", f"{file}: {reason}", "Check the path.") from error
    except ValueError as error:
        raise InputError(
            "A job file must be valid TOML in UTF-8.",
            f"{file.name}: {error}",
            "Repair that line; texts stand in quotes.",
        ) from error


def _apply(raw: dict[str, Any], override: str) -> None:
    """Set one ``section.key=value`` in place."""
    key, sign, text = override.partition("=")
    *path, leaf = key.strip().split(".")
    if not sign or not path:
        raise InputError(
            "`--set` must read section.key=value.", repr(override), "Try `--set search.time_budget=10`."
        )
    if path[0] not in SECTIONS:
        raise _unknown_key(key.strip())
    table = raw
    for part in path:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise _unknown_key(key.strip())
    table[leaf] = _anchored(key.strip(), _toml_value(text.strip()), Path.cwd())


def _toml_value(text: str) -> Any:
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return parsed["value"] if len(parsed) == 1 else text


def _anchored(key: str, value: Any, folder: Path) -> Any:
    """Make a path or URI absolute; every other value stays."""
    if not isinstance(value, str):
        return value
    if key == "data.train":
        return os.path.abspath(folder / value)
    return absolute_uri(value, folder) if key in ("tracking.uri", "storage.url") else value


def absolute_uri(uri: str, folder: Path) -> str:
    """Resolve the path inside a URI against a folder; a URI of something else than a file stays.

    Examples
    --------
    >>> absolute_uri("sqlite:///mlflow.db", Path("/jobs"))
    'sqlite:////jobs/mlflow.db'
    >>> absolute_uri("sqlite:////data/mlflow.db", Path("/jobs"))
    'sqlite:////data/mlflow.db'
    >>> absolute_uri("https://mlflow.example", Path("/jobs"))
    'https://mlflow.example'
    """
    sqlite = re.fullmatch(r"(sqlite(?:\+\w+)?:///)([^?]+)(.*)", uri)
    if sqlite:
        prefix, path, query = sqlite.groups()
        kept = path == ":memory:" or path.startswith("file:")
        return uri if kept else f"{prefix}{Path(os.path.abspath(folder / path)).as_posix()}{query}"
    if re.match(r"file:[^/]", uri):
        return Path(os.path.abspath(folder / uri.removeprefix("file:"))).as_uri()
    if not uri or re.match(r"[A-Za-z][\w+.-]+:", uri) or uri in ("databricks", "databricks-uc", "uc"):
        return uri
    return os.path.abspath(folder / uri)


def _first_error(errors: ValidationError) -> InputError:
    """Return one error; unknown keys first, as a misspelt key is also a missing one."""
    details = errors.errors(include_url=False)
    first = min(details, key=lambda detail: detail["type"] != "extra_forbidden")
    raised = first.get("ctx", {}).get("error")
    if isinstance(raised, InputError):
        return raised
    key = ".".join(map(str, first["loc"]))
    if first["type"] == "extra_forbidden":
        return _unknown_key(key)
    section, *rest = map(str, first["loc"])
    if first["type"] == "missing":
        return InputError(f"A job file must have `{key}`.", "a file without it", _example(section, rest))
    kind = _KINDS.get(first["type"])
    rule = f"must be {kind}" if kind else first["msg"].replace("Input should be", "must be")
    return InputError(f"`{key}` {rule}.", repr(first["input"]), _example(section, rest))


def _example(section: str, keys: Sequence[str]) -> str:
    """Say what to write for one key, or for a section's required keys."""
    fields = SECTIONS[section].model_fields
    wanted = keys[:1] or [key for key in fields if fields[key].is_required()]
    shown = [f"`{key} = {json.dumps((fields[key].examples or ['...'])[0])}`" for key in wanted]
    return f"Write for example {' and '.join(shown)} under [{section}]." if shown else f"Write [{section}]."


def _unknown_key(key: str) -> InputError:
    """Name the nearest key: a sibling spelt alike, else the same name elsewhere, else the most similar."""
    section, _, leaf = key.partition(".")
    if section not in SECTIONS:
        close = get_close_matches(section, SECTIONS, n=1, cutoff=0.0)
        same = [known for known in KEYS if leaf and known == f"{close[0]}.{leaf}"]
        valid = f"Sections: {', '.join(SECTIONS)}."
        return _unknown(key, (same or close)[0], valid)
    siblings = SECTIONS[section].model_fields
    alike = [f"{section}.{name}" for name in get_close_matches(leaf, siblings, n=1)]
    elsewhere = [known for known in KEYS if known.endswith(f".{leaf}")]
    nearest = (alike or elsewhere or get_close_matches(key, KEYS, n=1, cutoff=0.0))[0]
    return _unknown(key, nearest, f"Keys of [{section}]: {', '.join(siblings)}.")


def _unknown(key: str, nearest: str, valid: str) -> InputError:
    return InputError(
        "Every key of a job must be a known one.", f"`{key}`", f"Did you mean `{nearest}`? {valid}"
    )


def _search_space(raw: Mapping[str, object]) -> dict[str, dict[str, Dimension | Scalar]]:
    space: dict[str, dict[str, Dimension | Scalar]] = {}
    for family, changes in raw.items():
        key = f"search.space.{family}"
        if family not in SPACES:
            close = get_close_matches(family, SPACES, n=1, cutoff=0.0)[0]
            raise _unknown(key, f"search.space.{close}", f"Families: {', '.join(SPACES)}.")
        if not isinstance(changes, Mapping):
            cure = f"Write `[{key}]` and below it a line for each parameter."
            raise InputError(f"`{key}` must be a table.", repr(changes), cure)
        space[family] = {name: _dimension(family, name, change) for name, change in changes.items()}
    return space


def _dimension(family: str, name: str, raw: object) -> Dimension | Scalar:
    key = f"search.space.{family}.{name}"
    parameters = SPACES[family].dimensions
    if name not in parameters:
        close = get_close_matches(name, parameters, n=1, cutoff=0.0)[0]
        raise _unknown(key, f"search.space.{family}.{close}", f"Parameters: {', '.join(parameters)}.")
    try:
        dimension = dimension_from_toml(raw)
        SPACES[family].override({name: dimension})
    except ValueError as error:  # reads "Rule. Got value. Cure."
        rule, _, rest = str(error).partition(" Got ")
        value, _, cure = rest.partition(". ")
        raise InputError(f"`{key}` must fit its parameter: {rule}", value, cure) from error
    return dimension


def _is_given(job: Job, key: str) -> bool:
    section, _, name = key.partition(".")
    return name in getattr(job, section).model_fields_set


def _value(job: Job, key: str) -> Any:
    section, _, name = key.partition(".")
    return getattr(getattr(job, section), name)


def _with_keys(sentence: str, *, none: str = "None") -> str:
    """Replace `TuningConfig`'s names in backticks by the job file's keys."""
    named = re.sub(r"`(\w+)", lambda match: f"`{CONFIG_KEYS.get(match[1], match[1])}", sentence)
    return re.sub(r"\bNone\b", none, named)
