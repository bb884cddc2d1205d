from __future__ import annotations

import time
from dataclasses import replace
from itertools import pairwise, zip_longest
from threading import Event

import numpy as np
import pandas as pd
import pytest
from optuna.trial import TrialState

from search_spaces import Categorical, Float, Int
from search_spaces.augmentation import augmentation_of
from tuner._decisions.objective import objective, penalty_cap
from tuner._decisions.selection import N_FINALISTS, nominate
from tuner._diagnosis.search import at_the_edge
from tuner._folds.splits import plan_choosing
from tuner._metrics.metrics import resolve_metric
from tuner._options.config import TuningConfig
from tuner._options.settings import resolve
from tuner._process.deadline import Deadline
from tuner._rows.data import make_dataset
from tuner._search import search as _search
from tuner._search.interrupted import Interrupted
from tuner._search.proposals import first_proposals
from tuner._search.search import LAG, Search
from tuner._seeds import child_seed
from tuner._trials.bench import Bench
from tuner._trials.evaluation import Effort, evaluate
from tuner._trials.trials import Place, Trial, run_trial
from tuner.exceptions import TrialsFailedError

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

PLACE = Place("study", "search")


@pytest.fixture(scope="module")
def bench():
    """Return a bench over 60 rows."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(60, 2)), columns=list("ab"))
    X["c"] = rng.choice(["x", "y", None], 60)
    data = make_dataset(X, (X["a"] + rng.normal(size=60) > 0).astype(int))
    plan = plan_choosing(data, n_folds=3, n_repeats=1, seed=0)
    return Bench(data, plan, resolve_metric(None, "binary"), 0)


def settings(**options):
    """Return settings of a run without a clock, of two families."""
    options = {
        "max_trials": 20,
        "time_budget": None,
        "random_state": 0,
        "n_jobs": 1,
        "families": ["lightgbm", "linear"],
        **options,
    }
    return resolve(TuningConfig(**options), task="binary", has_time=False)


INITIAL = 2 + sum(map(len, settings().portfolios.values()))


def search(bench, chosen, *, deadline=None, reserve=0.0, heard=None, known=None, n_kills=0, **options):
    """Return a search that leaves ``reserve`` seconds."""
    return Search(
        bench,
        chosen,
        PLACE,
        deadline=deadline or Deadline(),
        reserve=lambda _: reserve,
        notify=(lambda _: None) if heard is None else heard.append,
        interrupted=Interrupted(known or {}, n_kills),
        **options,
    )


def timeless(trials):
    """Return the records without their times, as text (NaN equals NaN there)."""
    return [replace(trial, fit_seconds=0.0, started=0.0, completed=0.0).to_json() for trial in trials]


@pytest.fixture
def fake_fits(monkeypatch, make_scores):
    """Replace fits by a loss that is a function of the configuration; ``fails`` names failing numbers."""

    def install(fails=(), pause=0.0):
        asked = []

        def run(configuration, bench, effort, *, place, number):  # noqa: ARG001
            asked.append((number, effort.stop))
            # Later trials end first, so that an order of completion would be noticed.
            time.sleep(pause * (number % 3 == 0))
            state = "FAIL" if number in fails else "COMPLETE"
            draw = child_seed(0, str(sorted(configuration.flat().items()))) / 2**31
            scores = make_scores([draw, draw + 0.1], [draw - 0.3] * 2)
            record = replace(
                blank, number=number, configuration=configuration, state=state, study=place.study
            )
            if state == "FAIL":
                return Trial(replace(record, scores=None, reason="ValueError: no"), None)
            return Trial(replace(record, scores=scores), None)

        monkeypatch.setattr(_search, "run_trial", run)
        return asked

    blank = run_trial(
        first_proposals(settings())[0].configuration,
        None,
        Effort(stop=Deadline.after(-1).until(Event())),
        place=PLACE,
        number=0,
    ).record
    return install


# Trials that run away


@pytest.mark.parametrize(("seconds", "cut"), [(1000.0, True), (None, False)])
def test_a_trial_that_eats_a_quarter_of_the_time_is_cut(bench, fake_fits, monkeypatch, seconds, cut):
    """Of 1,000 s a trial gets 250 from its first step on, a default all; without a budget none is cut."""
    asked = fake_fits()
    now = [50.0]
    search(bench, settings(max_trials=4), deadline=Deadline.after(seconds)).run()
    monkeypatch.setattr(_search, "monotonic", lambda: now[0])
    default, later = (dict(asked)[number] for number in (0, 3))
    answers = []
    for moment in (50.0, 299.0, 301.0):
        now[0] = moment
        answers.append((default(), later()))
    assert answers == [(False, False), (False, False), (False, cut)]


# What is tried


def test_defaults_first_then_the_portfolios_in_turn(bench, fake_fits):
    """The default of each family, then each family's first known-good one, then the second, ..."""
    fake_fits()
    chosen = settings(max_trials=INITIAL)
    trials = search(bench, chosen).run().trials
    tried = [(trial.configuration.family, dict(trial.configuration.params)) for trial in trials]
    expected = [(name, chosen.space(name).default()) for name in ("lightgbm", "linear")]
    for pair in zip_longest(chosen.portfolios["lightgbm"], chosen.portfolios["linear"]):
        for name, partial in zip(("lightgbm", "linear"), pair, strict=True):
            expected += [] if partial is None else [(name, chosen.space(name).complete(partial))]
    assert tried == expected
    assert len(tried) == INITIAL


