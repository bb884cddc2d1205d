"""The search: a real Optuna study by ask and tell, asked ahead by a fixed lag.

Trial i is asked knowing exactly the trials up to i - LAG (the defaults none; a first one that builds on a
later trial waits for it), with a sampler made anew from (seed, i). So with `max_trials` every decision is a
function of the seed and of records in trial order, never of the clock, of the number of threads or of an
interruption.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from threading import Event
from time import monotonic, time

import numpy as np
import optuna
from optuna.trial import TrialState

from search_spaces import SearchSpace
from tuner._decisions.edges import widened
from tuner._decisions.objective import judged, penalty_cap
from tuner._decisions.racing import Race, make_race
from tuner._decisions.selection import N_FINALISTS, nominate
from tuner._decisions.stopping import is_settled
from tuner._options.settings import Settings
from tuner._process.deadline import Deadline, Stop
from tuner._process.pool import cancellable_pool
from tuner._records import Configuration, TrialRecord
from tuner._search.interrupted import Interrupted
from tuner._search.proposals import first_proposals, suggest, suggested, with_best_augmentation
from tuner._search.sampler import Ranges, Ranking, ThinnedTPE, in_ranges, moved_ranges
from tuner._search.studies import make_study
from tuner._seeds import child_seed
from tuner._trials.bench import Bench
from tuner._trials.evaluation import Effort
from tuner._trials.trials import Place, Trial, run_trial
from tuner._types import FloatArray
from tuner.exceptions import InputError, TrialsFailedError

MAX_PREDICTION_BYTES = 2**28  # kept of all trials; beyond it, of those that can still be nominated
LAG = 4  # trials in flight; a constant of the method, not of the machine
RUNAWAY_SHARE = 0.25  # of a search's time: a trial that takes more is cut, so that one alone cannot eat it
ASKS = 8  # one of the sampler, then random ones, before a configuration is judged a second time

Notify = Callable[[TrialRecord], None]
Reserve = Callable[[list[TrialRecord]], float]


@dataclass(frozen=True, eq=False)
class SearchOutcome:
    """What a search leaves behind.

    Attributes
    ----------
    trials : tuple of TrialRecord
        In trial order.
    predictions : dict of int to tuple of arrays
        Held-out predictions at p_k, fold by fold, of the complete trials, where they were kept.
    study : optuna.Study
        In memory.
    cap : float
        The study's penalty cap.
    default : int
        Number of the named default: the first family's that could be scored.
    default_trial : Trial or None
        The named default with its fold models, kept where a deadline presses and it is the first trial:
        what is delivered if no time is left for anything else.
    is_settled : bool
        Whether it ended because further search could not be told from noise.
    spaces : tuple of SearchSpace
        What was searched at the end: with `widen`, ranges may have grown.
    """

    trials: tuple[TrialRecord, ...]
    predictions: Mapping[int, tuple[FloatArray, ...]]
    study: optuna.Study
    cap: float
    default: int
    default_trial: Trial | None = None
    is_settled: bool = False
    spaces: tuple[SearchSpace, ...] = ()


class Search:
    """One search on one bench.

    Parameters
    ----------
    bench : Bench
        Dataset, choosing folds, metric.
    settings : Settings
    place : Place
        Study, phase and outer fold of its trials.
    deadline : Deadline
        When the search must end.
    reserve : callable
        Seconds to leave before the deadline, given the records so far.
    notify : callable
        Hears every judged record, in trial order.
    interrupted : Interrupted
        Trials of interrupted runs of the same study; they are fitted again for their predictions alone, and
        while there is time.
    keep_predictions : bool
        Keep held-out predictions of complete trials.
    """

    def __init__(
        self,
        bench: Bench,
        settings: Settings,
        place: Place,
        *,
        deadline: Deadline,
        reserve: Reserve,
        notify: Notify,
        interrupted: Interrupted | None = None,
        keep_predictions: bool = False,
    ) -> None:
        self._bench = bench
        self._settings = settings
        self._place = place
        self._deadline = deadline
        self._reserve = reserve
        self._notify = notify
        self._interrupted = interrupted or Interrupted()
        self._known = self._interrupted.trials
        self._last_known = max(self._known, default=0)
        self._keep_predictions = keep_predictions
        self._initial = first_proposals(settings)
        self._n_defaults = len(settings.spaces)
        self._ranges: Ranges = {}  # that have been widened
        self._n_before_widening = 0  # trials judged when a range last moved
        self._study = make_study(place.study)
        self._ranking = Ranking()
        self._asked: list[optuna.Trial] = []
        self._running: deque[Future[Trial]] = deque()  # asked, not judged
        self._first: Trial | None = None
        self._judged: list[TrialRecord] = []
        self._seen: set[str] = set()
        self._predictions: dict[int, tuple[FloatArray, ...]] = {}
        self._cap: float | None = None
        self._limit = deadline.earlier(reserve([]))  # moves with the trials judged
        self._most_seconds = RUNAWAY_SHARE * deadline.left  # for one trial
        self._settled = False
        self._cancelled = Event()

    def run(self) -> SearchOutcome:
        """Ask, judge and tell until a limit is reached.

        Raises
        ------
        TrialsFailedError
            If no default could be scored: the dataset, not a configuration, is at fault.
        """
        n_workers = self._settings.n_jobs // self._bench.n_threads
        with cancellable_pool(n_workers, "trial", self._cancelled) as pool:
            self._run(pool)
        default = _named_default(self._judged)
        study = self._published()
        first = self._first
        has_models = default == 0 and first and first.evaluation and first.evaluation.models
        return SearchOutcome(
            trials=tuple(self._judged),
            predictions=self._predictions,
            study=study,
            cap=self._cap or 0.0,
            default=default,
            default_trial=first if has_models else None,
            is_settled=self._settled,
            spaces=self._settings.spaces,
        )

    def _run(self, pool: ThreadPoolExecutor) -> None:
        number = 0
        while self._wants(number):
            self._tell_up_to(self._needed(number))
            if not self._wants(number):
                break
            self._running.append(self._submit(pool, number))
            number += 1
        self._tell_up_to(number - 1)

    def _wants(self, number: int) -> bool:
        if number <= self._last_known:  # what is stored is taken, whatever the limits, beyond gaps, too
            return True
        if self._settings.max_trials is not None and number >= self._settings.max_trials:
            return False
        if self._limit.reached:
            return False
        # Time is better spent on the finals; a number of trials alone is run in full.
        if self._settings.time_budget is not None:
            since = self._judged[self._n_before_widening :]
            self._settled = is_settled(since, n_families=len(self._settings.spaces))
        return not self._settled

    def _needed(self, number: int) -> int:
        """Return the last trial whose result trial ``number`` may and must know; the defaults know none."""
        if number < self._n_defaults:
            return -1
        if number < len(self._initial):
            return max(number - LAG, self._initial[number].after)
        return max(number - LAG, self._n_defaults - 1)

    def _stopped(self) -> bool:
        return self._cancelled.is_set() or self._limit.reached

    def _stopped_or_runaway(self) -> Stop:
        """Return what a trial asks between steps: whether the search is over or the trial has run away.

        Without a time budget no trial is too long: what is cut must not depend on the clock.
        """
        began: float | None = None

        def stop() -> bool:
            nonlocal began
            began = began or monotonic()
            return self._stopped() or monotonic() - began > self._most_seconds

        return stop

    def _race(self, number: int, family: str) -> Race | None:
        """Return the race of a trial: against what it may know. Defaults and known-good ones run alone.

        There is none where folds will be left out afterwards: it would have been lost on them.
        """
        if self._settings.estimate == "crossfit" or number < len(self._initial) or self._cap is None:
            return None
        return make_race(self._judged, self._cap, family=family)

    def _submit(self, pool: ThreadPoolExecutor, number: int) -> Future[Trial]:
        configuration = self._ask(number)
        known = self._known.get(number)
        if known is not None:
            _check_same(number, configuration, known.configuration)
        # The named default whatever the time: there is a model to deliver, and an estimate needs it.
        is_fitted_again = self._keep_predictions and not (number and self._limit.reached)
        n_points = known.n_points if known is not None and is_fitted_again else None
        if known is not None and n_points is None:
            return _done(known)
        if number == self._interrupted.fails and number >= self._n_defaults:
            reason = f"{self._interrupted.n_kills} runs in a row were killed over it: too little memory?"
            return _done(self._place.record(number, configuration, "FAIL", reason, started=time()))
        effort = Effort(
            stop=self._stopped if number < self._n_defaults else self._stopped_or_runaway(),
            # The named default ends where time does: whatever the budget, there is a model to deliver.
            shorten="always" if not number else "never" if n_points else "late",
            race=None if n_points else self._race(number, configuration.family),
            n_points=n_points,
            keep_models=number == 0 and self._deadline.at is not None,
        )
        return pool.submit(run_trial, configuration, self._bench, effort, place=self._place, number=number)

    def _ask(self, number: int) -> Configuration:
        """Ask for a configuration not judged before; a small space may be exhausted, then one is repeated.

        A stored trial is asked for as it was, whatever the sampler would draw now: another version of a
        library, or another processor, draws another one.
        """
        if self._settings.widen:
            self._widen()
        stored = self._known.get(number)
        if stored is not None:
            self._study.enqueue_trial(suggested(stored.configuration, self._settings))
        elif number < len(self._initial):
            self._study.enqueue_trial(suggested(self._next_known(number), self._settings))
        for attempt in range(ASKS):
            seed = child_seed(self._settings.seed, "sampler", number, attempt)
            self._study.sampler = (
                optuna.samplers.RandomSampler(seed)
                if attempt or stored is not None
                else ThinnedTPE(seed, self._ranking, self._ranges)
            )
            trial = self._study.ask()
            configuration = suggest(trial, self._settings)
            key = configuration.key
            if stored is not None or key not in self._seen or attempt == ASKS - 1:
                break
            self._study.tell(trial, state=TrialState.FAIL)  # not a trial of ours: see `_published`
        self._seen.add(key)
        self._asked.append(trial)
        return configuration

    def _next_known(self, number: int) -> Configuration:
        """Return what is tried by rule, with the augmentation it takes over where it takes one."""
        proposal = self._initial[number]
        known = proposal.configuration
        return with_best_augmentation(known, self._judged) if proposal.adopts else known

    def _widen(self) -> None:
        """Move the end of a range that the best trial lies at: a rule on the records that an ask may know."""
        before = self._settings.spaces
        spaces = widened(before, self._judged)
        if spaces != before:
            self._settings = replace(self._settings, spaces=spaces)
            self._ranges = {**self._ranges, **moved_ranges(before, spaces)}
            self._n_before_widening = len(self._judged)

    def _published(self) -> optuna.Study:
        """Return the study of our trials alone, numbered as they are."""
        study = make_study(self._place.study)
        asked = self._study.get_trials(deepcopy=False)
        # In one range each: Optuna's importances count trials on a grid over a parameter's range.
        study.add_trials([in_ranges(asked[trial.number], self._ranges) for trial in self._asked])
        return study

    def _tell_up_to(self, number: int) -> None:
        while self._running and len(self._judged) <= number:
            self._judge_next()

    def _judge_next(self) -> None:
        """Judge trials in order; the defaults together, as their best sets the cap."""
        if self._cap is None:
            n_defaults = min(self._n_defaults, len(self._running))
            batch = [self._running.popleft().result() for _ in range(n_defaults)]
            self._first = batch[0]
            self._cap = penalty_cap([trial.record for trial in batch])
            if all(trial.record.scores is None for trial in batch):
                for trial in batch:
                    self._notify(trial.record)
                raise TrialsFailedError(
                    f"No default configuration could be scored, so no other will. {_reasons(batch)}"
                )
        else:
            batch = [self._running.popleft().result()]
        for trial in batch:
            self._tell(trial)

    def _tell(self, trial: Trial) -> None:
        assert self._cap is not None  # set with the first batch
        stored = self._known.get(trial.record.number, trial.record)
        record = judged(stored, weight=self._settings.search_weight, cap=self._cap)
        if self._keep_predictions and trial.evaluation is not None:
            self._predictions[record.number] = trial.evaluation.predictions
            self._drop_predictions([*self._judged, record])
        self._notify(record)  # durable first: a result influences decisions only afterwards
        asked = self._asked[record.number]
        asked.set_user_attr("record", record.to_json())
        if record.partial_losses:  # the sampler ranks pruned trials by them
            asked.report(float(np.nanmean(record.partial_losses)), step=len(record.partial_losses))
        self._ranking.add(self._study.tell(asked, record.objective, state=TrialState[record.state]))
        self._judged.append(record)
        self._limit = self._deadline.earlier(self._reserve(self._judged))

    def _drop_predictions(self, records: Sequence[TrialRecord]) -> None:
        """Where all predictions together are too big, let go of those that no gap weight will nominate."""
        if sum(fold.nbytes for kept in self._predictions.values() for fold in kept) <= MAX_PREDICTION_BYTES:
            return
        nominated = nominate(
            records,
            weights=self._settings.nominating_weights,
            cap=self._cap or 0.0,
            n_finalists=N_FINALISTS,
            default=_named_default(records),
        )
        kept = {each.number for each in nominated}
        self._predictions = {n: folds for n, folds in self._predictions.items() if n in kept}


def _done(record: TrialRecord) -> Future[Trial]:
    done: Future[Trial] = Future()
    done.set_result(Trial(record, None))
    return done


def _named_default(records: Sequence[TrialRecord]) -> int:
    """Return the number of the first family's default that could be scored."""
    return next(record.number for record in records if record.scores is not None)


def _reasons(failed: Sequence[Trial]) -> str:
    """Return why trials failed, each reason once, by family."""
    families: dict[str, list[str]] = {}
    for trial in failed:
        families.setdefault(str(trial.record.reason), []).append(trial.record.configuration.family)
    return " ".join(f"{', '.join(names)}: {reason}" for reason, names in families.items())


def _check_same(number: int, asked: Configuration, stored: Configuration) -> None:
    """Refuse to continue a stored study that was searching something else."""
    if asked != stored:
        raise InputError(
            "A stored study can only be continued with the space, data, metric and seed it was begun with, "
            "by the version of the tuner that began it.",
            f"trial {number} is {asked.flat()} now and {stored.flat()} in the store",
            "Use another `study_name`, or leave it out: the derived name changes with them.",
        )
