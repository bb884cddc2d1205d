"""What a retune makes of some of a job's rows: a refit of what was elected, a study, a version to be."""

from __future__ import annotations

from dataclasses import dataclass, replace
from time import monotonic

from tuner._jobs.table import JobRows
from tuner._line.checked import Checked, check_run
from tuner._line.listeners import PATIENT_FLUSH_SECONDS
from tuner._line.progress import say
from tuner._line.study import study_hash
from tuner._line.tune import tune_checked
from tuner._model import Blended, Delivered, deliver
from tuner._movement.reference import Promise, Reference, remember
from tuner._options.config import TuningConfig
from tuner._process.failpoints import failpoint
from tuner._process.threads import one_thread_a_fit
from tuner._records import Recipe
from tuner._schedule.refit import Renewed, fit_as_elected, renew
from tuner._schedule.scheduled import Champion, Scheduled, ScheduledRows
from tuner._schedule.window import without_lone_classes
from tuner._seeds import child_seed
from tuner._tracking.items import Tag
from tuner._tracking.registry import CHALLENGER, STUDY_RUN, DecisionRun, Made, Version
from tuner._types import IntArray
from tuner.exceptions import RegistryError
from tuner.jobs import make_context

BEFORE = "tuner.champion_before"  # what a decision that is continued goes on from
NONE = "none"
MADE = "tuner.challenger"  # the version a decision's study has made; a continued decision takes it up
STUDY_SHARE = 0.5  # of the job's time: it begins where the last search ended, and claims by the rows held out
SAMPLE_ROWS = 5


@dataclass(frozen=True, eq=False)
class Workshop:
    """Some of a job's rows, checked, and what can be fitted on them without a search."""

    scheduled: Scheduled
    own: JobRows
    checked: Checked

    @classmethod
    def of(cls, scheduled: Scheduled, rows: IntArray | None = None) -> Workshop:
        """Take rows; None: all that the job's window holds."""
        if rows is None:
            rows = scheduled.rows.newest(scheduled.job.retune.window_rows)
        own = _taken(scheduled.rows, rows)
        dataset, config = own.dataset(scheduled.job.data.task), scheduled.config
        if config.random_state is None:  # a call that goes on after a kill must fit what that one fitted
            config = replace(config, random_state=child_seed(0, dataset.fingerprint))
        return cls(scheduled, own, check_run(dataset, config))

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return self.checked.dataset.n_rows

    def renewed(self, recipe: Recipe) -> Renewed | None:
        """Return what the recipe's configurations come to on the rows."""
        with one_thread_a_fit():
            return renew(recipe, self.checked.dataset, self.checked.metric, self.checked.settings)

    def delivered(self, model: Blended) -> Delivered:
        """Return what predicts as an estimator."""
        return deliver(model, self.checked.dataset)

    def as_elected(self, recipe: Recipe) -> Blended:
        """Return the recipe fitted on the rows, nothing chosen anew."""
        with one_thread_a_fit():
            return fit_as_elected(recipe, self.checked.dataset, self.checked.metric, self.checked.settings)

    def made(
        self, model: Blended, recipe: Recipe, promise: Promise | None, searched: float, *, origin: Version,
        key: str, description: str,
    ) -> Made:  # fmt: skip
        """Return a version to be: the model with all that later calls ask of it.

        Parameters
        ----------
        searched : float
            When the study was that it comes from, in Unix time.
        origin : Version
            Of that study, or a refit of it.
        """
        scheduled = self.scheduled
        reference = remember(
            self.own.features, self.own.target, self.checked.dataset,
            seed=scheduled.job.search.seed or 0, now=searched,
        )  # fmt: skip
        reference = replace(_knowing_all(scheduled, reference), promise=promise, recipe=recipe)
        tags = {
            "tuner.job_key": key,
            STUDY_RUN: origin.study_run,
            "tuner.fitted_from": origin.number,
            **({} if promise is None else promise.tags()),
        }
        sample = self.own.features.head(SAMPLE_ROWS)
        return Made(self.delivered(model), sample, reference, tags, description)


def fittable(there: ScheduledRows, rows: IntArray) -> IntArray:
    """Return those of the rows that a model can be fitted on."""
    return rows if there.dataset.classes is None else without_lone_classes(rows, there.dataset.y)


def _taken(there: ScheduledRows, rows: IntArray) -> JobRows:
    kept = fittable(there, rows)
    if len(kept) < len(rows):
        say(f"Left out of the fit, as each alone has its class there: {len(rows) - len(kept)} row(s).")
    return there.labelled.take(kept)


def _knowing_all(scheduled: Scheduled, reference: Reference) -> Reference:
    """Return a reference that knows all labelled rows again, those outside of the window among them."""
    there = scheduled.rows.labelled
    return replace(reference, hashes=reference.hash(there.features, there.target))


def study(
    scheduled: Scheduled, begun: DecisionRun, rows: IntArray, key: str, champion: Champion | None
) -> Version:
    """Return the version a study makes of these rows; one that a killed call has made is the one."""
    registry, config = scheduled.registry, scheduled.config
    if MADE in begun.tags:
        return registry.numbered(begun.tags[MADE])
    if champion is not None:
        config = cheaper_config(config)
    own = _taken(scheduled.rows, rows)
    dataset = own.dataset(scheduled.job.data.task)
    digest = study_hash(dataset, config)
    context = replace(
        make_context(scheduled.job, own, dataset, digest, ""),
        run_name=f"{begun.name}: study",
        job_key=key,
        flush_seconds=PATIENT_FLUSH_SECONDS,  # without a version nothing can be decided
    )
    if champion is None:
        assert context.reference is not None  # the job names a registered model
        context = replace(context, reference=_knowing_all(scheduled, context.reference))
    else:
        recipe = champion.reference.recipe
        context = replace(
            context,
            study_name=f"{scheduled.job.name}-{digest}-v{champion.version.number}",
            begin_with=() if recipe is None else recipe.configurations,
        )
    result = tune_checked(check_run(dataset, config), config, context, started=monotonic())
    run_id = None if result.tracking is None else result.tracking.run_id
    version = None if run_id is None else registry.version_of_run(run_id, result.study_name)
    if version is None:
        problems = () if result.tracking is None else result.tracking.problems
        raise RegistryError(
            "A tuned model must be registered before it is judged.",
            "; ".join(problems) or "no version of its run",
            "Trials are kept. Start or mend MLflow, then run the command again.",
        )
    failpoint("schedule.tuned")
    if champion is not None:
        registry.point(CHALLENGER, version)  # before the note: a call that goes on looks no further than that
    registry.note(begun.run_id, [Tag(MADE, version.number)])
    failpoint("schedule.noted")
    return version


def cheaper_config(config: TuningConfig) -> TuningConfig:
    """Return the options of a later study: half the time, no folds for a claim that the contest makes."""
    budget = None if config.time_budget is None else STUDY_SHARE * config.time_budget
    return replace(config, estimate=None, time_budget=budget)
