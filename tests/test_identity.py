"""What tells metrics apart: what they do and hold, in any process."""

from __future__ import annotations

import subprocess
import sys
from functools import partial

from sklearn.metrics import fbeta_score, get_scorer, make_scorer

from tuner._metrics.identity import identity

PROGRAM = """
from functools import partial
from sklearn.metrics import fbeta_score, make_scorer
from tuner._metrics.identity import identity
print(identity(make_scorer(partial(fbeta_score, beta=2))))
"""


class Cost:
    """A scorer that is an object."""

    def __init__(self, weight):
        self.weight = weight

    def __call__(self, model, X, y):
        """Score a model."""
        return -self.weight * (model.predict(X) != y).mean()

    def score(self, model, X, y):
        """Score, too."""
        return self(model, X, y)


def scored_by(function):
    """Make a scorer of a function; what it does tells it from one of the same name."""
    return make_scorer(lambda y, p: function(y - p))


def test_names_are_themselves():
    """A metric by its name, or none."""
    assert (identity("roc_auc"), identity(None)) == ("roc_auc", "None")


def test_scorers_are_told_apart_by_what_they_hold():
    """Functions, options, signs and bound objects; the same made twice is one."""
    makers = [
        lambda: make_scorer(fbeta_score, beta=2),
        lambda: make_scorer(fbeta_score, beta=3),
        lambda: make_scorer(fbeta_score, beta=2, greater_is_better=False),
        lambda: make_scorer(partial(fbeta_score, beta=2)),
        lambda: partial(Cost(1), y=1),
        lambda: partial(Cost(1), y=2),
        lambda: Cost(1),
        lambda: Cost(2),
        lambda: Cost(2).score,
        lambda: scored_by(min),
        lambda: scored_by(max),
        lambda: get_scorer("roc_auc"),
    ]
    first, second = ([identity(make()) for make in makers] for _ in range(2))
    assert first == second
    assert len(set(first)) == len(makers)


def test_a_function_inside_a_function_counts():
    """Two functions that differ in a lambda of their bodies, and one that calls itself."""

    def one(model, X, y):  # noqa: ARG001
        return sorted(y, key=lambda each: each)[0]

    def other(model, X, y):  # noqa: ARG001
        return sorted(y, key=lambda each: -each)[0]

    def itself(model, X, y):
        return itself(model, X, y[1:]) if len(y) else 0.0

    assert len({identity(one).split()[1], identity(other).split()[1], identity(itself).split()[1]}) == 3


def test_two_processes_agree():
    """Texts with addresses would make another study in every process."""
    command = [sys.executable, "-W", "error", "-c", PROGRAM]
    told = {subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(2)}
    assert told == {f"{identity(make_scorer(partial(fbeta_score, beta=2)))}\n"}
