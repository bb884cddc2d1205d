"""The trial store: an Optuna study on a database, a copy of every judged trial in one atomic step."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.exceptions import StorageInternalError
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError

from search_spaces import Categorical, Float, Int, SearchSpace
from tuner._records import TrialRecord
from tuner.exceptions import InputError


class TrialStore:
    """A study in a database.

    Parameters
    ----------
    url : str
        SQLAlchemy URL; SQLite is put in WAL mode (never use it on a network file system).
    study_name : str
    """

    def __init__(self, url: str, study_name: str) -> None:
        self._url = url
        self._study_name = study_name
        self._study: optuna.Study | None = None
        self._spaces: tuple[SearchSpace, ...] = ()
        self._saved: set[int] = set()

    def open(self, *, seed: int, spaces: Sequence[SearchSpace], lag: int) -> int:
        """Create or continue the study; return the seed it was begun with.

        Raises
        ------
        InputError
            If the database cannot be opened.
        """
        verbosity = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        try:
            self._study = optuna.create_study(
                storage=_connect(self._url),
                study_name=self._study_name,
                direction="minimize",
                load_if_exists=True,
            )
        finally:
            optuna.logging.set_verbosity(verbosity)
        self._spaces = tuple(spaces)
        attributes = self._study.user_attrs
        if "seed" not in attributes:
            self._study.set_user_attr("seed", seed)
            self._study.set_user_attr("lag", lag)
            return seed
        return int(attributes["seed"])

    def load(self) -> dict[int, TrialRecord]:
        """Return the stored records by number."""
        assert self._study is not None  # opened first
        texts = [trial.user_attrs.get("record") for trial in self._study.get_trials(deepcopy=False)]
        records = [TrialRecord.from_json(text) for text in texts if text is not None]
        self._saved = {record.number for record in records}
        return {record.number: record for record in records}

    def save(self, record: TrialRecord) -> None:
        """Make a judged search trial durable; a known one is left alone."""
        assert self._study is not None  # opened first
        if record.number not in self._saved:
            self._study.add_trial(_frozen(record, self._spaces))
            self._saved.add(record.number)


def _connect(url: str) -> optuna.storages.RDBStorage:
    try:
        storage = optuna.storages.RDBStorage(url)
    # SQLAlchemy and the drivers raise classes of their own: whatever opening raises is a bad URL here.
    except (ImportError, OSError, ValueError, RuntimeError, SQLAlchemyError, StorageInternalError) as error:
        reason = type(error).__name__
        raise InputError(
            "The trial store must be a database that can be opened.",
            f"{reason} from a {url.split(':', 1)[0]} URL",
            'Try storage="sqlite:///tuner.db" in a folder you may write to.',
        ) from error
    if url.startswith("sqlite"):
        _use_wal(storage.engine)
    return storage


def _use_wal(engine: Engine) -> None:
    """Write ahead, sync at checkpoints: a trial is one commit of milliseconds."""

    def configure(connection: Any, _: Any) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")

    event.listen(engine, "connect", configure)
    engine.dispose()


def _frozen(record: TrialRecord, spaces: Sequence[SearchSpace]) -> FrozenTrial:
    space = next(space for space in spaces if space.family == record.configuration.family)
    distributions: dict[str, BaseDistribution] = {
        "family": CategoricalDistribution([each.family for each in spaces])
    }
    for name in record.configuration.params:
        distribution = _distribution(space.dimensions[name])
        if distribution is not None:
            distributions[f"{space.family}.{name}"] = distribution
    flat = record.configuration.flat()
    trial = create_trial(
        state=TrialState[record.state],
        value=record.objective if record.state == "COMPLETE" else None,
        params={name: flat[name] for name in distributions},
        distributions=distributions,
        user_attrs={"record": record.to_json()},
        intermediate_values=_seen(record),
    )
    trial.datetime_start = datetime.fromtimestamp(record.started)
    trial.datetime_complete = datetime.fromtimestamp(record.completed)
    return trial


def _seen(record: TrialRecord) -> dict[int, float]:
    """Return the mean loss of the folds that a lost race has seen, by their number."""
    losses = record.partial_losses
    return {len(losses): float(np.nanmean(losses))} if losses else {}


def _distribution(dimension: Any) -> BaseDistribution | None:
    if isinstance(dimension, Float):
        return FloatDistribution(dimension.low, dimension.high, log=dimension.log)
    if isinstance(dimension, Int):
        return IntDistribution(dimension.low, dimension.high, log=dimension.log)
    if isinstance(dimension, Categorical):
        return CategoricalDistribution(dimension.choices)
    return None