def test_repeated_starting_points_are_tried_once():
    """With almost everything fixed, portfolios coincide: each configuration is there once."""
    fixed = {"penalty": "l2", "numeric": "standardize"}
    chosen = settings(families=["linear"], search_space={"linear": fixed})
    assert [proposal.configuration.params for proposal in first_proposals(chosen)] == [fixed]


@pytest.mark.parametrize("families", [["kernel"], ["kernel", "extra_trees", "linear"]])
def test_known_good_ones_take_over_the_best_augmentation(bench, fake_fits, families):
    """On images each knows its family's augmented trials before it, and has what the best one had."""
    fake_fits()
    options = {"families": families, "time_budget": None, "random_state": 0}
    runs = []
    for n_jobs in (1, 4):
        config = TuningConfig(max_trials=12, n_jobs=n_jobs, **options)
        chosen = resolve(config, task="binary", has_time=False, has_images=True)
        runs.append(search(bench, chosen).run().trials)
    assert timeless(runs[0]) == timeless(runs[1])
    adopting = [place for place, each in enumerate(first_proposals(chosen)[:12]) if each.adopts]
    n_augmented = 0
    for place in adopting:
        family = runs[0][place].configuration.family
        waited_for = max(place - LAG, first_proposals(chosen)[place].after)
        of_family = [t for t in runs[0][: waited_for + 1] if t.configuration.family == family]
        if of_family:
            best = min(of_family, key=lambda trial: trial.objective)
            own = augmentation_of(runs[0][place].configuration.params)
            assert own == augmentation_of(best.configuration.params)
            n_augmented += bool(own)
    assert n_augmented


def test_known_good_ones_never_wait_for_themselves():
    """Where the space fixes an augmentation each has it, and waits for the one of its family before it."""
    fixed = {"kernel": {"augment": "table", "augment_noise": 0.05}}
    proposals = first_proposals(settings(families=["kernel", "linear"], search_space=fixed))
    of_kernel = [place for place, each in enumerate(proposals) if each.configuration.family == "kernel"]
    assert len(of_kernel) > 2
    for before, place in pairwise(of_kernel):
        assert proposals[place].after == (before if proposals[place].adopts else -1)


@pytest.mark.parametrize("families", [["linear"], ["lightgbm", "linear"]])
def test_no_configuration_is_judged_twice_while_others_are_left(bench, fake_fits, families):
    """A sampler in love with one point of a small space is asked again: no fit is done twice."""
    fake_fits()
    fixed = {"linear": {"penalty": Categorical(("l2", "elastic_net"))}}
    outcome = search(bench, settings(families=families, search_space=fixed, max_trials=40)).run()
    tried = [str(trial.configuration.flat()) for trial in outcome.trials]
    assert len(set(tried)) >= 38  # of 40: an unlucky number of asks may repeat one
    assert [trial.number for trial in outcome.study.trials] == list(range(40))


def test_an_exhausted_space_repeats_instead_of_hanging(bench, fake_fits):
    """With two configurations in all, five trials end, and every one is judged."""
    fake_fits()
    fixed = {"linear": {"penalty": "l2"}}
    outcome = search(bench, settings(families=["linear"], search_space=fixed, max_trials=5)).run()
    assert len(outcome.trials) == 5
    assert len({str(trial.configuration.flat()) for trial in outcome.trials}) == 2


