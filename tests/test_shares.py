"""Members of the ensemble and their shares, by hand and as invariants."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuner._decisions import shares as _shares
from tuner._decisions.shares import Fits, blend, blend_fits, choose_members


def test_the_elected_the_best_of_families_then_the_next_best():
    """Elected 0; bests by loss are 1 (a, .2), 3 (c, .4), 2 (b, .5): four, so nobody is filled up."""
    assert choose_members(["a", "a", "b", "c"], [0.3, 0.2, 0.5, 0.4], elected=0) == [0, 1, 3, 2]


def test_one_family_fills_up_to_four():
    """Of one family: its best, then the next three in the order of their losses."""
    losses = [0.5, 0.1, 0.4, 0.2, 0.3, 0.6]
    assert choose_members(["a"] * 6, losses, elected=1) == [1, 3, 4, 2]
    assert choose_members(["a"] * 6, losses, elected=5) == [5, 1, 3, 4]


def test_at_most_max_members_and_the_elected_first():
    """With one member it is the elected one, though another has the smaller loss."""
    assert choose_members(["a", "b"], [0.3, 0.2], elected=0, max_members=1) == [0]
    assert choose_members(["a", "b", "c"], [0.3, 0.2, 0.1], elected=0, max_members=2) == [0, 2]


def test_a_member_without_a_loss_does_not_join():
    """NaN is no loss."""
    assert choose_members(["a", "b", "c"], [0.3, np.nan, 0.1], elected=0) == [0, 2]


def classes_of(n_first, n_second):
    """Two sure members: the first is right on the first rows and wrong on the others, the second opposite."""
    y = np.ones(n_first + n_second)
    first = np.concatenate([np.ones(n_first), np.zeros(n_second)])
    return y, [first, 1.0 - first]


def test_ten_rows_are_won_in_equal_parts_beforehand():
    """Of 40 rows the first wins 30, the second 10; with 5 each beforehand it is 35 to 15 of 50: .7 and .3."""
    y, members = classes_of(30, 10)
    fits = Fits([(y, None)], kind="classes", n_repeats=1)
    found = blend(fits, [[member] for member in members], ["a", "b"], elected=0)
    assert found.weights == pytest.approx((0.7, 0.3), abs=1e-4)


def test_a_row_held_out_twice_counts_once():
    """Two repeats of the same rows give the shares of one."""
    y, members = classes_of(30, 10)
    fits = Fits([(y, None), (y, None)], kind="classes", n_repeats=2)
    found = blend(fits, [[member, member] for member in members], ["a", "b"], elected=0)
    assert found.weights == pytest.approx((0.7, 0.3), abs=1e-4)


def test_weights_count_rows_but_do_not_add_any():
    """Weights 1 and 3 for 30 and 10 rows are 30 to 30, scaled to the 40 rows there are: equal shares."""
    y, members = classes_of(30, 10)
    weights = np.concatenate([np.ones(30), np.full(10, 3.0)])
    fits = Fits([(y, weights)], kind="classes", n_repeats=1)
    found = blend(fits, [[member] for member in members], ["a", "b"], elected=0)
    assert found.weights == pytest.approx((0.5, 0.5), abs=1e-4)


def test_rows_without_weight_do_not_count():
    """30 rows to 10, and 60 of no weight that the second member wins: shares as of the 40."""
    y, members = classes_of(30, 10)
    y, weights = np.ones(100), np.concatenate([np.ones(40), np.zeros(60)])
    first = np.concatenate([members[0], np.zeros(60)])
    fits = Fits([(y, weights)], kind="classes", n_repeats=1)
    found = blend(fits, [[first], [1.0 - first]], ["a", "b"], elected=0)
    assert found.weights == pytest.approx((0.7, 0.3), abs=1e-4)


@pytest.mark.parametrize("kind", ["squares", "absolutes"])
def test_opposite_errors_cancel(kind):
    """One errs by +1, one by -1 everywhere: half of each errs not at all."""
    y = np.arange(50.0)
    found = blend(Fits([(y, None)], kind=kind, n_repeats=1), [[y + 1], [y - 1]], ["a", "b"], elected=0)
    assert found.weights == pytest.approx((0.5, 0.5), abs=1e-4)


def test_squares_by_hand():
    """Errors of 1 and of 2, 20 rows each and never on the same row: a little short of .8.

    The best member's mean square is 20 / 40. Loss: (20 w^2 + 20 * 4 (1 - w)^2) / 2 / .5, smallest at .8. The
    prior takes 5 (log w + log(1 - w)), so the slope is 40 w - 160 (1 - w) - 5 / w + 5 / (1 - w):
    29.2 - 43.2 - 6.8 + 18.5 = -2.3 at .73 and 30 - 40 - 6.7 + 20 = 3.3 at .75.
    """
    first, second = np.tile([1.0, 0.0], 20), np.tile([0.0, 2.0], 20)
    fits = Fits([(np.zeros(40), None)], kind="squares", n_repeats=1)
    assert 0.73 < blend(fits, [[first], [second]], ["a", "b"], elected=0).weights[0] < 0.75


def test_a_share_below_one_percent_is_dropped():
    """On 5,000 rows a member that is wrong everywhere would keep 5 of 5,010 rows: a thousandth."""
    y, members = classes_of(5000, 0)
    fits = Fits([(y, None)], kind="classes", n_repeats=1)
    assert blend(fits, [[member] for member in members], ["a", "b"], elected=1).weights == (1.0, 0.0)


def test_a_member_that_is_hardly_needed_makes_room():
    """Elected a, b wrong everywhere, and a second of family a that knows the other rows: it joins for b."""
    y, (first, second) = classes_of(200, 200)
    finalists = [[np.clip(member, 0.01, 1)] for member in (first, np.zeros(400), second)]
    fits = Fits([(y, None)], kind="classes", n_repeats=1)
    found = blend(fits, finalists, ["a", "b", "a"], elected=0, max_members=2)
    assert found.weights == pytest.approx((0.5, 0.0, 0.5), abs=1e-4)


def test_the_elected_stays_and_who_is_not_needed_leaves_without_a_successor():
    """The elected keeps its place; where all others are wrong everywhere it is left alone."""
    y, (right, wrong) = classes_of(400, 0)
    fits = Fits([(y, None)], kind="classes", n_repeats=1)
    assert blend(fits, [[right], [wrong], [wrong]], ["a", "b", "a"], elected=0).weights == (1.0, 0.0, 0.0)
    kept = blend(fits, [[np.clip(wrong, 0.01, 1)], [right]], ["a", "b"], elected=0).weights
    assert 0.01 < kept[0] < 0.1


def test_multiclass_counts_what_occurred():
    """The member that gives what occurred .9 outweighs the one that gives it .1."""
    y = np.tile([0, 1, 2], 20)
    good = np.full((60, 3), 0.05)
    good[np.arange(60), y] = 0.9
    poor = np.full((60, 3), 0.45)
    poor[np.arange(60), y] = 0.1
    found = blend(Fits([(y, None)], kind="classes", n_repeats=1), [[poor], [good]], ["a", "b"], elected=0)
    assert found.weights[1] > 0.8


def test_thinned_rows_give_nearly_the_same_shares(monkeypatch):
    """Every third of 3,000 rows: the shares move by less than their noise."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 3000).astype(float)
    members = [np.clip(0.5 + (y - 0.5) * a + 0.2 * rng.normal(size=3000), 0.01, 0.99) for a in (0.3, 0.4)]

    def shares():
        fits = Fits([(y, None)], kind="classes", n_repeats=1)
        return blend(fits, [[member] for member in members], ["a", "b"], elected=0).weights

    whole = shares()
    monkeypatch.setattr(_shares, "MAX_ROWS", 1000)
    assert shares() == pytest.approx(whole, abs=0.08)
    assert shares() != whole


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0.02, 0.98)), min_size=2, max_size=9), st.data())
def test_nobody_but_the_elected_has_little(finalists, data):
    """Members are at most as many as were chosen first, and those beside the elected have a tenth or more."""
    y = np.repeat([0.0, 1.0], 100)
    families = [family for family, _ in finalists]
    noise = np.random.default_rng(len(finalists)).uniform(0, 1, (len(finalists), 200))
    skills = np.array([skill for _, skill in finalists])[:, None]
    predictions = [[each] for each in skills * y + (1 - skills) * noise]
    elected = data.draw(st.integers(0, len(finalists) - 1))
    most = data.draw(st.none() | st.integers(1, 5))
    fits = Fits([(y, None)], kind="classes", n_repeats=1)
    found = blend(fits, predictions, families, elected=elected, max_members=most).weights
    errors = fits.errors(np.stack([fits.of(each) for each in predictions])).tolist()
    first = choose_members(families, errors, elected=elected, max_members=most)
    assert sum(found) == pytest.approx(1.0)
    assert np.count_nonzero(found) <= len(first)
    assert all(w == 0 or w >= 0.1 for place, w in enumerate(found) if place != elected)


