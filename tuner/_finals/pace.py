"""How a choice shares its time among search, finals and crossfit, and how often finals divide rows anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from tuner._decisions.objective import best_first
from tuner._decisions.selection import N_FINALISTS, Nomination, family_bests
from tuner._folds.splits import finer
from tuner._metrics.metrics import Metric
from tuner._options.settings import Settings
from tuner._process.deadline import Deadline
from tuner._records import TrialRecord
from tuner._rows.data import Dataset

FRESH_REPEATS = 2  # if there is time; six were no better than three in some thirty searches
FRESH_REPEATS_SMALL = 3
SMALL_TABLE_ROWS = 2000  # fewer: one division of them is a noisier judge
FINALS_SHARE = 0.45  # of the time of one choice, but for crossfit, at most
ASSEMBLY_SECONDS = 0.3
CAUTION = 1.2  # a finalist keeps its models and shares the cores: a little dearer than its trial


def wanted_repeats(n_rows: int) -> int:
    """Return how many fresh repeats elect: the fewer rows, the noisier one division of them."""
    return FRESH_REPEATS_SMALL if n_rows < SMALL_TABLE_ROWS else FRESH_REPEATS


def finest_folds(dataset: Dataset, metric: Metric, settings: Settings) -> int:
    """Return the most folds that fresh repeats may have; as many as choose where slices must fill them."""
    if settings.slices:
        return settings.n_folds
    return finer(dataset, settings.n_folds, judges_rows=metric.judges_rows)


@dataclass(frozen=True)
class Pace:
    """How the time of one choice is shared between search and finals; without a deadline, freely.

    Attributes
    ----------
    n_workers : int
        Trials that run side by side.
    refits : bool
        Each member of the final model is fitted once more, on all rows.
    wanted_repeats : int
        Fresh repeats of the choosing folds' number that time is reserved for.
    finest : int
        Folds that two fresh repeats have instead, where the time left allows it.
    crossfits : bool
        An estimate by crossfit must be there by the deadline, too.
    """

    settings: Settings
    deadline: Deadline
    n_workers: int = 1
    refits: bool = False
    wanted_repeats: int = FRESH_REPEATS
    finest: int = 0
    crossfits: bool = False
    total: float = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "total", self.deadline.left)

    def reserve(self, trials: Sequence[TrialRecord]) -> float:
        """Return the seconds to leave for the finals, and for crossfit where it is due.

        For the default, the bests of families and the best. The default is always scored again, and first:
        were it dear and not reckoned with, it would leave no time for any other.
        """
        if not np.isfinite(self.total):
            return 0.0
        ranked = best_first(trials)
        default = sorted(ranked, key=lambda trial: trial.number)[:1]
        likely = {trial.number: trial for trial in (*default, *family_bests(ranked), *ranked)}
        finalists = list(likely.values())[:N_FINALISTS]
        crossfit = self.crossfit_seconds(finalists)
        finals = min(self._cost(finalists, self.wanted_repeats), FINALS_SHARE * (self.total - crossfit))
        return finals + crossfit

    def crossfit_seconds(self, finalists: Sequence[TrialRecord]) -> float:
        """Return the seconds to leave for an estimate by crossfit; at most its share of the time.

        Without caution: a fold whose time is up goes without its last finalists.
        """
        if not self.crossfits or not np.isfinite(self.total):
            return 0.0
        n_folds = self.settings.n_folds
        cost = self._cost(finalists, n_folds * crossfit_passes(n_folds), caution=1.0)
        cost += (n_folds - 1) * self.assembly_seconds(finalists)
        return min(cost, self.settings.outer_share * self.total)

    def before_crossfit(self, finalists: Sequence[TrialRecord]) -> Pace:
        """Return the pace of what must be there before the estimate begins."""
        return replace(self, deadline=self.deadline.earlier(self.crossfit_seconds(finalists)))

    def fresh_folds(self, finalists: Sequence[TrialRecord]) -> tuple[int, int]:
        """Return how many folds, how often: the dearest division that fits into the time left.

        Twice the folds train each model on more rows. That lowers the loss of the averaged model by more than
        a further repeat does, and what they choose fits an ensemble of all rows better. "refit" is spared
        them: there it has not been measured. Reckoned without caution: rather than a repeat of all finalists
        the last of them are given up (`affordable`).
        """
        usual, left = self.settings.n_folds, self.deadline.left
        wanted = [(usual, n) for n in range(self.wanted_repeats, 1, -1)]
        if self.finest > usual and self.settings.final != "refit":
            wanted = [(self.finest, FRESH_REPEATS), *wanted]
        fits = (each for each in wanted if self._cost(finalists, self.passes(*each), caution=1.0) <= left)
        return next(fits, (usual, 1))

    def passes(self, n_folds: int, n_repeats: int) -> float:
        """Return how many times the work of one search repeat: J folds train on J - 1 times all rows."""
        return n_repeats * (n_folds - 1) / (self.settings.n_folds - 1)

    def has_time_for(self, trial: TrialRecord) -> bool:
        """Whether the trial can be fitted once more, on one fresh repeat."""
        return bool(self._seconds(trial, 1) <= self.deadline.left - self.assembly_seconds([trial]))

    def assembly_seconds(self, finalists: Sequence[TrialRecord]) -> float:
        """Return what is left to do once finalists are scored; a fit on all rows costs J / (J - 1) folds."""
        seconds = [trial.fit_seconds / self.settings.n_repeats for trial in finalists]
        refit = CAUTION * self._side_by_side(seconds) / (self.settings.n_folds - 1) if self.refits else 0.0
        return ASSEMBLY_SECONDS + refit

    def affordable(
        self, nominations: Sequence[Nomination], trials: Sequence[TrialRecord], passes: float
    ) -> tuple[Nomination, ...]:
        """Return the default and, in their order, the nominations whose fits fit into the time left."""
        spent = 0.0
        kept: list[Nomination] = []
        for nomination in nominations:
            seconds = self._seconds(trials[nomination.number], passes)
            finalists = [trials[each.number] for each in (*kept, nomination)]
            left = self.deadline.left - self.assembly_seconds(finalists)
            fits = seconds <= left and (spent + seconds) / self.n_workers <= left
            if fits or not kept:
                spent += seconds
                kept.append(nomination)
        return tuple(kept)

    def _cost(self, finalists: Sequence[TrialRecord], passes: float, *, caution: float = CAUTION) -> float:
        seconds = [self._seconds(trial, passes, caution=caution) for trial in finalists]
        return self._side_by_side(seconds) + self.assembly_seconds(finalists)

    def _seconds(self, trial: TrialRecord, passes: float, *, caution: float = CAUTION) -> float:
        """Return what so many times the work of one search repeat will cost, in one worker."""
        return caution * trial.fit_seconds * passes / self.settings.n_repeats

    def _side_by_side(self, seconds: Sequence[float]) -> float:
        """Return what pieces of work cost on all workers; one piece is not divided."""
        return max(max(seconds, default=0.0), sum(seconds) / self.n_workers)


def crossfit_passes(n_folds: int) -> float:
    """Return how many times the work of a search repeat one fold of crossfit is.

    J - 1 fits on J - 2 of J parts of the rows, instead of J fits on J - 1 of them.
    """
    return (n_folds - 2) / n_folds
