"""The study in the store: its name follows from what is searched, and only the same may go on in it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext

from tuner._line.listeners import RunContext
from tuner._metrics.identity import identity
from tuner._metrics.metrics import METRICS
from tuner._options.config import TuningConfig
from tuner._options.spaces import known_good, resolve_spaces
from tuner._records import TrialRecord
from tuner._rows.data import Dataset
from tuner._search.search import LAG
from tuner._store import TrialStore
from tuner.exceptions import InputError

STUDY_HASH = "study_hash"  # its name in the store


def study_hash(dataset: Dataset, config: TuningConfig) -> str:
    """Return 12 hex digits of sha256 over space, known-good ones, metric, gap weight, folds and data."""
    folds: tuple[object, ...] = (
        config.n_folds,
        config.n_repeats,
        config.outer_folds,
        str(config.random_state),
    )
    if "G001" in config.allow:
        folds += ("copies apart",)
    if config.aggregate != "mean":
        folds += (config.aggregate, tuple(config.slices))
    if config.widen:
        folds += ("widen",)
    if config.gap_weight != "auto":  # the sampler proposes by what it judged
        folds += ("gap_weight", float(config.gap_weight))
    metric = METRICS.get(str(config.metric))
    if metric and metric.thresholds:  # a stored path point counts them
        folds += metric.thresholds
    if metric and metric.guide and dataset.task == "binary":  # it chose the stored path points
        folds += (metric.guide.name,)
    if dataset.task == "regression" or dataset.weights is not None:  # what stored strengths of penalties mean
        folds += ("standardized",)
    if dataset.table.is_sparse:
        folds += ("one scaling",)
    has_images = dataset.schema.image_shape is not None
    spaces = resolve_spaces(config.families, config.search_space, has_images=has_images)
    known = tuple(known_good(space, has_images=has_images) for space in spaces)
    what = (spaces, known, identity(config.metric), folds, dataset.fingerprint)
    return hashlib.sha256(repr(what).encode()).hexdigest()[:12]


def begun(job_key: str) -> str:
    """Return the name under which a study keeps what its run in MLflow began with under this key."""
    return f"begun {job_key}"


def held(
    config: TuningConfig, context: RunContext, study_name: str
) -> AbstractContextManager[TrialStore | None]:
    """Return the study's store, held by this run or by its caller; None where trials live in memory."""
    if context.store is not None or config.storage is None:
        return nullcontext(context.store)
    return TrialStore(config.storage, study_name)


def to_go_on_with(stored: Mapping[int, TrialRecord]) -> dict[int, TrialRecord]:
    """Return stored search records, but for those among the last that an earlier run's clock has cut.

    They were in flight when its time ended, and nothing was asked for that knew of them: they are judged
    again, the default above all. A trial that was cut long before, as it ran away, stays. Where none was
    scored, what made them fail may be gone by now: all are judged again.
    """
    if all(record.scores is None for record in stored.values()):
        return {}
    last = max(stored, default=0) - LAG
    return {number: record for number, record in stored.items() if not (record.was_cut and number > last)}


def check_same(store: TrialStore, digest: str) -> None:
    """Refuse to continue a study, by its name, on what it was not begun with; its records would be taken."""
    begun_with = store.kept(STUDY_HASH)
    if begun_with is None:
        store.keep(STUDY_HASH, digest)
    elif begun_with != digest:
        raise InputError(
            "A stored study can only be continued with the data, metric, space, folds, gap_weight and "
            "random_state it was begun with.",
            f"a study whose hash of these is {begun_with}, now {digest}",
            "Use another `study_name`, or leave it out: the derived name changes with them.",
        )