PROBABILITIES = st.lists(st.floats(0.01, 0.99), min_size=6, max_size=6)


@given(st.lists(PROBABILITIES, min_size=1, max_size=5), st.data())
def test_shares_are_shares(members, data):
    """They sum to one, none is negative, and they do not depend on the members' order."""
    y = np.array([0, 1, 0, 1, 1, 0])
    fits = Fits([(y[:3], None), (y[3:], None)], kind="classes", n_repeats=1)
    predictions = [[np.array(member[:3]), np.array(member[3:])] for member in members]
    families = [str(position) for position in range(len(members))]
    found = blend(fits, predictions, families, elected=0).weights
    assert sum(found) == pytest.approx(1.0)
    assert min(found) >= 0
    order = data.draw(st.permutations(range(len(members))))
    again = blend(fits, [predictions[i] for i in order], [families[i] for i in order], elected=order.index(0))
    assert again.weights == pytest.approx([found[i] for i in order], abs=1e-3)


def test_rows_drawn_twice_count_twice():
    """30 rows to 10, the ten drawn three times: 30 to 30, equal shares; nothing drawn: as they are."""
    y, members = classes_of(30, 10)
    fits = Fits([(y, None)], kind="classes", n_repeats=1)
    rows = np.stack([fits.of([member]) for member in members])
    counts = np.concatenate([np.ones(30, dtype=int), np.full(10, 3)])
    assert blend_fits(fits.drawn(counts), rows, ["a", "b"], elected=0).weights == pytest.approx(
        (0.5, 0.5), abs=1e-4
    )
    none = fits.drawn(np.zeros(40, dtype=int))
    assert blend_fits(none, rows, ["a", "b"], elected=0).weights == pytest.approx((0.7, 0.3), abs=1e-4)


def test_fewer_rows_count_as_much_as_all():
    """Every tenth of 300 rows to 100 is 30 to 10, but counts as 400: (300 + 5) / 410."""
    y, members = classes_of(300, 100)
    fits = Fits([(y, None)], kind="classes", n_repeats=1).thinned(40)
    rows = np.stack([fits.of([member]) for member in members])
    assert rows.shape == (2, 40)
    assert blend_fits(fits, rows, ["a", "b"], elected=0).weights[0] == pytest.approx(305 / 410, abs=1e-4)
