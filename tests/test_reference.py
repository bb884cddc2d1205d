"""What a version remembers: it survives storage, and rows are known again whatever types they arrive in."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from tuner._metrics.metrics import METRICS
from tuner._movement.reference import MAX_SAMPLE, Promise, Reference, measured_promise, remember
from tuner._records import Configuration, Portion, Recipe
from tuner._rows.data import make_dataset
from tuner._statistics.intervals import Interval


def remembered(frame: pd.DataFrame, target: pd.Series, **roles) -> Reference:
    """Return what a version trained on these rows remembers."""
    return remember(frame, target, make_dataset(frame, target, **roles), seed=0, now=5.0)


def rows() -> tuple[pd.DataFrame, pd.Series]:
    """Return thirty rows with a whole number, a category with gaps and a date."""
    frame = pd.DataFrame(
        {
            "count": np.arange(30) % 7,
            "kind": ["a", None, "b"] * 10,
            "day": pd.date_range("2024-01-01", periods=30),
        }
    )
    return frame, pd.Series(["no", "yes"] * 15, name="label")


PORTIONS = (
    Portion(0.25, Configuration("linear", {"l1_ratio": 0.5}), 3.0),
    Portion(0.75, Configuration("kernel", {}), 1.0),
)
RECIPE = Recipe(PORTIONS, 0.4, 1.5, 2, is_refitted=False)


def test_a_reference_comes_back_as_it_was_stored():
    """Columns, sample, hashes, cut and recipe survive files of bytes."""
    frame, target = rows()
    reference = remembered(frame, target, time=pd.Series(np.arange(30.0)))
    reference = replace(reference, recipe=RECIPE)
    back = Reference.from_files(reference.files())
    assert (back.recipe, back.n_rows) == (RECIPE, 30)
    assert back.columns == reference.columns
    assert back.target == reference.target
    assert (back.cut, back.made, back.inputs) == (29.0, 5.0, ("count", "kind", "day"))
    pd.testing.assert_frame_equal(back.rows, reference.rows, check_dtype=False)
    np.testing.assert_array_equal(back.hashes, reference.hashes)


def test_rows_are_known_again_in_another_order_and_type():
    """Counts as floats, categories as a dtype, a further column: known rows are known, a new one is not."""
    frame, target = rows()
    reference = remembered(frame, target)
    shuffled = frame.sample(frac=1, random_state=0)
    other = shuffled.assign(
        count=shuffled["count"].astype(float), kind=shuffled["kind"].astype("category"), x=1
    )
    assert np.isin(reference.hash(other, target[shuffled.index]), reference.hashes).all()
    changed = frame.assign(count=99)
    assert not np.isin(reference.hash(changed, target), reference.hashes).any()
    assert not np.isin(reference.hash(frame, target.replace({"no": "maybe"})), reference.hashes)[::2].any()


def test_the_sample_is_bounded_and_a_function_of_the_seed():
    """Of 3,000 rows 2,000 are kept, the same ones each time."""
    frame = pd.DataFrame({"x": np.random.default_rng(0).normal(size=3_000)})
    target = pd.Series(np.arange(3_000) % 2)
    one, other = (remembered(frame, target) for _ in range(2))
    assert len(one.rows) == MAX_SAMPLE
    pd.testing.assert_frame_equal(one.rows, other.rows)


def test_a_recipe_names_the_largest_share_first():
    """Shares .25 and .75: a later search begins with the second configuration."""
    assert [each.family for each in RECIPE.configurations] == ["kernel", "linear"]


def test_a_measured_promise_turns_losses_into_natural_units():
    """An AUC loss of .2 [.15, .3] is an AUC of .8 [.7, .85]; winner and study stay."""
    promise = Promise("roc_auc", None, None, None, None, None, None, None, None, {"family": "linear"}, 3, "s")
    measured = measured_promise(
        promise, METRICS["roc_auc"], "worst_slice", Interval(0.2, 0.15, 0.3), 0.95, n_rows=80
    )
    assert (measured.value, measured.low, measured.high) == pytest.approx((0.8, 0.7, 0.85))
    assert measured.interval_of("roc_auc", "worst_slice") == Interval(0.2, 0.15, 0.3)
    assert measured.interval_of("roc_auc", "mean") is None  # the loss of all rows was not promised
    assert measured.interval_of("log_loss", "worst_slice") is None
    assert promise.interval_of("roc_auc", "mean") is None  # nothing was
    assert (measured.method, measured.n_models, measured.study) == ("holdout", 3, "s")


def test_column_facts_by_hand():
    """30 rows: a third missing; of 20 known categories two occur, neither once; numbers lie in [0, 6]."""
    frame, target = rows()
    count, kind, day = remembered(frame, target).columns
    assert (count.low, count.high, count.missing, count.unseen) == (0.0, 6.0, 0.0, 0.0)
    assert (kind.missing, kind.unseen, kind.low) == (1 / 3, 0.0, None)
    assert [each.tells_rows_apart for each in (count, kind, day)] == [False, False, True]
