"""What moved: a test a code, by hand where there is arithmetic, and silence where rows did not move."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from tuner._movement.movement import check_schema, measure_movement
from tuner._movement.reference import Promise, Reference, remember
from tuner._records import Finding
from tuner._report.page import draw_movement
from tuner._rows.data import make_dataset
from tuner._statistics.intervals import Interval


def table(n_rows: int, seed: int, *, shift: float = 0.0) -> pd.DataFrame:
    """Return rows of two numbers and a category."""
    generator = np.random.default_rng(seed)
    size, age = generator.normal(size=(2, n_rows))
    return pd.DataFrame({"size": size + shift, "age": age, "kind": generator.choice(["a", "b"], n_rows)})


def reference_of(frame: pd.DataFrame, *, time=None) -> Reference:
    """Return what a version trained on these rows remembers."""
    target = pd.Series(np.arange(len(frame)) % 2, name="label")
    dataset = make_dataset(frame, target, time=time)
    return remember(frame, target, dataset, seed=0, now=0.0)


def schema_of(reference: Reference, frame: pd.DataFrame) -> tuple[Finding, ...]:
    """Return what is said of the columns."""
    dataset = make_dataset(frame, pd.Series(np.arange(len(frame)) % 2))
    return tuple(check_schema(reference, frame, dataset.schema.columns))


def found(reference: Reference, frame: pd.DataFrame, **options) -> dict[str, str]:
    """Return the severity of each code that is found, but for growth."""
    schema = schema_of(reference, frame)
    movement = measure_movement(reference, frame, schema=schema, n_new_rows=len(frame), **options)
    return {each.code: each.severity for each in movement.findings if each.code != "M008"}


def test_rows_of_the_same_kind_have_not_moved():
    """Of 40 pairs of tables drawn alike, at most 2 (5%) are said to have moved."""
    moved = 0
    for seed in range(40):
        reference = reference_of(table(300, seed))
        movement = measure_movement(reference, table(100, 1000 + seed), n_new_rows=100)
        moved += movement.moved
    assert moved <= 2


def test_loss_beyond_the_noise_of_both_intervals_has_moved():
    """Difference .3; noise of both: sqrt(.2^2 + .2^2) = .283 is less, sqrt(.2^2 + .25^2) = .320 is more.

    Without a promise it is said that nothing can be told.
    """
    reference = reference_of(table(100, 0))
    loss = Interval(0.8, 0.6, 1.0)
    less, more = Interval(0.5, 0.3, 0.7), Interval(0.5, 0.3, 0.75)
    assert found(reference, table(100, 1), loss=loss, promised=less)["M001"] == "warning"
    assert "M001" not in found(reference, table(100, 1), loss=loss, promised=more)
    assert found(reference, table(100, 1), loss=loss, promised=None)["M001"] == "info"


def test_forward_windows_are_judged_by_the_promised_value():
    """With time, [.6, 1.] lies above .5 whatever the promise's width; above .65 it does not."""
    reference = replace(reference_of(table(100, 0)), cut=7.0)
    loss = Interval(0.8, 0.6, 1.0)
    assert "M001" in found(reference, table(100, 1), loss=loss, promised=Interval(0.5, 0.0, 9.0))
    assert "M001" not in found(reference, table(100, 1), loss=loss, promised=Interval(0.65, 0.0, 9.0))


def test_a_loss_measured_on_a_holdout_is_judged_by_the_noise_of_both():
    """The same reference with time: .3 apart, sqrt(.2^2 + .25^2) = .320, so a measured promise is kept."""
    loss, promised = Interval(0.8, 0.6, 1.0), Interval(0.5, 0.3, 0.75)
    windows = replace(reference_of(table(100, 0)), cut=7.0)
    promise = Promise("rmse", 0.5, 0.3, 0.75, 0.5, 0.3, 0.75, 0.95, "holdout", {"family": "linear"}, 1, "s")
    measured = replace(windows, promise=promise)
    assert "M001" in found(windows, table(100, 1), loss=loss, promised=promised)
    assert "M001" not in found(measured, table(100, 1), loss=loss, promised=promised)


