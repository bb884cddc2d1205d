"""The scikit-learn face: `TunedClassifier` and `TunedRegressor`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from tuner._line.listeners import RunContext
from tuner._line.tune import tune_dataset
from tuner._options.config import TuningConfig, check_config
from tuner._options.spaces import SpaceChanges
from tuner._process.secrets import mask_secrets
from tuner._report.result import TuningResult
from tuner._rows.data import make_dataset
from tuner._rows.table import as_frame, check_unique, is_named
from tuner._types import FloatArray


class _Tuned(BaseEstimator):
    """What both estimators share; the parameters are those of `TuningConfig`."""

    _task = "auto"

    def __init__(
        self,
        *,
        metric: str | Callable[..., float] | None = None,
        time_budget: float | None = 60.0,
        max_trials: int | None = None,
        families: Sequence[str] | None = None,
        search_space: SpaceChanges | None = None,
        widen: bool = False,
        gap_weight: float | str = "auto",
        aggregate: str = "mean",
        final: str = "ensemble",
        max_members: int | None = None,
        estimate: str | None = "auto",
        outer_folds: int = 5,
        n_folds: int = 5,
        n_repeats: int = 1,
        n_jobs: int = -1,
        random_state: int | np.random.RandomState | None = None,
        tracking: bool = True,
        tracking_uri: str | None = None,
        experiment_name: str | None = None,
        storage: str | None = None,
        study_name: str | None = None,
        allow: Sequence[str] = (),
        slices: Sequence[str] = (),
        max_memory: int | None = None,
        verbose: int = 1,
    ) -> None:
        self.metric = metric
        self.time_budget = time_budget
        self.max_trials = max_trials
        self.families = families
        self.search_space = search_space
        self.widen = widen
        self.gap_weight = gap_weight
        self.aggregate = aggregate
        self.final = final
        self.max_members = max_members
        self.estimate = estimate
        self.outer_folds = outer_folds
        self.n_folds = n_folds
        self.n_repeats = n_repeats
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.tracking = tracking
        self.tracking_uri = tracking_uri
        self.experiment_name = experiment_name
        self.storage = storage
        self.study_name = study_name
        self.allow = allow
        self.slices = slices
        self.max_memory = max_memory
        self.verbose = verbose

    result_: TuningResult

    def fit(self, X: Any, y: Any, *, groups: Any = None, time: Any = None, sample_weight: Any = None) -> Any:
        """Tune on a table.

        Parameters
        ----------
        X : pandas or polars frame, array, sparse matrix or images, of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
        groups : array-like of shape (n_samples,) or None
            Rows of one group never straddle a fold.
        time : array-like of shape (n_samples,) or None
            Contiguous blocks choose, forward windows report.
        sample_weight : array-like of shape (n_samples,) or None
            Weights of rows in fits and scores.

        Returns
        -------
        self

        Raises
        ------
        InputError
            On bad input, before any fit: rule, value, cure.
        ChecksFailedError
            If a check of the data ends in an error that is not allowed, before any fit.
        TrialsFailedError
            If no default configuration can be scored.
        """
        started = monotonic()
        config = TuningConfig(task=self._task, **self.get_params(deep=False))
        check_config(config)
        dataset = make_dataset(X, y, task=self._task, groups=groups, time=time, sample_weight=sample_weight)
        validate_data(self, dataset.schema.without_roles(X), y="no_validation", skip_check_array=True)
        self._learn(tune_dataset(dataset, config, RunContext(name=type(self).__name__), started=started))
        return self

    def predict(self, X: Any) -> Any:
        """Return predictions of shape (n_samples,).

        Raises
        ------
        ValueError
            If columns are missing, new or in another order than at fit. As an `InputError`, which is one, if
            X is no table or a cell is not of its column's kind.
        """
        return self._model(X).predict(X)

    def _learn(self, result: TuningResult) -> None:
        self.result_ = result

    def _model(self, X: Any) -> Any:
        check_is_fitted(self, "result_")
        if is_named(X):
            check_unique(X)
        else:
            as_frame(X)  # says what is wrong with the shape before the columns are counted
        model: Any = self.result_.model
        validate_data(self, model.blended.schema.without_roles(X), reset=False, skip_check_array=True)
        return model

    def __getstate__(self) -> dict[str, Any]:
        """Leave the storage URL behind, as the study is an in-memory copy, and a password of MLflow's."""
        state: dict[str, Any] = super().__getstate__()
        uri = state["tracking_uri"]
        is_secret = uri is not None and mask_secrets(str(uri)) != str(uri)
        return {**state, "storage": None, "tracking_uri": None if is_secret else uri}

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        tags.input_tags.three_d_array = True
        return tags

    def __repr__(self, N_CHAR_MAX: int = 700) -> str:
        text = mask_secrets(super().__repr__(N_CHAR_MAX=N_CHAR_MAX))
        return f"{text}\n{self.result_}" if hasattr(self, "result_") else text

    def _repr_html_inner(self) -> str:
        inner = mask_secrets(super()._repr_html_inner())
        return inner + (self.result_._repr_html_() if hasattr(self, "result_") else "")


