"""What was elected once, on other rows: the same configurations without a search."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, islice
from threading import Event

from tuner._decisions.selection import Nomination
from tuner._finals.finals import assemble, is_refitted, n_refits
from tuner._folds.splits import FoldPlan, can_train, finer, plan_choosing
from tuner._metrics.metrics import Metric
from tuner._model import Blended, Member
from tuner._movement.reference import recipe_of
from tuner._options.settings import Settings
from tuner._process.pool import cancellable_pool
from tuner._records import Recipe
from tuner._rows.data import Dataset
from tuner._seeds import child_seed
from tuner._trials.bench import Bench, all_rows, threads_a_fit, training_rows
from tuner._trials.evaluation import Effort
from tuner._trials.trials import Place, Trial, run_trial
from tuner._trials.whole import Refit, refits

PLACE = Place("refit", "finalist")


@dataclass(frozen=True, eq=False)
class Renewed:
    """A recipe's configurations on other rows: what predicts, and the recipe as these rows have it."""

    model: Blended
    recipe: Recipe


def renew(recipe: Recipe, dataset: Dataset, metric: Metric, settings: Settings) -> Renewed | None:
    """Judge a recipe's configurations on folds of other rows and make a model of them; nothing is searched.

    Path points, shares, threshold and temperature are read off these folds: they depend on how many rows
    there are, and on the world the rows come from. None where no configuration can be scored.
    """
    bench = Bench(
        dataset,
        _plan(recipe, dataset, metric, settings),
        metric,
        settings.seed,
        threads_a_fit(dataset, settings.n_jobs),
    )

    cancelled = Event()
    effort = Effort(stop=cancelled.is_set, keep_models=not is_refitted(dataset, settings))

    def judge(number: int) -> Trial:
        configuration = recipe.portions[number].configuration
        return run_trial(configuration, bench, effort, place=PLACE, number=number)

    with cancellable_pool(settings.n_jobs // bench.n_threads, "refit", cancelled) as pool:
        trials = list(pool.map(judge, range(len(recipe.portions))))
    done = [trial for trial in trials if trial.evaluation is not None]
    if not done:
        return None
    finals = assemble(done, [Nomination(trial.record.number, ()) for trial in done], bench, settings)
    weights = [float(position == finals.winner) for position in range(len(done))]
    if finals.blend is not None:
        weights = list(finals.blend.weights)
    model = finals.tuned.model
    return Renewed(model, recipe_of(list(zip(weights, finals.finalists, strict=True)), model))


def fit_as_elected(recipe: Recipe, dataset: Dataset, metric: Metric, settings: Settings) -> Blended:
    """Fit a recipe on other rows as it is: configurations, path values, shares, threshold, temperature."""
    n_threads = threads_a_fit(dataset, settings.n_jobs)
    if recipe.is_refitted:
        parts, n_fits = [all_rows(dataset, metric, n_threads=n_threads)], n_refits(settings)
    else:
        folds = [fold for fold in _plan(recipe, dataset, metric, settings).folds if can_train(dataset, fold)]
        parts, n_fits = [training_rows(dataset, fold, metric, n_threads=n_threads) for fold in folds], 1
    seeds = [child_seed(settings.seed, "as elected", index) for index in range(len(parts))]
    wanted = [
        Refit(portion.configuration, portion.path_value, part, seed)
        for portion in recipe.portions
        for part, seed in zip(parts, seeds, strict=True)
    ]
    made = iter(refits(wanted, n_fits=n_fits, n_workers=settings.n_jobs // n_threads))
    members = tuple(
        Member(
            portion.weight,
            portion.configuration.family,
            tuple(chain.from_iterable(islice(made, len(parts)))),
        )
        for portion in recipe.portions
    )
    return Blended(members, dataset.schema, recipe.threshold, recipe.temperature, recipe.is_refitted)


def _plan(recipe: Recipe, dataset: Dataset, metric: Metric, settings: Settings) -> FoldPlan:
    """Return as many repeats as elected, one with time, of twice the folds where these rows allow it."""
    return plan_choosing(
        dataset,
        n_folds=finer(dataset, settings.n_folds, judges_rows=metric.judges_rows),
        n_repeats=recipe.n_repeats if dataset.time is None else 1,
        seed=settings.seed,
    )
