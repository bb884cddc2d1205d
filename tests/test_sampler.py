"""The thinned sampler: which trials it looks at, and what its proposals depend on."""

from __future__ import annotations

from itertools import chain

import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.samplers import TPESampler
from optuna.trial import TrialState, create_trial

from tuner._search.sampler import MOST_OTHERS, Ranking, ThinnedTPE, in_ranges, n_good

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")

X = FloatDistribution(0.0, 1.0)


def trial(x, value=None, *, seen=()):
    """Return a complete trial, or a pruned one that has seen the given losses."""
    return create_trial(
        state=TrialState.COMPLETE if value is not None else TrialState.PRUNED,
        value=value,
        params={"x": x},
        distributions={"x": X},
        intermediate_values=dict(seen),
    )


def study_of(trials):
    """Return a study in memory."""
    study = optuna.create_study()
    study.add_trials(trials)
    return study


def proposal(study, seed):
    """Return the value of x that the sampler proposes; the trial is left running."""
    study.sampler = ThinnedTPE(seed)
    return study.ask().suggest_float("x", 0.0, 1.0)


@pytest.mark.parametrize(("n_done", "expected"), [(0, 0), (1, 1), (10, 1), (11, 2), (250, 25), (900, 25)])
def test_good_is_a_tenth_and_at_most_25(n_done, expected):
    """Rounded up: one of ten, two of eleven."""
    assert n_good(n_done) == expected


def test_up_to_forty_others_it_is_optunas_own_tpe():
    """With 44 trials (5 good, 39 others) nothing is left out, and the proposals are Optuna's."""
    rng = np.random.default_rng(0)
    trials = [trial(x, (x - 0.3) ** 2) for x in rng.random(44)]
    for seed in range(5):
        whole = study_of(trials)
        whole.sampler = TPESampler(seed=seed, multivariate=True, group=True, constant_liar=True)
        assert proposal(study_of(trials), seed) == whole.ask().suggest_float("x", 0.0, 1.0)


def test_it_looks_at_all_good_and_forty_others(monkeypatch):
    """Of 200 trials it models 60: the 20 best, and 40 of the others that differ from seed to seed."""
    rng = np.random.default_rng(0)
    study = study_of([trial(x, x) for x in rng.random(200)])
    models = []
    build = TPESampler._build_parzen_estimator

    def spy(self, study, space, trials, handle_below):
        models.append([each.params["x"] for each in trials])
        return build(self, study, space, trials, handle_below)

    monkeypatch.setattr(TPESampler, "_build_parzen_estimator", spy)
    for seed in (1, 2):
        study.sampler = ThinnedTPE(seed)
        asked = study.ask()
        asked.suggest_float("x", 0.0, 1.0)
        study.tell(asked, state=TrialState.FAIL)
    good, others, good_again, other_others = models
    best = sorted(each.params["x"] for each in study.trials[:200])[:20]
    assert sorted(good) == sorted(good_again) == best
    assert len(others) == len(other_others) == MOST_OTHERS
    assert sorted(others) != sorted(other_others)


def test_a_proposal_is_a_function_of_seed_and_trials():
    """Same seed and trials, same proposal; another seed, another one."""
    rng = np.random.default_rng(0)
    trials = [trial(x, (x - 0.3) ** 2) for x in rng.random(120)]
    first, again, other = (proposal(study_of(trials), seed) for seed in (1, 1, 2))
    assert first == again != other


def test_widened_ranges_are_searched():
    """40 trials in [0, 1], the best at 1; in [0, 4] Optuna alone stays below 1, shown wider it does not."""
    rng = np.random.default_rng(0)
    trials = [trial(x, -x) for x in rng.random(39)] + [trial(1.0, -1.0)]

    def proposals(ranges):
        study = study_of(trials)
        found = []
        for seed in range(20):
            study.sampler = ThinnedTPE(seed, None, ranges)
            asked = study.ask()
            found.append(asked.suggest_float("x", 0.0, 4.0))
            study.tell(asked, state=TrialState.FAIL)
        return found

    assert max(proposals({})) <= 1.0
    assert max(proposals({"x": FloatDistribution(0.0, 4.0)})) > 1.0


def test_only_what_was_widened_is_shown_otherwise():
    """A trial keeps its values; its other ranges and the trial itself stay as they are."""
    before = create_trial(value=0.0, params={"x": 0.5, "y": 0.5}, distributions={"x": X, "y": X})
    after = in_ranges(before, {"x": FloatDistribution(0.0, 4.0), "z": X})
    assert after.distributions == {"x": FloatDistribution(0.0, 4.0), "y": X}
    assert (after.params, after.number, after.values) == (before.params, before.number, before.values)
    assert before.distributions == {"x": X, "y": X}
    assert in_ranges(before, {}) is before


def test_a_ranking_kept_in_order_gives_the_same_proposals():
    """Trials put in their place one by one, pruned, failed and tied ones among them: as if sorted anew."""
    rng = np.random.default_rng(0)
    study, ranking = optuna.create_study(), Ranking()
    for number, x in enumerate(rng.random(150)):
        asked = study.ask({"x": X})
        if number % 7 == 0:
            asked.report(float(x), step=number % 3)
            told = study.tell(asked, state=TrialState.PRUNED)
        elif number % 11 == 0:
            told = study.tell(asked, state=TrialState.FAIL)
        else:
            told = study.tell(asked, round(float(x), 1))
        ranking.add(told)
    assert len(ranking) == sum(each.state is not TrialState.FAIL for each in study.trials)
    kept, anew = (chain(*each.parts()) for each in (ranking, Ranking.of(study)))
    assert [each.number for each in kept] == [each.number for each in anew]
    for seed in range(3):
        values = []
        for sampler in (ThinnedTPE(seed), ThinnedTPE(seed, ranking)):
            study.sampler = sampler
            asked = study.ask()
            values.append(asked.suggest_float("x", 0.0, 1.0))
            study.tell(asked, state=TrialState.FAIL)
        assert values[0] == values[1]


def test_pruned_trials_repel():
    """Good at .2, pruned at .8: proposals lie on the good side."""
    trials = [trial(0.2 + 0.01 * i, 0.1 * i) for i in range(10)]
    trials += [trial(0.75 + 0.01 * i, seen=[(1, 5.0)]) for i in range(25)]
    assert np.mean([proposal(study_of(trials), seed) for seed in range(20)]) < 0.5


def test_it_concentrates_where_the_function_is_low():
    """After 60 trials in three dimensions the best is at most half of random search, over 4 seeds."""

    def best(sampler, seed):
        study = optuna.create_study()
        for number in range(60):
            study.sampler = sampler(1000 * seed + number)
            asked = study.ask()
            study.tell(asked, sum((asked.suggest_float(f"x{i}", 0, 1) - 0.3) ** 2 for i in range(3)))
        return study.best_value

    ours = [best(ThinnedTPE, seed) for seed in range(4)]
    random = [best(optuna.samplers.RandomSampler, seed) for seed in range(4)]
    assert np.mean(ours) < 0.5 * np.mean(random)