def test_fixed_values_are_never_suggested_but_always_there(bench, fake_fits):
    """A scalar in the space is in every configuration and in no parameter of the study."""
    fake_fits()
    chosen = settings(search_space={"lightgbm": {"learning_rate": 0.05, "boosting": "gbdt"}})
    outcome = search(bench, chosen).run()
    boosted = [trial for trial in outcome.trials if trial.configuration.family == "lightgbm"]
    assert len(boosted) > 5
    for trial in boosted:
        assert trial.configuration.params["learning_rate"] == 0.05
        assert trial.configuration.params["boosting"] == "gbdt"
        assert "drop_rate" not in trial.configuration.params
    suggested = {name for trial in outcome.study.trials for name in trial.params}
    assert not suggested & {"lightgbm.learning_rate", "lightgbm.boosting", "lightgbm.drop_rate"}
    assert {"family", "lightgbm.num_leaves", "linear.penalty"} <= suggested


def test_bounds_of_the_user_hold_for_every_trial(bench, fake_fits):
    """Defaults, portfolios and suggestions all lie inside the bounds, with their own types."""
    fake_fits()
    space = {
        "lightgbm": {
            "num_leaves": Int(5, 9, log=True),
            "learning_rate": Float(0.1, 0.12),
            "extra_trees": Categorical((True,)),
        }
    }
    for trial in search(bench, settings(search_space=space, families=["lightgbm"])).run().trials:
        params = trial.configuration.params
        assert type(params["num_leaves"]) is int
        assert 5 <= params["num_leaves"] <= 9
        assert 0.1 <= params["learning_rate"] <= 0.12
        assert params["extra_trees"] is True


def test_every_configuration_is_complete_and_active(bench, fake_fits):
    """Exactly the active parameters are there: dropout only with DART, a ratio only with elastic net."""
    fake_fits()
    families = set()
    chosen = settings(max_trials=40)
    for trial in search(bench, chosen).run().trials:
        space = chosen.space(trial.configuration.family)
        params = trial.configuration.params
        assert space.complete(params) == params
        families.add(trial.configuration.family)
    assert families == {"lightgbm", "linear"}


# Order and determinism


@pytest.mark.parametrize("n_jobs", [1, 2, 4])
def test_a_trial_is_asked_knowing_exactly_the_trials_up_to_the_lag(bench, fake_fits, n_jobs):
    """Trial i knows trials 0 to i - 4 (the defaults, told together, from trial 4 on), for any n_jobs."""
    fake_fits(pause=0.003)
    known = {}

    class Watched(Search):
        def _ask(self, number):
            states = [trial.state for trial in self._study.trials]
            known[number] = states.count(TrialState.COMPLETE)  # told in order; a repeated ask is a failed one
            return super()._ask(number)

    Watched(
        bench,
        settings(n_jobs=n_jobs, max_trials=25),
        PLACE,
        deadline=Deadline(),
        reserve=lambda _: 0.0,
        notify=lambda _: None,
    ).run()
    assert LAG == 4
    for number in range(25):
        last = number - LAG
        assert known[number] == (0 if last < 0 else max(last + 1, 2))


def test_the_first_suggestion_knows_the_defaults(bench, fake_fits):
    """Without portfolios the third trial waits for both defaults, so that nothing is asked blindly."""
    fake_fits()
    chosen = replace(settings(max_trials=6), portfolios={"lightgbm": (), "linear": ()})
    run = search(bench, chosen)
    assert [run._needed(number) for number in range(8)] == [-1, -1, 1, 1, 1, 1, 2, 3]
    assert len(run.run().trials) == 6


def test_all_defaults_are_judged_together(bench, fake_fits):
    """More of them than trials in flight: none waits for another, and the best of all sets the cap."""
    fake_fits()
    five = settings(families=["lightgbm", "linear", "extra_trees", "kernel", "mlp"], max_trials=5)
    run = search(bench, five)
    assert [run._needed(number) for number in range(5)] == [-1] * 5
    assert run.run().cap == penalty_cap(run._judged)