class TunedClassifier(ClassifierMixin, _Tuned):
    """A classifier that searches size, regularization and family for what does best on unseen rows.

    Parameters
    ----------
    metric : str, callable or None, default=None
        Metric name (None: "log_loss"), scikit-learn scorer name or callable scorer.
    time_budget : float or None, default=60.0
        Seconds for everything, from entering `fit` to its return.
    max_trials : int or None, default=None
        Number of search trials.
    families : sequence of str or None, default=None
        Model families; None: the fixed default list, without networks on images, sparse and large tables.
    search_space : mapping or None, default=None
        Changes to the families' spaces; a scalar fixes a value.
    widen : bool, default=False
        Where the best trial lies at the end of a range, move that end and search on beyond it.
    gap_weight : float or "auto", default="auto"
        Weight of the train/validation gap in the objective.
    aggregate : {"mean", "worst_slice"}, default="mean"
        A fold's loss: that of its rows, or the largest of its `slices`' losses, which search, election and
        estimate then judge. Shares and calibration of an ensemble are fitted on all rows all the same.
    final : {"ensemble", "bag", "refit"}, default="ensemble"
        Form of the delivered model: the elected mixed with the best of other families, each the average of
        its fold models (regressions without groups: of up to three fits on all rows); the elected's fold
        models; the elected fitted once. With `time` all are fitted on all rows.
    max_members : int or None, default=None
        Configurations in an ensemble, at most; None: as many as help.
    estimate : {"auto", "nested", "crossfit", "bbc"} or None, default="auto"
        How the score on new rows is estimated: see `TuningConfig`.
    outer_folds, n_folds, n_repeats : int, default=5, 5, 1
        Folds around the procedure; folds and repeats that choose.
    n_jobs : int, default=-1
        Threads; -1: all cores.
    random_state : int, RandomState or None, default=None
        With `max_trials` and ``time_budget=None``, two runs with one seed are identical.
    tracking : bool, default=True
        Log every trial to MLflow.
    tracking_uri : str or None, default=None
        MLflow's own setting where None.
    experiment_name : str or None, default=None
        "tuner" where None.
    storage : str or None, default=None
        Database URL of the trial store. None: memory only, no durability.
    study_name : str or None, default=None
        Name of the study; None: derived from space, metric, folds, data, seed and what else decides trials.
    allow : sequence of str, default=()
        Codes of checks that may end in an error, such as "G003".
    slices : sequence of str, default=()
        Feature columns; the rows of each of their values are scored on their own.
    max_memory : int or None, default=None
        Bytes a run may take beyond its table; None: 80% of what is available when it starts.
    verbose : int, default=1
        1: progress on stderr; 0: only what is wrong, such as trials that MLflow misses.

    Attributes
    ----------
    result_ : TuningResult
        Estimate with interval, winner, diagnosis, trials, study, model.
    classes_ : ndarray of shape (n_classes,)
        The positive class of a binary target is ``classes_[1]``.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Where X named its columns.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> model = TunedClassifier(
    ...     max_trials=2, time_budget=None, estimate=None, tracking=False, random_state=0, verbose=0
    ... ).fit(X[:200], y[:200])
    >>> model.predict_proba(X[200:202]).shape
    (2, 2)
    """

    _task = "classification"
    classes_: Any

    def _learn(self, result: TuningResult) -> None:
        super()._learn(result)
        self.classes_ = result.model.classes_

    def predict_proba(self, X: Any) -> FloatArray:
        """Return class probabilities of shape (n_samples, n_classes).

        Raises
        ------
        ValueError
            As `predict` does.
        """
        probabilities: FloatArray = self._model(X).predict_proba(X)
        return probabilities


class TunedRegressor(RegressorMixin, _Tuned):
    """A regressor that searches size, regularization and family for what does best on unseen rows.

    Parameters and attributes are those of `TunedClassifier`, without ``classes_``; the default metric is
    "rmse".

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = TunedRegressor(
    ...     max_trials=2, time_budget=None, estimate=None, tracking=False, random_state=0, verbose=0
    ... ).fit(X[:200], y[:200])
    >>> model.predict(X[200:202]).shape
    (2,)
    """

    _task = "regression"
