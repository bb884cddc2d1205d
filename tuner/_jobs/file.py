"""A job file as a frozen, checked record: its sections, its paths made absolute, errors that name a key."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from tuner._options.rules import is_path
from tuner.exceptions import InputError

_KINDS = {  # pydantic's error type -> what the key must hold
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "string_type": "a text in quotes",
    "tuple_type": "a list",
    "dict_type": "a table",
    "model_type": "a section",
}


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
    slices: _Names = Field(default=(), examples=[["country"]])
    drop: _Names = Field(default=(), examples=[["id"]])


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
    widen: bool = Field(default=False, examples=[True])
    space: dict[str, object] = Field(default_factory=dict)


class ObjectiveSection(_Section):
    """``[objective]``: what is minimized."""

    metric: str | None = Field(default=None, examples=["log_loss"])
    gap_weight: object = Field(default="auto")
    aggregate: str = Field(default="mean", examples=["worst_slice"])


class ChecksSection(_Section):
    """``[checks]``: what may stand in the data although a check calls it an error."""

    allow: _Names = Field(default=(), examples=[["G003"]])


class LimitsSection(_Section):
    """``[limits]``: what a run may take of the machine."""

    max_memory: int | None = Field(default=None, examples=[4_000_000_000])


class FinalSection(_Section):
    """``[final]``: the delivered model and how its score is estimated; ``estimate`` may be "none"."""

    model: str = Field(default="ensemble", examples=["ensemble"])
    max_members: int | None = Field(default=None, examples=[4])
    estimate: Annotated[str | None, BeforeValidator(_none_word)] = Field(default="auto", examples=["nested"])


class TrackingSection(_Section):
    """``[tracking]``: where MLflow keeps the trials; without a ``uri`` MLflow's own setting holds."""

    uri: str | None = Field(default=None, examples=["sqlite:///mlflow.db"])
    experiment: str | None = Field(default=None, examples=["churn"])
    register_as: str | None = Field(default=None, examples=["churn"])

    @field_validator("register_as")
    @classmethod
    def _check_register_as(cls, name: str) -> str:
        if not name.strip() or re.search("[/:']", name):
            raise InputError(
                "`tracking.register_as` must be a name that MLflow takes, without `/`, `:` and quotes.",
                repr(name),
                'Write for example `register_as = "churn"` under [tracking].',
            )
        return name


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


class RetuneSection(_Section):
    """``[retune]``: when a scheduled job tunes again, on which rows, and what its challenger must show."""

    window: Literal["expanding", "sliding"] = Field(default="expanding", examples=["sliding"])
    window_rows: int | None = Field(default=None, ge=50, examples=[10_000])
    holdout: float = Field(default=0.5, gt=0, lt=1, examples=[0.5])
    max_age_days: float | None = Field(default=None, gt=0, examples=[90])
    margin: float = Field(default=0.0, ge=0, lt=1, examples=[0.01])
    min_rows: int = Field(default=50, ge=20, examples=[50])

    @model_validator(mode="after")
    def _check_window(self) -> RetuneSection:
        if (self.window == "sliding") != (self.window_rows is not None):
            raise InputError(
                "A sliding window needs its `retune.window_rows`, an expanding one has none.",
                f"window = {self.window!r}, window_rows = {self.window_rows}",
                'Write `window = "sliding"` and `window_rows = 10000` under [retune], or neither.',
            )
        return self


class Job(_Section):
    """A job file as one frozen record; its paths are absolute."""

    job: JobSection
    data: DataSection
    search: SearchSection = SearchSection()
    objective: ObjectiveSection = ObjectiveSection()
    checks: ChecksSection = ChecksSection()
    limits: LimitsSection = LimitsSection()
    final: FinalSection = FinalSection()
    tracking: TrackingSection = TrackingSection()
    storage: StorageSection = StorageSection()
    retune: RetuneSection = RetuneSection()

    @property
    def name(self) -> str:
        """The job's name."""
        return self.job.name

    def key(self, run_key: str, digest: str) -> str:
        """Return what a call is known by: the job, the caller's key if there is one, rows and options."""
        return f"{self.name}{'+' + run_key if run_key else ''}-{digest}"


SECTIONS = {name: cast("type[_Section]", field.annotation) for name, field in Job.model_fields.items()}
KEYS = tuple(f"{name}.{key}" for name, section in SECTIONS.items() for key in section.model_fields)


def check_run_key(run_key: str) -> None:
    """Refuse a key that MLflow could not be asked for.

    Raises
    ------
    InputError
        If there are quotes of both kinds in it: MLflow's filters know no escape.
    """
    if "'" in run_key and '"' in run_key:
        raise InputError(
            "`--run-key` must not hold both kinds of quotes.", repr(run_key), "Try --run-key 2026-W47."
        )


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


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))
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
    >>> absolute_uri("127.0.0.1:5000", Path("/jobs"))
    '127.0.0.1:5000'
    """
    sqlite = re.fullmatch(r"(sqlite(?:\+\w+)?:///)([^?]+)(.*)", uri)
    if sqlite:
        prefix, path, query = sqlite.groups()
        kept = path == ":memory:" or path.startswith("file:")
        return uri if kept else f"{prefix}{Path(os.path.abspath(folder / path)).as_posix()}{query}"
    if re.match(r"file:[^/]", uri):
        return Path(os.path.abspath(folder / uri.removeprefix("file:"))).as_uri()
    return os.path.abspath(folder / uri) if uri and is_path(uri) else uri


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
        return unknown_key_error(key, (same or close)[0], valid)
    siblings = SECTIONS[section].model_fields
    alike = [f"{section}.{name}" for name in get_close_matches(leaf, siblings, n=1)]
    elsewhere = [known for known in KEYS if known.endswith(f".{leaf}")]
    nearest = (alike or elsewhere or get_close_matches(key, KEYS, n=1, cutoff=0.0))[0]
    return unknown_key_error(key, nearest, f"Keys of [{section}]: {', '.join(siblings)}.")


def unknown_key_error(key: str, nearest: str, valid: str) -> InputError:
    """Return the error for a key no job knows; ``valid`` lists those that could stand there."""
    return InputError(
        "Every key of a job must be a known one.", f"`{key}`", f"Did you mean `{nearest}`? {valid}"
    )