@pytest.mark.parametrize("pause", [0.0, 0.004])
def test_threads_do_not_change_decisions(bench, fake_fits, pause):
    """The same seed asks for the same 30 configurations with 1, 2 and 4 threads."""
    fake_fits(pause=pause)
    runs = [search(bench, settings(n_jobs=n_jobs, max_trials=30)).run().trials for n_jobs in (1, 2, 4)]
    assert timeless(runs[0]) == timeless(runs[1]) == timeless(runs[2])


@pytest.fixture
def best_at_30(fake_fits, monkeypatch, make_scores):
    """Fits whose loss is the distance from 30 leaves, in logarithms; folds differ by a thousandth."""
    asked = fake_fits()
    plain = _search.run_trial

    def run(configuration, *context, **options):
        trial = plain(configuration, *context, **options)
        loss = 1 + abs(np.log(configuration.params["num_leaves"] / 30))
        scores = make_scores([loss, loss + 0.001], [loss - 0.1] * 2)
        return Trial(replace(trial.record, scores=scores), None)

    monkeypatch.setattr(_search, "run_trial", run)
    return asked


NARROW = {
    "max_trials": 45,
    "families": ["lightgbm"],
    "search_space": {"lightgbm": {"num_leaves": Int(2, 16, log=True)}},
}


def test_widening_removes_the_finding_it_is_the_cure_of(bench, best_at_30):  # noqa: ARG001
    """30 leaves are best: D005 in [2, 16]; with `widen` up to 64 are searched, and the best lies inside."""

    def searched(**options):
        outcome = search(bench, settings(**NARROW, **options)).run()
        winner = min(outcome.trials, key=lambda trial: trial.objective)
        return outcome, at_the_edge(winner, outcome.trials, outcome.spaces[0])

    plain, found = searched()
    assert found.code == "D005"
    assert "widen=True" in found.next_step
    assert plain.spaces == settings(**NARROW).spaces
    wider, found = searched(widen=True)
    assert found is None
    assert wider.spaces[0].dimensions["num_leaves"].high == 64
    leaves = [trial.configuration.params["num_leaves"] for trial in wider.trials]
    assert 16 < leaves[int(np.argmin([trial.objective for trial in wider.trials]))] <= 64
    published = {trial.distributions["lightgbm.num_leaves"].high for trial in wider.study.trials}
    assert published == {64}  # one range, whatever was asked when


def test_widening_depends_on_records_alone(bench, best_at_30):
    """Threads, and an interruption before or after the widening, leave every trial as it is."""
    whole = search(bench, settings(widen=True, **NARROW)).run()
    parallel = search(bench, settings(widen=True, n_jobs=4, **NARROW)).run()
    assert timeless(parallel.trials) == timeless(whole.trials)
    for n_known in (9, 40):
        best_at_30.clear()
        known = dict(enumerate(whole.trials[:n_known]))
        again = search(bench, settings(widen=True, n_jobs=2, **NARROW), known=known).run()
        assert timeless(again.trials) == timeless(whole.trials)
        assert again.spaces == whole.spaces != settings(**NARROW).spaces
        assert len(best_at_30) == 45 - n_known


def test_another_seed_asks_for_other_trials(bench, fake_fits):
    """Starting points are the same, suggestions differ."""
    fake_fits()
    runs = [search(bench, settings(random_state=seed)).run().trials for seed in (0, 1)]
    first, second = ([trial.configuration for trial in trials] for trials in runs)
    assert first[:INITIAL] == second[:INITIAL]
    assert first[INITIAL:] != second[INITIAL:]


def test_real_fits_are_the_same_on_one_and_two_threads(bench):
    """Trials, scores, curves and held-out predictions agree bit for bit; only times differ."""
    outcomes = []
    for n_jobs in (1, 2):
        fresh = replace(bench, _prepared={})
        chosen = settings(n_jobs=n_jobs, max_trials=INITIAL + 4)
        outcomes.append(search(fresh, chosen, keep_predictions=True).run())
    one, two = outcomes
    assert timeless(one.trials) == timeless(two.trials)
    assert one.cap == two.cap
    complete = [trial for trial in one.trials if trial.state == "COMPLETE"]
    assert len(complete) >= INITIAL
    assert list(one.predictions) == [trial.number for trial in complete]
    for trial in (trial for trial in one.trials if trial not in complete):
        assert trial.reason.startswith("racing: ")
        assert one.study.trials[trial.number].intermediate_values
    for number, folds in one.predictions.items():
        for fold, other in zip(folds, two.predictions[number], strict=True):
            np.testing.assert_array_equal(fold, other)
    alone = evaluate(complete[-1].configuration, replace(bench, _prepared={}))
    assert alone.curves == complete[-1].curves  # nor does a trial depend on those beside it


