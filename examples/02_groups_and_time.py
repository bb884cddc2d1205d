"""Groups and time: which folds tell the truth about the rows the model will meet.

    python examples/02_groups_and_time.py

Offline, under a minute. Two synthetic tables with a trap each:

- Farms: every farm has its own level, and its soil readings give the farm away. Random folds put rows of one
  farm on both sides, so a model scores by recognizing the farm. A new farm has no rows to be recognized by.
- Days: the level jumps every 20 days. Random folds let a model read today's level off its neighbours in time.
  The days that follow have no later neighbour.

Each table is tuned twice, without and with the role, and scored on many new farms or on the days that follow.
Read the intervals as well: with few farms or windows an honest one is wide (with time it is a prediction
interval for the next window), while the narrow ones miss the truth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tuner import TunedRegressor

N_FARMS, N_NEW_FARMS, ROWS_A_FARM = 40, 200, 8
N_DAYS, N_NEW_DAYS, DAYS_A_LEVEL = 300, 400, 20


@dataclass(frozen=True)
class Table:
    """Rows to tune on with their role (farm or day), and new rows of the kind the model will meet."""

    X: pd.DataFrame
    y: Any
    role: Any
    X_new: pd.DataFrame
    y_new: Any


def farms(generator: np.random.Generator) -> Table:
    """Return yields of farms; the new rows come from other farms."""
    n_farms = N_FARMS + N_NEW_FARMS
    farm = np.repeat(np.arange(n_farms), ROWS_A_FARM)
    level, soil = generator.normal(0, 2, n_farms), generator.normal(0, 1, (n_farms, 2))
    rain, heat = generator.normal(0, 1, (2, len(farm)))
    readings = soil[farm] + generator.normal(0, 0.05, (len(farm), 2))  # no cause of the yield
    y = level[farm] + rain - heat**2 / 2 + generator.normal(0, 0.5, len(farm))
    X = pd.DataFrame({"rain": rain, "heat": heat, "clay": readings[:, 0], "acidity": readings[:, 1]})
    known = farm < N_FARMS
    return Table(X[known], y[known], farm[known], X[~known], y[~known])


def days(generator: np.random.Generator) -> Table:
    """Return demand by the day; the new rows are the days that follow."""
    day = np.arange(N_DAYS + N_NEW_DAYS)
    price, visitors = generator.normal(0, 1, (2, len(day)))
    level = generator.normal(0, 2, len(day) // DAYS_A_LEVEL)[day // DAYS_A_LEVEL]
    y = level - price + np.abs(visitors) + generator.normal(0, 0.5, len(day))
    X = pd.DataFrame({"price": price, "visitors": visitors, "day": day})
    known = day < N_DAYS
    return Table(X[known], y[known], day[known], X[~known], y[~known])


def compare(name: str, table: Table, role: str, new: str) -> None:
    """Print the estimate and the truth, without and with the role."""
    print(f"{name}: rmse, lower is better")
    print(f"  {'':16s}{'folds that choose':20s}{'estimate':>8s}  {'95% interval':14s}{'on ' + new:>16s}")
    for roles in ({}, {role: table.role}):
        model = TunedRegressor(
            time_budget=None,  # with a number of trials alone, the seed decides everything
            max_trials=3,
            n_folds=3,
            families=["lightgbm"],
            search_space={"lightgbm": {"learning_rate": 0.2, "extra_trees": False}},
            estimate="nested",
            random_state=0,
            tracking=False,
            verbose=0,
        )
        model.fit(table.X, table.y, **roles)
        result = model.result_
        estimate = result.estimate
        assert estimate is not None  # we asked for one
        truth = float(np.sqrt(np.mean((table.y_new - model.predict(table.X_new)) ** 2)))
        label = f"with {role}" if roles else f"without {role}"
        interval = f"{estimate.low:.2f} to {estimate.high:.2f}"
        print(f"  {label:16s}{result.fold_plan:20s}{estimate.value:8.2f}  {interval:14s}{truth:16.2f}")
    print()


def main() -> None:
    compare("Farms", farms(np.random.default_rng(0)), "groups", "new farms")
    compare("Days", days(np.random.default_rng(0)), "time", "later days")


if __name__ == "__main__":
    main()
