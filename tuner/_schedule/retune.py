"""What a retune decides: nothing, a refit of what was elected, or a new search and a contest.

Three things can predict the next rows: the champion as it is; the champion's configurations fitted on all
rows there are (a refit: seconds); what a new search elects (a study: half the job's time). Most of what
tuning again in every period brings on drifting tables, the refit brings, so it comes first:

1. Nothing moved, and the rows have grown by less than a tenth: nothing is done.
2. Nothing moved, but the rows have grown (M008): a refit on all rows becomes the champion, without a contest.
   It holds the champion's configurations, so there is no choice that luck could have made; the champion has
   just kept its promise on the new rows, so they are of the world that was promised; and that a tenth more
   rows help cannot be shown at 2.5% on the few that are new: waiting for that proof cost 3.5% of the loss a
   year on nyc_flights_late. The next call judges the refit, on rows it has not seen. A person is asked first
   where the loss lies far *below* the promise (labels that are not there yet look like that), and a champion
   that a person went back to stays.
3. Something moved: the newest of the champion's unseen rows are held out, and the refit on all others meets
   them. If its loss there is what was promised, it is what was missing, and is delivered; unless the contest
   shows that the champion does better. Where its loss has no interval there, a champion that can predict is
   kept.
4. Else, or if the last search is too old or promised nothing: a study on the same rows, and its winner meets
   the refit (or the champion, where the refit does worse) on the rows held out. It is another model, chosen
   among many, so it is promoted only if the paired interval shows that it is better: 2.5% of equals are.

Where the table has lost a tenth of the rows the champion was fitted on, nothing is done but to ask for them.

What wins is delivered fitted on all rows, those held out among them: under drift the newest rows matter most.
Verdict and claim stay those of the models that had not seen them. A promise changes only with a study: it
becomes what the better of both contestants was measured to lose on the rows held out. So refits cannot let it
slide, and a harder world that no study betters is searched once, not in every period.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tuner._model import Delivered
from tuner._movement.movement import Movement
from tuner._movement.promise import check_loss, is_measured
from tuner._movement.reference import Promise, Reference, measured_promise, remember
from tuner._records import Recipe
from tuner._schedule.contest import LEVEL, Held, hold_contest, loss_interval
from tuner._schedule.contestants import Truth, contestant
from tuner._schedule.questions import question, told
from tuner._schedule.refit import Renewed
from tuner._schedule.scheduled import (
    Champion,
    Scheduled,
    blocks_of,
    judge_champion,
    load_champion,
    promised_loss,
    unseen_rows,
)
from tuner._schedule.window import split_window
from tuner._schedule.workshop import BEFORE, NONE, Workshop, study
from tuner._statistics.intervals import Interval
from tuner._tracking.registry import CHAMPION, DecisionRun, Made, Registry, Version
from tuner._types import BoolArray, IntArray

CONTEST_ROWS = "contest.rows"  # their hashes


@dataclass(frozen=True, eq=False)
class Verdict:
    """What a retune decided, and from what.

    Attributes
    ----------
    decision, why : str
    movement : Movement or None
    contests : tuple of Held
        In the order they were held.
    challenger : Version or None
        What a study has made.
    made : Made or None
        What is to become the champion.
    files : mapping or None
        Artifacts of the decision by name.
    """

    decision: str
    why: str
    movement: Movement | None = None
    contests: tuple[Held, ...] = ()
    challenger: Version | None = None
    made: Made | None = None
    files: Mapping[str, bytes] | None = None


@dataclass(frozen=True, eq=False)
class _Model:
    """One that can predict, by its name in the contest, and how many rows it was fitted on."""

    name: str
    delivered: Delivered
    n_rows: int


def decide(scheduled: Scheduled, begun: DecisionRun, key: str) -> Verdict:
    """Decide what becomes of the champion that a decision began with.

    Raises
    ------
    InputError
        For bad data, before any fit; `RegistryError` if the registry cannot be reached or written.
    """
    if begun.tags[BEFORE] == NONE:
        rows = scheduled.rows.newest(scheduled.job.retune.window_rows)
        version = study(scheduled, begun, rows, key, None)
        if scheduled.registry.version(CHAMPION) is None:  # it is registered first: the alias may have failed
            scheduled.registry.point(CHAMPION, version)
        n_unlabelled = len(scheduled.rows.unlabelled)
        aside = f"; rows without a target, set aside: {n_unlabelled}" if n_unlabelled else ""
        return Verdict("first", f"there was no champion{aside}", challenger=version)
    champion = load_champion(scheduled, scheduled.registry.numbered(begun.tags[BEFORE]))
    is_new = unseen_rows(champion, scheduled)
    movement = judge_champion(scheduled, champion, is_new)
    moved, asked = told(movement), question(scheduled, champion, movement)
    if asked:
        return Verdict("not needed", f"{moved}; {asked}", movement)
    if movement.moved:
        if movement.n_new_rows < scheduled.job.retune.min_rows:
            return Verdict("not needed", f"{moved}, but too few of the new rows have labels", movement)
        return _Arena.of(scheduled, champion, movement, is_new, begun, key).verdict()
    if movement.has_grown and champion.reference.recipe is not None:
        return _grown(scheduled, champion, movement, champion.reference.recipe, key)
    return Verdict("not needed", moved, movement)


def _grown(scheduled: Scheduled, champion: Champion, movement: Movement, recipe: Recipe, key: str) -> Verdict:
    """Fit the champion's configurations on all rows."""
    workshop = Workshop.of(scheduled)
    renewed = workshop.renewed(recipe)
    if renewed is None:
        return Verdict("not needed", "the champion's configurations cannot be fitted on these rows", movement)
    reference = champion.reference
    n_rows = movement.n_new_rows + movement.n_late_rows
    why = f"nothing moved; {n_rows} rows the champion was not fitted on"
    made = workshop.made(
        renewed.model, renewed.recipe, reference.promise, reference.made, origin=champion.version,
        key=key, description=f"Version {champion.version.number}'s configurations on {workshop.n_rows} rows. "
        "The estimate is its own as well: nothing was searched, and nothing else is claimed.",
    )  # fmt: skip
    return Verdict("refitted", why, movement, made=made)


