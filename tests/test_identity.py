"""What tells metrics apart: what they do and hold, in any process."""

from __future__ import annotations

import subprocess
import sys
import threading
from functools import partial

import numpy as np
from sklearn.metrics import fbeta_score, get_scorer, make_scorer

from tuner._metrics.identity import identity

PROGRAM = """
from functools import partial
import numpy as np
import pandas as pd
from sklearn.metrics import fbeta_score, make_scorer
from tuner._metrics.identity import identity
held = [{"some": {1, "two"}}, np.arange(3), pd.Series([1.0, 2.0]), np.random.default_rng(0)]
print(identity(make_scorer(partial(fbeta_score, beta=2), held=held)))
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


class Gain(Cost):
    """Its sign is another one."""

    def score(self, model, X, y):
        """Score the other way round."""
        return -self(model, X, y)


class Weights:
    """Something that a metric may hold."""

    def __init__(self, weight):
        self.weight = weight


def enclosing(value):
    """Return a scorer that encloses a value."""
    return lambda *_: value


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
        lambda: Gain(2),
        lambda: enclosing(np.arange(5000.0)),
        lambda: enclosing(np.where(np.arange(5000) == 2500, 0.0, np.arange(5000.0))),
        lambda: enclosing(Weights(1)),
        lambda: enclosing(Weights(2)),
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


def test_what_cannot_be_looked_into_is_told_by_its_name():
    """A module, a lock, and a list that lies a thousand times in lists: at once, and without an error."""
    deep = []
    for _ in range(1000):
        deep = [deep]
    wide = [1]
    for _ in range(30):
        wide = [wide, wide]
    for value in (np, threading.Lock(), deep, wide):
        assert identity(enclosing(value)) == identity(enclosing(value))


def test_two_processes_agree():
    """Texts with addresses, and sets in the order of a process, would make another study in each."""
    command = [sys.executable, "-W", "error", "-c", PROGRAM]
    told = {subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(3)}
    assert len(told) == 1
