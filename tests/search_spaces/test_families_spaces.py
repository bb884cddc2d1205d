"""The contract of every family's space, whoever writes it."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces import (
    DEFAULT_FAMILIES,
    PORTFOLIOS,
    SPACES,
    Categorical,
    Float,
    Int,
    Scalar,
    SearchSpace,
)

ROOT = Path(__file__).parents[2]
every_space = pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
every_entry = pytest.mark.parametrize(
    ("space", "entry"),
    [(SPACES[family], entry) for family, entries in PORTFOLIOS.items() for entry in entries],
    ids=[f"{family}-{number}" for family, entries in PORTFOLIOS.items() for number in range(len(entries))],
)


def values_of(dimension: Float | Int | Categorical | Scalar) -> st.SearchStrategy[Any]:
    """Draw any value of a dimension."""
    if isinstance(dimension, Float):
        return st.floats(dimension.low, dimension.high)
    if isinstance(dimension, Int):
        return st.integers(dimension.low, dimension.high)
    if isinstance(dimension, Categorical):
        return st.sampled_from(dimension.choices)
    return st.just(dimension)


def assert_legal(space: SearchSpace, params: dict[str, Scalar]) -> None:
    """Check that a configuration holds exactly the active names, each with an allowed value."""
    assert set(params) == {name for name in space.dimensions if space.active(name, params)}
    for name, value in params.items():
        dimension = space.dimensions[name]
        assert (
            dimension.contains(value)
            if isinstance(dimension, Float | Int | Categorical)
            else value == dimension
        )


def test_tables_name_the_same_families() -> None:
    """Every family has a space under its own name and a portfolio, and the default ones exist."""
    assert SPACES.keys() == PORTFOLIOS.keys()
    assert all(space.family == family for family, space in SPACES.items())
    assert set(DEFAULT_FAMILIES) <= SPACES.keys()


@every_space
def test_default_is_legal(space: SearchSpace) -> None:
    """The default lies inside the bounds and holds what applies."""
    assert space.default()
    assert_legal(space, space.default())


@every_space
@given(data=st.data())
def test_any_point_is_legal_and_completes_to_itself(space: SearchSpace, data: st.DataObject) -> None:
    """Any value of each dimension gives a legal configuration once what does not apply is left out."""
    point = {name: data.draw(values_of(dimension), name) for name, dimension in space.dimensions.items()}
    params = space.complete(point)
    assert_legal(space, params)
    assert params == {name: point[name] for name in params}
    assert space.complete(params) == params


@every_space
def test_conditions_can_be_met(space: SearchSpace) -> None:
    """The parent of each condition exists and can take the value that is asked for."""
    for condition in space.conditions.values():
        parent = space.dimensions[condition.parent]
        assert parent.contains(condition.equals)  # type: ignore[union-attr]


@every_space
def test_every_number_has_limits(space: SearchSpace) -> None:
    """What the library accepts is known for every numeric parameter, so that overrides can be checked."""
    numeric = {name for name, dimension in space.dimensions.items() if isinstance(dimension, Float | Int)}
    assert numeric <= set(space.limits)


@every_space
def test_defaults_are_stated(space: SearchSpace) -> None:
    """No numeric default is left to the midpoint: it is a decision."""
    numbers = [dimension for dimension in space.dimensions.values() if isinstance(dimension, Float | Int)]
    assert all(dimension.default is not None for dimension in numbers)


@every_entry
def test_portfolio_entry_is_kept_whole(space: SearchSpace, entry: dict[str, Scalar]) -> None:
    """Completing a known-good configuration changes and drops none of its values."""
    params = space.complete(entry)
    assert_legal(space, params)
    assert {name: params[name] for name in entry} == entry


@every_space
def test_portfolio_is_diverse(space: SearchSpace) -> None:
    """No two configurations tried first, the default included, are the same."""
    first = [space.default(), *(space.complete(entry) for entry in PORTFOLIOS[space.family])]
    assert all(left != right for left, right in itertools.combinations(first, 2))


def test_import_needs_the_standard_library_only() -> None:
    """Importing the package loads nothing but itself and the standard library."""
    code = (
        "import sys; before = set(sys.modules); import search_spaces\n"
        "loaded = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(sorted(loaded - set(sys.stdlib_module_names)), 'numpy' in sys.modules)"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert output.strip() == "['search_spaces'] False"


def test_lightgbm_default_is_the_library_default() -> None:
    """The default configuration predicts as LightGBM does without parameters, to a thousandth of a spread."""
    lightgbm = pytest.importorskip("lightgbm")
    np = pytest.importorskip("numpy")
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 6))
    y = X[:, 0] + X[:, 1] * X[:, 2] + rng.normal(size=400)
    quiet = {"objective": "regression", "verbosity": -1, "num_threads": 1, "deterministic": True}

    def predict(params: dict[str, Scalar]) -> Any:
        return lightgbm.train(quiet | params, lightgbm.Dataset(X, y), num_boost_round=50).predict(X)

    library = predict({})
    ours = predict(SPACES["lightgbm"].default())
    assert np.abs(ours - library).max() < 1e-3 * library.std()