@dataclass(frozen=True, eq=False)
class _Arena:
    """Rows held out of the champion's unseen ones, and who is to meet on them."""

    scheduled: Scheduled
    champion: Champion
    movement: Movement
    train: Workshop
    everything: Workshop
    train_rows: IntArray
    holdout: IntArray
    begun: DecisionRun
    key: str
    hashes: Any
    n_uses: int

    @classmethod
    def of(
        cls, scheduled: Scheduled, champion: Champion, movement: Movement, is_new: BoolArray,
        begun: DecisionRun, key: str,
    ) -> _Arena:  # fmt: skip
        dataset, retune = scheduled.dataset, scheduled.job.retune
        window = split_window(
            is_new,
            time=dataset.time,
            groups=dataset.groups,
            holdout=retune.holdout,
            window_rows=retune.window_rows,
        )
        train = Workshop.of(scheduled, window.train)
        everything = Workshop.of(scheduled)  # now: rows of the contest that break a rule must cost no study
        there = scheduled.rows.labelled.take(window.holdout)
        # Columns as they are now: the champion's may be gone.
        facts = remember(train.own.features, train.own.target, train.checked.dataset, seed=0, now=0.0)
        hashes = facts.hash(there.features, there.target)
        n_uses = 1 + _earlier_uses(scheduled.registry, hashes)
        return cls(
            scheduled, champion, movement, train, everything, window.train, window.holdout, begun, key,
            hashes, n_uses,
        )  # fmt: skip

    def verdict(self) -> Verdict:
        """Let the refit meet the champion and, where that does not do, a study's winner the better."""
        champion, reference = self._champion(), self.champion.reference
        renewed = None if reference.recipe is None else self.train.renewed(reference.recipe)
        if renewed is None:
            return self._after_study(champion, None, ())
        refit = _Model("refit", self.train.delivered(renewed.model), self.train.n_rows)
        loss = self._loss(refit)
        if not is_measured(loss):  # no contest on these rows would be decided, a study's winner's neither
            why = "the refit cannot be judged: its loss on the rows held out has no interval"
            if champion is not None:
                return self._verdict("kept", why, ())
            return self._refitted(renewed, f"the champion cannot predict the rows; {why}", ())
        held = () if champion is None else (self._meet(champion, refit),)
        is_worse = any(each.contest.is_worse for each in held)
        if self._needs_study(refit, loss):
            return self._after_study(champion if is_worse else refit, renewed, held)
        if is_worse:
            return self._verdict("kept", "the refit does worse", held)
        return self._refitted(renewed, "refitted, it loses what was promised", held)

    def _needs_study(self, refit: _Model, loss: Interval) -> bool:
        """Whether refitting is not enough: too old a search, no promise, or one that is not kept."""
        promised = promised_loss(self.scheduled, self.champion, self._truth([refit]))
        if promised is None or any(each.code == "M007" for each in self.movement.findings):
            return True
        is_forward = self.champion.reference.promises_windows
        return check_loss(loss, promised, is_forward=is_forward) is not None

    def _refitted(self, renewed: Renewed, why: str, held: tuple[Held, ...]) -> Verdict:
        """Deliver the refit; the promise stays."""
        reference = self.champion.reference
        made = self._made(renewed.recipe, reference.promise, reference.made, self.champion.version)
        return self._verdict("refitted", why, held, made=made)

    def _after_study(
        self, incumbent: _Model | None, renewed: Renewed | None, held: tuple[Held, ...]
    ) -> Verdict:
        """Search, and let the winner meet the incumbent."""
        version = study(self.scheduled, self.begun, self.train_rows, self.key, self.champion)
        registry = self.scheduled.registry
        found = registry.reference(version)
        challenger = _Model("challenger", registry.model(version), self.train.n_rows)
        why = "the champion cannot predict the new rows"
        is_promoted = True
        if incumbent is not None:
            held = (*held, self._meet(incumbent, challenger))
            is_promoted = held[-1].contest.promotes
            why = f"challenger against {incumbent.name}: {held[-1].contest.verdict}"
        if is_promoted:
            assert found.recipe is not None  # just made
            made = self._made(found.recipe, self._promise(found, challenger), found.made, version)
            return self._verdict("promoted", why, held, version, made)
        if incumbent is None or incumbent.name == "champion" or renewed is None:
            return self._verdict("kept", why, held, version)
        promise = self._promise(self.champion.reference, incumbent)
        made = self._made(renewed.recipe, promise, found.made, self.champion.version)
        return self._verdict("refitted", why, held, version, made)

    def _verdict(
        self, decision: str, why: str, held: tuple[Held, ...], version: Version | None = None,
        made: Made | None = None,
    ) -> Verdict:  # fmt: skip
        files = {CONTEST_ROWS: self.hashes.tobytes()}
        return Verdict(decision, why, self.movement, held, version, made, files)

    def _made(self, recipe: Recipe, promise: Promise | None, searched: float, origin: Version) -> Made:
        """Fit what was elected on all rows, those held out among them, now that all is decided."""
        return self.everything.made(
            self.everything.as_elected(recipe), recipe, promise, searched, origin=origin, key=self.key,
            description=f"Version {origin.number}'s configurations on {self.everything.n_rows} rows, the "
            f"{len(self.holdout)} of the contest among them: fitted on these after it was decided. What was "
            "measured there was measured on models without them.",
        )  # fmt: skip

    def _promise(self, reference: Reference, model: _Model) -> Promise | None:
        """Return what a model was measured to lose on the rows held out, where that has an interval."""
        loss = self._loss(model)
        if reference.promise is None or not is_measured(loss):
            return reference.promise
        metric, aggregate = self._truth([model]).metric, self.scheduled.config.aggregate
        return measured_promise(reference.promise, metric, aggregate, loss, LEVEL, n_rows=model.n_rows)

    def _champion(self) -> _Model | None:
        model = self.champion.model
        return None if model is None else _Model("champion", model, self.champion.reference.n_rows)

    def _truth(self, models: Sequence[_Model]) -> Truth:
        return self.scheduled.truth([each.delivered for each in models])

    def _loss(self, model: _Model) -> Interval:
        truth = self._truth([model])
        y, weights = truth.dataset.judged(self.holdout)
        own = contestant(model.delivered, model.n_rows, self._features, truth)
        return loss_interval(truth.metric, y, weights, self._blocks, own)

    def _meet(self, incumbent: _Model, contender: _Model) -> Held:
        truth = self._truth([incumbent, contender])
        y, weights = truth.dataset.judged(self.holdout)
        contest = hold_contest(
            truth.metric,
            y,
            weights,
            self._blocks,
            champion=contestant(incumbent.delivered, incumbent.n_rows, self._features, truth),
            challenger=contestant(contender.delivered, contender.n_rows, self._features, truth),
            margin=self.scheduled.job.retune.margin,
            n_uses=self.n_uses,
        )
        return Held(incumbent.name, contender.name, contest)

    @property
    def _features(self) -> Any:
        return self.scheduled.features.iloc[self.holdout]

    @property
    def _blocks(self) -> IntArray:
        return blocks_of(self.scheduled.dataset, self.holdout)


def _earlier_uses(registry: Registry, hashes: Any) -> int:
    """Return how many contests were decided on some of these rows."""
    earlier = [
        np.frombuffer(registry.file(each.run_id, f"decision/{CONTEST_ROWS}"), dtype=np.uint64)
        for each in registry.decisions(" and tags.`tuner.contested` = 'true'")
        if each.is_finished
    ]
    return sum(bool(np.isin(hashes, each).any()) for each in earlier)
