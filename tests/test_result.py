"""The result: its story, its table, its estimate in natural units, and the verdict on tuning."""

from __future__ import annotations

import math
import pickle
from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces import SPACES
from tuner._claims.claims import Estimate, Paid, natural_estimate
from tuner._claims.estimate import judge_tuning
from tuner._decisions.objective import judged, nested_scores
from tuner._metrics.metrics import METRICS, resolve_metric
from tuner._model import Blended, DeliveredClassifier, Latency, Member
from tuner._options.config import TuningConfig
from tuner._records import Configuration, Finding
from tuner._report.card import ModelCard
from tuner._report.report import metrics, params
from tuner._report.result import Trials, TuningResult
from tuner._statistics.intervals import Interval
from tuner._tracking.tracking import Metric as LoggedMetric
from tuner._tracking.tracking import Param, log_items

NASTY = "<script>alert('x')</script> & <img src=x onerror=\"y\">"
STEPPED = {"fold_loss", "validation_curve", "train_curve"}


def estimate_of(name, loss, low, high, task="binary"):
    """Estimate of a metric from a loss and its ends."""
    return natural_estimate(
        resolve_metric(name, task),
        Interval(loss, low, high),
        level=0.95,
        method="nested",
        fold_losses=(),
        estimand="it",
    )


@pytest.fixture
def trials(make_trial, make_curves):
    """One complete, one pruned, one failed trial."""
    curves = make_curves([[0.3, 0.2], [0.5, 0.4], [0.4, 0.3]], path_values=(8.0, 16.0))
    complete = make_trial(0, scores=nested_scores(curves), curves=curves, params={"leaves": 31, "rate": 0.1})
    failed = make_trial(2, state="FAIL", params={"leaves": 4}, reason="ValueError: no")
    return Trials([judged(complete, weight=0.05, cap=0.01), make_trial(1, state="PRUNED"), failed])


@pytest.fixture
def result(trials):
    """Build a result as a run would return it."""
    members = (
        Member(0.75, "lightgbm", (SimpleNamespace(),) * 5),
        Member(0.25, "linear", (SimpleNamespace(),) * 5),
    )
    return TuningResult(
        metric="roc_auc",
        task="binary",
        positive_class="yes",
        estimate=Estimate(0.81, 0.75, 0.87, 0.95, "nested", 0.19, (0.18, 0.20), "the procedure at 80 rows"),
        default_estimate=Estimate(
            0.79, 0.72, 0.86, 0.95, "nested", 0.21, (0.2, 0.22), "the procedure at 80 rows"
        ),
        optimism=0.0123,
        paid=Paid("not shown", -0.02, -0.05, 0.01),
        best_params={"family": "toy", "toy.leaves": 31, "path_point": 1},
        winner=trials[0],
        shipped=trials[0],
        selection_loss=0.18,
        gap=0.3,
        shipped_default=False,
        trials=trials,
        finalists=(trials[0],),
        nominations=(),
        blend=None,
        diagnosis=(Finding("D001", "info", "It fits its rows better.", "gap 0.3", "Get more rows."),),
        study=None,
        study_name="churn-0a",
        model=DeliveredClassifier(Blended(members, None), ["no", "yes"]),
        latency=Latency(1.5, 12_345.6),
        reliability=None,
        card=ModelCard(
            metric_value="one_minus_loss",
            n_rows=100,
            n_columns=2,
            column_kinds=(("numeric", 2),),
            target=(("no", 50), ("yes", 50)),
            roles=(),
            families=("lightgbm", "linear"),
            aggregate="mean",
            final="ensemble",
            max_trials=3,
            versions=(),
        ),
        notes=("Folds were shrunk to 3.",),
        seconds=12.34,
        time_budget=60.0,
        seed=7,
        fingerprint="f",
        fold_plan_hash="h",
        fold_plan="5 stratified",
        path_name="rounds",
    )


# The story


def test_facts_tell_the_story_in_order(result):
    """The answer first, then what it is worth, then how it was made."""
    labels = [label for label, _ in result.facts()]
    assert labels[:4] == ["estimate", "default", "tuning paid", "optimism"]
    assert labels[4:] == ["gap", "winner", "model", "serving", "trials", "D001", "note", "time"]