def test_more_trials_only_append(bench, fake_fits):
    """The first 15 of 25 trials are those of a run of 15: the limit is no input of any decision."""
    fake_fits()
    short, long = (search(bench, settings(max_trials=count)).run().trials for count in (15, 25))
    assert timeless(short) == timeless(long[:15])


# What is heard and told


def test_records_are_heard_in_order_before_they_are_told(bench, fake_fits):
    """Every judged record is heard once, in trial order, and the study holds the same JSON."""
    fake_fits(pause=0.003)
    heard = []
    outcome = search(bench, settings(n_jobs=2), heard=heard).run()
    assert heard == list(outcome.trials)
    assert [trial.number for trial in heard] == list(range(20))
    assert [trial.user_attrs["record"] for trial in outcome.study.trials] == [
        trial.to_json() for trial in heard
    ]


def test_the_cap_is_the_standard_error_of_the_best_default(bench, fake_fits):
    """Defaults set the cap; it is that of every trial, with the weight the sampler saw."""
    fake_fits()
    outcome = search(bench, settings()).run()
    best = min(outcome.trials[:2], key=lambda trial: trial.scores.nested_loss)
    assert outcome.cap == best.scores.standard_error > 0
    for trial in outcome.trials:
        assert (trial.penalty_cap, trial.gap_weight) == (outcome.cap, 0.05)
        assert trial.objective == objective(trial.scores, weight=0.05, cap=outcome.cap)
        assert outcome.study.trials[trial.number].value == trial.objective


def test_failed_trials_are_told_and_the_search_goes_on(bench, fake_fits):
    """A failed default and failed suggestions are FAIL in the study, without an objective."""
    fake_fits(fails={0, 5, 14})
    outcome = search(bench, settings(n_jobs=2)).run()
    failed = [trial.number for trial in outcome.trials if trial.state == "FAIL"]
    assert failed == [0, 5, 14]
    assert len(outcome.trials) == 20
    for number in failed:
        assert outcome.study.trials[number].state is TrialState.FAIL
        assert outcome.trials[number].objective is None
    assert outcome.cap == outcome.trials[1].scores.standard_error


def test_no_default_that_can_be_scored_ends_the_run(bench, fake_fits):
    """Where every default fails the data is at fault: an error with the reasons, and the trials are told."""
    fake_fits(fails=set(range(20)))
    heard = []
    with pytest.raises(TrialsFailedError, match=r"no other will\. lightgbm, linear: ValueError: no"):
        search(bench, settings(), heard=heard).run()
    assert [(each.number, each.state) for each in heard] == [(0, "FAIL"), (1, "FAIL")]
    assert "no" in heard[0].reason


# Limits


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_max_trials_is_exact(bench, fake_fits, count):
    """Even below the number of defaults, or of the lag."""
    fake_fits()
    outcome = search(bench, settings(max_trials=count, n_jobs=2)).run()
    assert [trial.number for trial in outcome.trials] == list(range(count))


def test_a_spent_budget_still_judges_the_default(bench, fake_fits):
    """Past the deadline only the named default is tried, and it is never cut."""
    asked = fake_fits()
    outcome = search(bench, settings(), deadline=Deadline.after(-1)).run()
    assert [trial.number for trial in outcome.trials] == [0]
    assert [number for number, _ in asked] == [0]


def test_the_default_ends_where_time_does(bench):
    """A default that time cuts is scored on the points that all folds have passed, and can be delivered."""
    outcome = search(bench, settings(max_trials=1), deadline=Deadline.after(0.02)).run()
    whole = search(bench, settings(max_trials=1)).run().trials[0]
    (short,) = outcome.trials
    n_points = len(short.curves.path_values)
    assert 1 <= n_points < len(whole.curves.path_values)
    assert short.curves.validation == tuple(fold[:n_points] for fold in whole.curves.validation)
    assert len(outcome.default_trial.evaluation.models) == len(bench.plan.folds)


def test_a_default_without_time_for_one_point_fails_nothing_silently(bench):
    """With no time at all the first point is still reached: there is always a model."""
    (only,) = search(bench, settings(max_trials=1), deadline=Deadline.after(-1)).run().trials
    assert len(only.curves.path_values) == 1