@pytest.mark.parametrize("ends", [(-np.inf, np.inf), (0.0, np.inf), (np.nan, np.nan)])
def test_a_loss_without_an_interval_keeps_no_promise(ends):
    """Of four blocks (RMSE: from 0), or of one class: columns decide, and it is said why."""
    loss = Interval(np.nan if np.isnan(ends[0]) else 0.5, *ends)
    told = found(reference_of(table(300, 0)), table(200, 1, shift=2.0), loss=loss,
                 promised=Interval(0.5, 0.4, 0.6))  # fmt: skip
    assert (told["M001"], told["M002"]) == ("info", "warning")


@pytest.mark.parametrize(("promised_low", "is_far"), [(0.41, True), (0.39, False)])
def test_a_loss_far_below_the_promise_asks_about_the_labels(promised_low, is_far):
    """[.2, .4] lies below [.41, .6]; it meets [.39, .6], though .2 apart is beyond sqrt(.1^2 + .11^2)."""
    loss, promised = Interval(0.3, 0.2, 0.4), Interval(0.5, promised_low, 0.6)
    movement = measure_movement(
        reference_of(table(100, 0)), table(100, 1), loss=loss, promised=promised, n_new_rows=100
    )
    said = [(each.code, each.severity) for each in movement.findings if "labels complete" in each.next_step]
    assert said == ([("M001", "info")] if is_far else [])
    assert not movement.moved


@pytest.mark.parametrize(("n_new", "grown"), [(9, False), (10, True)])
def test_growth_counts_from_a_tenth_on_and_is_no_movement(n_new, grown):
    """Of 100 rows 9 more are little and 10 more are growth; neither says that anything moved."""
    movement = measure_movement(reference_of(table(100, 0)), table(60, 1), n_new_rows=n_new)
    assert (movement.has_grown, movement.moved) == (grown, False)


@pytest.mark.parametrize(("n_new", "grown"), [(49, False), (50, True)])
def test_rows_too_few_to_be_judged_are_no_growth(n_new, grown):
    """49 rows are half of a hundred, and fewer than the fifty that a job wants."""
    movement = measure_movement(reference_of(table(100, 0)), table(60, 1), n_new_rows=n_new, min_rows=50)
    assert movement.has_grown is grown


def test_shifted_rows_have_moved_only_where_labels_do_not_decide():
    """A shift by two sd is a warning without labels or without a promise, and an explanation with both."""
    reference = reference_of(table(300, 0))
    shifted = table(200, 1, shift=2.0)
    assert found(reference, shifted)["M002"] == "warning"
    fine = Interval(0.5, 0.4, 0.6)
    assert found(reference, shifted, loss=fine, promised=None)["M002"] == "warning"
    assert found(reference, shifted, loss=fine, promised=fine)["M002"] == "info"


def test_clocks_dates_and_ids_do_not_count():
    """A number that grows with time, a date and a row number are remembered as telling rows apart."""
    frame = table(200, 0)
    days = pd.date_range("2024-01-01", periods=200)
    noise = np.random.default_rng(3).normal(0, 2, 200)
    frame = frame.assign(clock=np.arange(200) + noise, day=days, name=[f"row {i}" for i in range(200)])
    reference = reference_of(frame, time=pd.Series(np.arange(200.0)))
    assert {each.name for each in reference.columns if each.tells_rows_apart} == {"clock", "day", "name"}
    later = table(100, 1).assign(
        clock=np.arange(300, 400),
        day=days[:100] + pd.Timedelta(days=300),
        name=[f"new {i}" for i in range(100)],
    )
    assert "M002" not in found(reference, later)