def test_the_model_is_shown_in_a_line(result):
    """An estimator shows its parameters; what it blends is told in words, not as all its arrays."""
    assert repr(result.model) == (
        "DeliveredClassifier(blended=<Blended: 10 fitted models averaged (lightgbm 75%, linear 25%)>,\n"
        "                    classes_=['no', 'yes'])"
    )


def test_a_slow_model_takes_no_powers_of_ten(result):
    """Milliseconds beyond 99 are written out."""
    facts = dict(replace(result, latency=Latency(110.4, 9.0)).facts())
    assert facts["serving"] == "110 ms for one row, 9 rows a second"


def test_no_verdict_says_why(result):
    """Only where there was no estimate is the cure to ask for one."""
    nested = replace(result, paid=Paid("not judged"), shipped_default=True)
    assert dict(nested.facts())["tuning paid"] == "not judged: nothing but the default was chosen"
    late = replace(nested, shipped_default=False)
    assert "nothing but the default was chosen, or had time" in dict(late.facts())["tuning paid"]
    without = replace(nested, estimate=None)
    assert dict(without.facts())["tuning paid"] == "not judged: only an estimate can tell"


def test_facts_by_hand(result):
    """Every line says its numbers in natural units or names them as losses."""
    facts = dict(result.facts())
    assert facts["estimate"] == "roc_auc 0.8100, 95% interval [0.7500, 0.8700] (the procedure at 80 rows)"
    assert facts["default"].startswith("roc_auc 0.7900, 95% interval [0.7200, 0.8600]")
    assert facts["tuning paid"].startswith("not shown")
    assert facts["tuning paid"].endswith("(loss difference -0.02 [-0.05, +0.01])")
    assert facts["optimism"] == "+0.0123 (the search flattered the winner)"
    assert facts["gap"].startswith("0.3 ")
    assert facts["winner"] == "toy (leaves=31, rate=0.1, rounds 16)"
    assert facts["serving"] == "1.5 ms for one row, 12,346 rows a second"
    assert facts["model"] == "10 fitted models averaged (lightgbm 75%, linear 25%); positive class yes"
    assert facts["trials"] == "1 finished, 1 pruned, 1 failed; 1 finalists; folds: 5 stratified"
    assert facts["D001"] == "It fits its rows better. Get more rows."
    assert facts["time"] == "12.3 s of 60 s, seed 7"


def test_the_winner_is_told_by_what_differs_from_its_default(result):
    """The width is the default's, the cusp is not; where nothing differs, the size on the path is left."""
    default = SPACES["kernel"].default()
    for chosen, text in (
        ({**default, "shape": "laplace"}, "kernel (shape=laplace, rounds 16, the rest as by default)"),
        (default, "kernel (rounds 16, the rest as by default)"),
    ):
        winner = replace(result.winner, configuration=Configuration("kernel", chosen))
        assert dict(replace(result, winner=winner).facts())["winner"] == text


def test_the_delivered_model_stands_below_the_procedure(result):
    """A second line of its own, with what was corrected; the first line and MLflow's names stay."""
    delivered = replace(result.estimate, value=0.83, low=0.76, high=0.9, estimand="the delivered model: it")
    both = replace(result, delivered_estimate=delivered)
    assert [label for label, _ in both.facts()][:3] == ["estimate", "delivered", "default"]
    facts = dict(both.facts())
    assert facts["delivered"] == "roc_auc 0.8300, 95% interval [0.7600, 0.9000] (the delivered model: it)"
    assert facts["estimate"] == dict(result.facts())["estimate"]
    logged = metrics(both)
    assert (logged["estimate"], logged["delivered_estimate"]) == (0.81, 0.83)
    assert (logged["delivered_estimate_low"], logged["delivered_estimate_high"]) == (0.76, 0.9)
    assert "delivered_estimate" not in metrics(result)


def test_facts_without_an_estimate_claim_nothing(result):
    """Without outer folds there is no number, no verdict and no optimism, and the text says why."""
    silent = replace(
        result, estimate=None, default_estimate=None, optimism=None, paid=Paid("not judged"), time_budget=None
    )
    facts = dict(silent.facts())
    assert "search scores are not claims" in facts["estimate"]
    assert facts["tuning paid"].startswith("not judged")
    assert not {"default", "optimism"} & set(facts)
    assert facts["time"] == "12.3 s, seed 7"


