"""The errors and warnings a caller may catch; every message states the rule, the value and the cure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tuner._records import Finding


class TunerError(Exception):
    """Base of every error this package raises on purpose."""


class RuleError(TunerError):
    """A broken rule.

    Parameters
    ----------
    rule : str
        The rule, as a sentence: "`n_folds` must be at least 2."
    value : object
        What was met.
    cure : str
        What to do, as a sentence.
    """

    def __init__(self, rule: str, value: object, cure: str) -> None:
        super().__init__(rule, value, cure)
        self.rule = rule
        self.value = value
        self.cure = cure

    def __str__(self) -> str:
        return f"{self.rule} Got {str(self.value).removesuffix('.')}. {self.cure}"


class InputError(RuleError, ValueError):
    """Input that breaks a rule, found before any fit."""


class StoreError(RuleError, RuntimeError):
    """The trial store cannot be written: what it holds is kept, and the run can be continued."""


class RegistryError(RuleError, RuntimeError):
    """The model registry cannot be reached or written: trials are kept, and the command can be repeated."""


class TrackingError(RuleError, RuntimeError):
    """MLflow has not taken what a command is there to write: the trial store has it all."""


class LockedError(RuleError, RuntimeError):
    """Another run holds the study; nothing was read or changed."""


class ChecksFailedError(InputError):
    """The checks found, before any fit, that these rows would be tuned on in vain.

    Parameters
    ----------
    findings : sequence of Finding
        The errors among the findings, none of them allowed.
    """

    def __init__(self, findings: Sequence[Finding]) -> None:
        rule = "No check of the data may end in an error."
        value = "\n".join(f"{each.code}: {each.title} ({each.evidence})" for each in findings)
        cure = " ".join(each.next_step for each in findings)
        super().__init__(
            rule, value, cure + (" (In a job file: under [checks].)" if "allow=" in cure else "")
        )
        self.findings = tuple(findings)

    def __reduce__(self) -> tuple[type[ChecksFailedError], tuple[tuple[Finding, ...]]]:
        return type(self), (self.findings,)


class TrialsFailedError(TunerError, RuntimeError):
    """No trial could be scored, so there is no model to return."""


class TimeBudgetWarning(UserWarning):
    """One step that cannot be divided took the run beyond its time budget; the result is whole."""


class DeadlineReachedError(TunerError):
    """A fit was cancelled between two steps of its path because its time was over."""


class RaceLostError(TunerError):
    """A trial was clearly behind on its first folds.

    Parameters
    ----------
    losses : tuple of float
        Its loss on the path, fold by fold, where the fold's own curve that chooses is smallest.
    n_folds : int
        Number of folds of a whole trial.
    """

    def __init__(self, losses: tuple[float, ...], n_folds: int) -> None:
        super().__init__(losses, n_folds)
        self.losses = losses
        self.n_folds = n_folds

    def __str__(self) -> str:
        return f"clearly behind after {len(self.losses)} of {self.n_folds} folds"