def test_the_reserve_is_kept_before_the_deadline(bench, fake_fits):
    """50 seconds to go, 60 in reserve: nothing but the default; with 10 in reserve trials end 10 s early."""
    fake_fits()
    assert len(search(bench, settings(), deadline=Deadline.after(50), reserve=60.0).run().trials) == 1
    asked = fake_fits()
    run = search(bench, settings(max_trials=12), deadline=Deadline.after(50), reserve=10.0)
    run.run()
    assert [stop() for _, stop in asked] == [False] * 12


def test_the_end_moves_with_what_the_trials_show(bench, fake_fits):
    """A trial in flight is cut by the reserve as it is now, not as it was when the trial was asked."""
    asked = fake_fits()
    seconds = {"now": 0.0}
    run = search(bench, settings(max_trials=12), deadline=Deadline.after(50))
    run._reserve = lambda judged: 60.0 if len(judged) >= 10 else seconds["now"]
    outcome = run.run()
    assert len(outcome.trials) >= 10
    assert all(stop() for _, stop in asked)


@pytest.mark.parametrize(("budget", "n_trials"), [(50.0, 20 + LAG - 1), (None, 40)])
def test_a_settled_search_ends_unless_trials_were_asked_for(bench, fake_fits, monkeypatch, budget, n_trials):
    """With a time budget it ends once it is settled, trials in flight included; a number is run in full."""
    fake_fits()
    monkeypatch.setattr(_search, "is_settled", lambda trials, n_families: len(trials) >= 10 * n_families)
    chosen = settings(max_trials=40, time_budget=budget)
    outcome = search(bench, chosen, deadline=Deadline.after(50)).run()
    assert len(outcome.trials) == n_trials
    assert outcome.is_settled is (budget is not None)


def test_an_interrupt_ends_the_fits_in_flight(bench, fake_fits):
    """Whatever ends the search, no fit goes on for long: all are told to stop, the default as well."""
    asked = fake_fits()

    def interrupt(_):
        raise KeyboardInterrupt

    run = search(bench, settings(max_trials=12))
    run._notify = interrupt
    with pytest.raises(KeyboardInterrupt):
        run.run()
    assert all(stop() for _, stop in asked)


def test_a_cut_trial_is_pruned_and_counted(bench, monkeypatch):
    """A deadline that comes during the search leaves PRUNED trials with a reason, never scores; no races."""
    monkeypatch.setattr("tuner._search.search.make_race", lambda *_, **__: None)
    outcome = search(bench, settings(max_trials=200, n_jobs=2), deadline=Deadline.after(0.3)).run()
    assert outcome.trials[0].state == "COMPLETE"
    assert len(outcome.trials) < 200
    for trial in outcome.trials:
        if trial.state == "PRUNED":
            assert trial.reason.startswith("time budget")
            assert trial.scores is None
            assert outcome.study.trials[trial.number].state is TrialState.PRUNED


def test_predictions_are_kept_only_on_request(bench):
    """Without the request none are kept; with it, fold by fold for every complete trial."""
    assert search(bench, settings(max_trials=2)).run().predictions == {}
    kept = search(bench, settings(max_trials=2), keep_predictions=True).run().predictions
    assert [[len(fold) for fold in kept[number]] for number in (0, 1)] == [[20, 20, 20]] * 2


def test_predictions_beyond_the_limit_are_kept_of_those_that_can_be_nominated(bench, monkeypatch):
    """The best under any gap weight and the default stay; nothing changes in what is searched."""
    chosen = settings(max_trials=24)
    everything = search(bench, chosen, keep_predictions=True).run()
    monkeypatch.setattr(_search, "MAX_PREDICTION_BYTES", 10 * 60 * 4)
    limited = search(bench, chosen, keep_predictions=True).run()
    assert timeless(limited.trials) == timeless(everything.trials)
    nominated = nominate(
        limited.trials, weights=chosen.nominating_weights, cap=limited.cap, n_finalists=N_FINALISTS, default=0
    )
    assert {each.number for each in nominated} <= set(limited.predictions)
    assert len(limited.predictions) <= 10 < len(everything.predictions)


# Known trials