def test_shipped_default_is_said(result):
    """The verdict and the model line both name the default."""
    shipped = replace(
        result, shipped_default=True, paid=Paid("did not pay", 0.01, -0.01, 0.03), optimism=-0.001
    )
    facts = dict(shipped.facts())
    assert "the default was shipped" in facts["tuning paid"]
    assert facts["model"].startswith("the default, ")
    assert facts["optimism"] == "-0.001 (of the default, which the search has not chosen)"


def test_text_is_one_aligned_line_a_fact(result):
    """`print` shows the facts with aligned labels; `repr` names the class first."""
    lines = str(result).splitlines()
    assert len(lines) == len(result.facts())
    for line, (label, text) in zip(lines, result.facts(), strict=True):
        assert line == label.ljust(len("tuning paid")) + "  " + text
    assert repr(result) == f"TuningResult\n{result}"


def test_html_escapes_what_users_name(result, make_trial):
    """A class, a column, a parameter or an error named like a tag stays text."""
    nasty = replace(
        result,
        positive_class=NASTY,
        notes=(f"Column {NASTY} is constant and was dropped.",),
        winner=make_trial(0, params={NASTY: NASTY}),
        diagnosis=(Finding(NASTY, "info", NASTY, NASTY, NASTY),),
        metric=NASTY,
        fold_plan=NASTY,
    )
    page = nasty._repr_html_()
    assert "<script" not in page
    assert "<img" not in page
    # positive class, note, name and value of the parameter, code, title, cure, metric twice, fold plan
    assert page.count("&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt; &amp; &lt;img") == 10
    assert NASTY in str(nasty)  # text is left as it is


# The trials


def test_table_has_the_names_that_mlflow_shows(trials):
    """Columns are MLflow's metrics and parameters, beside the number, the state and the reason."""
    logged = [item for trial in trials for item in log_items(trial)]
    metrics = {item.name for item in logged if isinstance(item, LoggedMetric)}
    params = {item.name for item in logged if isinstance(item, Param)}
    assert metrics >= STEPPED
    assert set(trials.to_frame().columns) == (metrics - STEPPED) | params | {"number", "state", "reason"}


def test_table_has_the_values_that_mlflow_shows(trials):
    """One row a trial, in order, with the same numbers; what is unknown is missing."""
    frame = trials.to_frame()
    assert frame["number"].tolist() == [0, 1, 2]
    assert frame["state"].tolist() == ["COMPLETE", "PRUNED", "FAIL"]
    for item in log_items(trials[0]):
        if isinstance(item, LoggedMetric) and item.name not in STEPPED:
            assert frame.loc[0, item.name] == item.value
    assert frame.loc[0, "toy.rate"] == 0.1
    assert frame.loc[1:, ["objective", "nested_loss", "gap", "toy.rate"]].isna().all(axis=None)
    assert frame.loc[2, "reason"] == "ValueError: no"


def test_params_are_those_the_run_chose(result):
    """What the config leaves open is told as it was chosen, and what it names as it stands."""
    told = params(result, TuningConfig(metric=None, random_state=None, max_trials=9))
    assert (told["metric"], told["random_state"], told["max_trials"]) == (
        result.metric,
        str(result.seed),
        "9",
    )
    assert told["families"] == str(list(result.card.families))
    assert told["task"] == result.task
    assert told["estimate"] == result.estimate.method
    assert params(replace(result, estimate=None), TuningConfig(estimate=None))["estimate"] == "None"
    assert "storage" not in told


def test_trials_are_a_tuple(trials, make_trial):
    """They are a tuple of records, also after pickling, which counts states and can be hashed."""
    assert isinstance(trials, tuple)
    assert pickle.loads(pickle.dumps(trials)) == trials
    assert [trials[0], *trials[1:]] == list(trials)
    assert (len(trials), trials.count("PRUNED")) == (3, 1)
    assert trials == Trials(list(trials))
    assert hash(trials) == hash(Trials(list(trials)))
    assert trials != Trials([make_trial(0)])
    assert repr(trials) == "Trials(3: 1 finished, 1 pruned, 1 failed)"


