"""The trial store: an Optuna study on a database, a copy of every judged trial in one atomic step."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.exceptions import StorageInternalError
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from search_spaces import Categorical, Float, Int, SearchSpace
from tuner._process.failpoints import failpoint
from tuner._process.lock import StudyLock
from tuner._process.secrets import mask_secrets
from tuner._records import Configuration, TrialRecord
from tuner._search.sampler import range_of
from tuner._search.studies import quiet
from tuner.exceptions import InputError, StoreError

BUSY_SECONDS = 10.0  # to wait for an SQLite file that another process is writing
OURS = "lag"  # the attribute that a study of ours has before any trial
REST = ".finals"  # ends the name of the study of finalists and outer folds
STARTS = "starts"  # the attribute that counts runs which ended without a word


def studies_with(url: str, pattern: str) -> list[tuple[str, str]]:
    """Return the studies of a store that keep a text whose name matches, the one created last at the end.

    Returns
    -------
    list of (study name, name of the text)
    """
    with quiet(), _clear_errors():
        storage = _connect(url)
        try:
            found = optuna.get_all_study_summaries(storage, include_best_trial=False)
        finally:
            storage.engine.dispose()
    wanted = re.compile(pattern)
    return [
        (study.study_name, name) for study in found for name in study.user_attrs if wanted.fullmatch(name)
    ]


class TrialStore:
    """A study in a database, held by one run at a time.

    The search trials are the study `study_name`; what finals and outer folds judge lies in a second study
    beside it, for `tuner sync` to replay. An entry is one transaction: a killed run leaves it whole or not
    at all.

    Parameters
    ----------
    url : str
        SQLAlchemy URL; SQLite is put in WAL mode (never use it on a network file system).
    study_name : str
    """

    def __init__(self, url: str, study_name: str) -> None:
        self._url = url
        self._study_name = study_name
        self._lock = StudyLock(url, study_name)
        self._storage: Any = None  # while it is held
        self._studies: dict[bool, optuna.Study] = {}  # by: is it the search?
        self._spaces: tuple[SearchSpace, ...] = ()
        self._saved: dict[str, TrialRecord] = {}

    def __enter__(self) -> TrialStore:
        """Hold the study.

        Raises
        ------
        LockedError
            If another run holds it.
        StoreError, InputError
            If the database cannot be opened.
        """
        self._lock.acquire()
        try:
            with quiet(), _clear_errors():
                self._storage = _connect(self._url)
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._storage is not None:
            self._storage.engine.dispose()
        self._lock.release()

    def open(self, *, seed: int, spaces: Sequence[SearchSpace], lag: int) -> int:
        """Create or continue the study; return the seed it was begun with.

        Raises
        ------
        InputError
            If another program has made a study of this name; it is left as it is.
        """
        self._spaces = tuple(spaces)
        with quiet(), _clear_errors():
            for is_search in (True, False):
                name = self._study_name if is_search else f"{self._study_name}{REST}"
                self._studies[is_search] = optuna.create_study(
                    storage=self._storage, study_name=name, direction="minimize", load_if_exists=True
                )
                if is_search:
                    _check_ours(self._studies[True])
            search = self._studies[True]
            attributes = search.user_attrs
            if "seed" not in attributes:
                search.set_user_attr(OURS, lag)
                search.set_user_attr("seed", seed)  # last: with it the study has begun
                return seed
        return int(attributes["seed"])

    def load(self) -> dict[int, TrialRecord]:
        """Return the stored search records by number."""
        return {each.number: each for each in self.records() if each.phase == "search"}

    def records(self) -> list[TrialRecord]:
        """Return all stored records; of two with one key the later."""
        with _clear_errors():
            for study in self._studies.values():
                for trial in study.get_trials(deepcopy=False):
                    if "record" in trial.user_attrs:
                        record = TrialRecord.from_json(trial.user_attrs["record"])
                        self._saved[record.trial_key] = record
        return list(self._saved.values())

    def save(self, record: TrialRecord) -> None:
        """Make a judged record durable; one that is known is left alone.

        Raises
        ------
        StoreError
            If the database cannot be written; what it holds is kept.
        """
        known = self._saved.get(record.trial_key)
        if known is not None and _is_same(known, record):
            return
        failpoint("store.before_save")
        with _clear_errors():
            self._studies[record.phase == "search"].add_trial(_frozen(record, self._spaces))
        self._saved[record.trial_key] = record
        failpoint("store.after_save")

    @contextmanager
    def counted(self) -> Iterator[int]:
        """Count a run that is killed inside, once records are loaded; one that ends by itself is none.

        Yields
        ------
        int
            Number of the last runs in a row that were killed before they had stored another record.
        """
        n_records = len(self._saved)
        known, n_kills = json.loads(self.kept(STARTS) or "[0, 0]")
        n_kills = n_kills if known == n_records else 0
        self.keep(STARTS, json.dumps([n_records, n_kills + 1]))
        try:
            yield n_kills
        finally:
            with suppress(StoreError):  # it may be what ends the run
                self.keep(STARTS, json.dumps([len(self._saved), 0]))

    def keep(self, name: str, text: str) -> None:
        """Keep a text with the study, such as what came out of a job."""
        with _clear_errors():
            self._studies[True].set_user_attr(name, text)

    def kept(self, name: str) -> str | None:
        """Return a text kept with the study; None where there is none, or no study yet."""
        if not self.attach():
            return None
        with _clear_errors():
            text = self._studies[True].user_attrs.get(name)
        return None if text is None else str(text)

    def attach(self) -> bool:
        """Look for a study begun earlier; return whether there is one."""
        names = {True: self._study_name, False: f"{self._study_name}{REST}"}
        with quiet(), _clear_errors():
            there = set(optuna.get_all_study_names(self._storage))
            for is_search, name in names.items():
                if name in there and is_search not in self._studies:
                    self._studies[is_search] = optuna.load_study(study_name=name, storage=self._storage)
        return True in self._studies

    def old_winner(self, job: str) -> Configuration | None:
        """Return the best configuration of the job's latest other study, for this one to begin with.

        It is kept with the study, so that a continued run begins as the first did.
        """
        search = self._studies[True]
        with quiet(), _clear_errors():
            if "old_winner" not in search.user_attrs:
                search.set_user_attr("old_winner", self._find_old_winner(job))
            text = search.user_attrs["old_winner"]
        return None if text is None else TrialRecord.from_json(text).configuration

    def _find_old_winner(self, job: str) -> str | None:
        name = re.compile(rf"{re.escape(job)}-[0-9a-f]{{12}}(-v\d+)?")  # the latter of a retune
        best = [
            study.best_trial
            for study in optuna.get_all_study_summaries(self._storage)
            if name.fullmatch(study.study_name) and study.study_name != self._study_name and study.best_trial
        ]
        latest = max(best, key=lambda trial: (trial.datetime_complete, trial.number), default=None)
        return None if latest is None else latest.user_attrs.get("record")


def _check_ours(study: optuna.Study) -> None:
    """Refuse a study that another program has begun: our trials would be mixed with its own."""
    if OURS in study.user_attrs:
        return
    directions = [direction.name.lower() for direction in study.directions]
    n_trials = len(study.get_trials(deepcopy=False))
    if n_trials or directions != ["minimize"]:
        raise InputError(
            "A stored study to continue must be one that the tuner has begun.",
            f"study {study.study_name!r} of another program, to {' and '.join(directions)}, "
            f"with {n_trials} trials",
            "Use another `study_name` or another `storage`.",
        )


def _is_same(one: TrialRecord, other: TrialRecord) -> bool:
    """Whether a record repeats another; a search trial is judged once, unless it was cut or failed."""
    if one.phase == "search" and not one.was_cut and one.state != "FAIL":
        return True
    return one.digest == other.digest


@contextmanager
def _clear_errors() -> Iterator[None]:
    """Turn what a database raises (disk full, locked, read-only, gone) into one clear error."""
    try:
        yield
    except (SQLAlchemyError, StorageInternalError) as error:
        cause = error.__cause__ if isinstance(error, StorageInternalError) and error.__cause__ else error
        reason = str(getattr(cause, "orig", None) or type(cause).__name__)
        raise StoreError(
            "The trial store must be writable, as no trial may be lost.",
            mask_secrets(reason),
            "Finished trials are kept. Free the disk or the database, then run again to go on.",
        ) from error


def _connect(url: str) -> optuna.storages.RDBStorage:
    try:
        storage = optuna.storages.RDBStorage(url)
    # SQLAlchemy and the drivers raise classes of their own: whatever opening raises is a bad URL here.
    except (ImportError, OSError, ValueError, RuntimeError, SQLAlchemyError, StorageInternalError) as error:
        _check_reachable(error)
        reason = type(error).__name__
        place = f"a {url.split(':', 1)[0]} URL"
        cure = 'Try storage="sqlite:///tuner.db" in a folder you may write to.'
        if url.startswith("sqlite:///"):
            place = mask_secrets(url)
            cure = f"Move away what is no database of ours there, or name another. {cure}"
        rule = "The trial store must be a database that can be opened."
        raise InputError(rule, f"{reason} from {place}", cure) from error
    if url.startswith("sqlite"):
        _use_wal(storage.engine)
    return storage


def _check_reachable(error: Exception) -> None:
    """Tell a database that does not answer, and may tomorrow, from a URL that names none."""
    cause = error.__cause__ if isinstance(error, StorageInternalError) else error
    if isinstance(cause, OperationalError) and "unable to open" not in str(cause.orig):
        raise StoreError(
            "The trial store must be reachable.",
            mask_secrets(" ".join(str(cause.orig).split())),
            "Start or mend the database, then run again to go on.",
        ) from error


def _use_wal(engine: Engine) -> None:
    """Write ahead, sync at checkpoints: a trial is one commit of milliseconds."""

    def configure(connection: Any, _: Any) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute(f"PRAGMA busy_timeout={int(BUSY_SECONDS * 1000)}")

    event.listen(engine, "connect", configure)
    engine.dispose()


def _frozen(record: TrialRecord, spaces: Sequence[SearchSpace]) -> FrozenTrial:
    space = next(space for space in spaces if space.family == record.configuration.family)
    distributions: dict[str, BaseDistribution] = {
        "family": CategoricalDistribution([each.family for each in spaces])
    }
    for name in record.configuration.params:
        distribution = _distribution(space.dimensions[name], record.configuration.params[name])
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


def _distribution(dimension: Any, value: Any) -> BaseDistribution | None:
    """Return the range, as wide as the value needs it: the search may have widened it; None if fixed."""
    if isinstance(dimension, Float | Int):
        wide = replace(dimension, low=min(dimension.low, value), high=max(dimension.high, value))
        return range_of(wide)
    if isinstance(dimension, Categorical):
        return CategoricalDistribution(dimension.choices)
    return None