def test_known_trials_fitted_again_are_those_of_their_records(bench):
    """One that time cut stays cut; one whose path time ended is predicted on the points it had passed."""
    chosen = settings(max_trials=2)
    first, second = search(bench, chosen).run().trials
    short = run_trial(second.configuration, bench, Effort(n_points=2), place=PLACE, number=1)
    assert len(second.curves.path_values) > 2
    known = {0: first, 1: replace(short.record, shortened=True)}
    again = search(bench, chosen, known=known, keep_predictions=True).run()
    assert again.trials[1].scores == short.record.scores
    for one, other in zip(again.predictions[1], short.evaluation.predictions, strict=True):
        np.testing.assert_array_equal(one, other)
    cut = replace(second, state="PRUNED", scores=None, curves=None, objective=None, reason="time budget: cut")
    again = search(bench, chosen, known={0: first, 1: cut}, keep_predictions=True).run()
    assert (again.trials[1].state, list(again.predictions)) == ("PRUNED", [0])


def test_known_trials_are_not_run_again(bench, fake_fits):
    """With trials 0 to 8 and 11 known, the others are run, and all records are as if never interrupted."""
    fake_fits()
    whole = search(bench, settings()).run()
    asked = fake_fits()
    known = {number: whole.trials[number] for number in (*range(9), 11)}
    again = search(bench, settings(n_jobs=2), known=known).run()
    assert sorted(number for number, _ in asked) == [9, 10, *range(12, 20)]
    assert timeless(again.trials) == timeless(whole.trials)
    assert again.trials[3] == whole.trials[3]


def test_known_trials_stay_what_they_were(bench, fake_fits):
    """Where the sampler would draw another configuration now, by another version, the stored one is taken."""
    fake_fits()
    trials = search(bench, settings()).run().trials
    drawn = [trial for trial in trials[10:] if trial.configuration.family == trials[10].configuration.family]
    swapped = {**dict(enumerate(trials)), 10: replace(trials[10], configuration=drawn[-1].configuration)}
    asked = fake_fits()
    again = search(bench, settings(), known=swapped).run()
    assert (asked, again.trials[10].configuration) == ([], drawn[-1].configuration)
    assert again.study.trials[10].params == again.study.trials[drawn[-1].number].params


@pytest.mark.parametrize("keep_predictions", [False, True])
def test_known_trials_are_taken_whatever_the_time(bench, fake_fits, keep_predictions):
    """Twelve stored trials and no time left: all twelve are there to choose from, and no new one."""
    fake_fits()
    known = dict(enumerate(search(bench, settings(max_trials=12)).run().trials))
    chosen = settings(max_trials=None, time_budget=60.0)
    over = Deadline.after(0.0)
    again = search(bench, chosen, deadline=over, known=known, keep_predictions=keep_predictions).run()
    assert timeless(again.trials) == timeless(known.values())


def test_known_trials_are_taken_whatever_their_number(bench, fake_fits):
    """Twelve stored trials and `max_trials` of five: all twelve are there to choose from, and no new one."""
    fake_fits()
    known = dict(enumerate(search(bench, settings(max_trials=12)).run().trials))
    asked = fake_fits()
    again = search(bench, settings(max_trials=5), known=known).run()
    assert (asked, timeless(again.trials)) == ([], timeless(known.values()))
    with_gap = {number: trial for number, trial in known.items() if number != 9}
    again = search(bench, settings(max_trials=5), known=with_gap).run()
    assert ([number for number, _ in asked], timeless(again.trials)) == ([9], timeless(known.values()))


@pytest.mark.parametrize(("n_known", "n_kills", "fails"), [(9, 4, False), (9, 5, True), (0, 5, False)])
def test_a_trial_that_kills_run_after_run_has_failed(bench, fake_fits, n_known, n_kills, fails):
    """Five runs ended before trial 9 was stored: it has failed; of the defaults none is singled out."""
    fake_fits()
    whole = search(bench, settings()).run().trials
    asked = fake_fits()
    known = dict(enumerate(whole[:n_known]))
    again = search(bench, settings(n_jobs=2), known=known, n_kills=n_kills).run()
    failed = [trial for trial in again.trials if trial.state == "FAIL"]
    assert [trial.number for trial in failed] == [9] * fails
    assert sorted(number for number, _ in asked) == [n for n in range(n_known, 20) if not fails or n != 9]
    assert all(trial.reason.startswith("5 runs in a row were killed over it") for trial in failed)