# The estimate in natural units


@pytest.mark.parametrize("name", ["roc_auc", "average_precision", "accuracy", "balanced_accuracy", "f1"])
def test_score_estimate_turns_over_and_stays_in_its_range(name):
    """A loss of .25 in [-.1, 1.3] is a score of .75 in [0, 1]; the ends swap."""
    estimate = estimate_of(name, 0.25, -0.1, 1.3)
    assert (estimate.value, estimate.low, estimate.high, estimate.loss) == (0.75, 0.0, 1.0, 0.25)
    inside = estimate_of(name, 0.25, 0.125, 0.5)
    assert (inside.low, inside.high) == (0.5, 0.875)


@pytest.mark.parametrize(
    ("name", "task"),
    [("log_loss", "binary"), ("brier", "binary"), ("rmse", "regression"), ("mae", "regression")],
)
def test_loss_estimate_keeps_its_sign_and_is_not_negative(name, task):
    """A loss of .25 in [-.1, 1.3] is itself in [0, 1.3]."""
    estimate = estimate_of(name, 0.25, -0.1, 1.3, task)
    assert (estimate.value, estimate.low, estimate.high, estimate.loss) == (0.25, 0.0, 1.3, 0.25)


def test_r2_estimate_is_at_most_one_and_may_be_negative():
    """A loss of .25 in [-.1, 1.3] is an R2 of .75 in [-.3, 1]."""
    estimate = estimate_of("r2", 0.25, -0.1, 1.3, "regression")
    assert (estimate.value, estimate.high) == (0.75, 1.0)
    assert estimate.low == pytest.approx(-0.3)


def test_scorer_estimate_changes_its_sign_and_is_not_clipped():
    """scikit-learn's scores have no range we know: a loss of .25 in [-.1, 1.3] is -.25 in [-1.3, .1]."""
    estimate = estimate_of("neg_mean_squared_error", 0.25, -0.1, 1.3, "regression")
    assert (estimate.value, estimate.low, estimate.high, estimate.loss) == (-0.25, -1.3, 0.1, 0.25)


def test_estimate_from_one_fold_has_the_range_of_the_metric():
    """An interval without bounds becomes what the metric can be."""
    accuracy, log_loss = (estimate_of(name, 0.3, -math.inf, math.inf) for name in ("accuracy", "log_loss"))
    assert (accuracy.low, accuracy.high) == (0.0, 1.0)
    assert (log_loss.low, log_loss.high) == (0.0, math.inf)


@given(
    st.sampled_from([(name, task) for name, metric in METRICS.items() for task in sorted(metric.tasks)]),
    st.tuples(st.floats(0, 1), st.floats(-2, 0), st.floats(0, 2)),
)
def test_estimate_is_in_order_for_every_metric(pair, drawn):
    """The value lies inside its interval, whichever direction is better."""
    loss, below, above = drawn
    estimate = estimate_of(pair[0], loss, loss + below, loss + above, pair[1])
    assert estimate.low <= estimate.value <= estimate.high


# Did tuning pay


@pytest.mark.parametrize(
    ("difference", "verdict"),
    [
        (Interval(-0.02, -0.03, -0.01), "paid"),
        (Interval(-0.02, -0.05, 0.01), "not shown"),
        (Interval(-0.02, -0.04, 0.0), "not shown"),  # the interval touches 0
        (Interval(-0.02, -math.inf, math.inf), "not shown"),  # a single fold
        (Interval(0.0, 0.0, 0.0), "did not pay"),  # tuning found the default
        (Interval(0.0, -0.01, 0.01), "did not pay"),
        (Interval(0.02, -0.01, 0.05), "did not pay"),
        (Interval(0.02, 0.01, 0.03), "did not pay"),
    ],
)
def test_verdict_on_tuning(difference, verdict):
    """Paid only if the whole interval lies below 0; not paid if the mean is not below 0."""
    assert judge_tuning(difference) == Paid(verdict, difference.value, difference.low, difference.high)


def test_no_verdict_without_a_scored_fold():
    """NaN is neither better nor worse."""
    assert judge_tuning(Interval(math.nan, -math.inf, math.inf)) == Paid("not judged")
