"""A hyperparameter tuner that aims at generalization."""

from __future__ import annotations

from tuner._line.tune import tune
from tuner._options.config import TuningConfig
from tuner._report.result import TuningResult
from tuner.estimators import TunedClassifier, TunedRegressor
from tuner.exceptions import ChecksFailedError, InputError, TrialsFailedError, TunerError

__version__ = "0.1.0"

__all__ = [
    "ChecksFailedError",
    "InputError",
    "TrialsFailedError",
    "TunedClassifier",
    "TunedRegressor",
    "TunerError",
    "TuningConfig",
    "TuningResult",
    "__version__",
    "tune",
]