def test_missing_and_changed_columns_stop_the_champion_and_new_ones_do_not():
    """Without `age`, or with texts in it, it cannot predict; a further column is for information."""
    reference = reference_of(table(100, 0))
    rows = table(60, 1)
    for broken in (rows.drop(columns="age"), rows.assign(age="old")):
        schema = schema_of(reference, broken)
        movement = measure_movement(reference, broken, schema=schema, n_new_rows=60)
        assert not movement.can_predict
        assert movement.moved
    assert found(reference, rows.assign(more=1.0)) == {"M003": "info"}


def test_numbers_that_would_be_categories_have_moved():
    """Texts of numbers: the champion reads them, a refit would take them for names; one word stops it."""
    reference, rows = reference_of(table(100, 0)), table(60, 1)
    texts = rows.assign(age=rows["age"].astype(str))
    assert [(each.severity, each.evidence) for each in schema_of(reference, texts)] == [
        ("warning", "categorical by now: `age`")
    ]
    texts.loc[7, "age"] = "unknown"
    assert [(each.severity, each.evidence) for each in schema_of(reference, texts)] == [
        ("error", "of another kind: `age`")
    ]


def test_unknown_labels_have_moved():
    """A label the champion can never say is a reason to tune again."""
    assert found(reference_of(table(100, 0)), table(60, 1), new_labels=["maybe"]) == {"M003": "warning"}


def test_new_categories_count_beyond_what_rare_ones_let_expect():
    """Half of the rows with an unknown category have moved; among rare names it was to be expected."""
    rows = table(100, 1)
    assert found(reference_of(table(100, 0)), rows.assign(kind=["c", "a"] * 50))["M004"] == "warning"
    rare = table(100, 0).assign(kind=[f"n{i}" if i % 2 else "a" for i in range(100)])  # 50 of 100 occur once
    assert "M004" not in found(reference_of(rare), rows.assign(kind=["c", "a"] * 50))


def test_a_kept_promise_makes_other_shifts_an_explanation():
    """Unknown categories and gaps move nothing where the loss is as promised; without a promise they do."""
    rows = table(100, 1).assign(kind=["c", "a"] * 50, age=np.nan)
    fine = Interval(0.5, 0.4, 0.6)
    with_promise = found(reference_of(table(100, 0)), rows, loss=fine, promised=fine)
    assert (with_promise["M004"], with_promise["M005"]) == ("info", "info")
    without = found(reference_of(table(100, 0)), rows, loss=fine, promised=None)
    assert (without["M004"], without["M005"]) == ("warning", "warning")


def test_missing_rates_count_in_both_directions():
    """From 0 to 40% and from 40% to 0: each interval's nearer end is beyond ten points."""
    whole, holes = table(100, 0), table(100, 1)
    holes.loc[::5, "age"] = np.nan
    holes.loc[1::5, "age"] = np.nan
    assert found(reference_of(whole), holes)["M005"] == "warning"
    assert found(reference_of(holes), whole)["M005"] == "warning"


def test_rows_outside_the_known_range_have_moved():
    """A fifth of the rows far above all training rows."""
    rows = table(100, 1)
    rows.loc[::5, "age"] = 50.0
    assert found(reference_of(table(100, 0)), rows)["M006"] == "warning"


def test_age_counts_beyond_the_limit():
    """31 days are more than 30; 30 are not."""
    reference, rows = reference_of(table(100, 0)), table(60, 1)
    assert found(reference, rows, age_days=31.0, max_age_days=30.0)["M007"] == "warning"
    assert "M007" not in found(reference, rows, age_days=30.0, max_age_days=30.0)


def test_the_figure_names_the_columns():
    """The SVG is one picture, the same for the same movement."""
    movement = measure_movement(reference_of(table(100, 0)), table(60, 1, shift=1.0), n_new_rows=60)
    picture = draw_movement(movement)
    assert picture.count(b"<svg") == 1
    assert picture == draw_movement(movement)
