"""Tune a regressor on a mixed table, then read the result: the honest estimate, the trials, a picture.

    python examples/01_tune_and_read_the_result.py

Offline, about half a minute. The picture shows why the search's best score is not a claim: the running
minimum only falls, the longer the luckier, while the estimate is about rows the whole procedure never saw.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.datasets import load_diabetes

from tuner import TunedRegressor, TuningResult


def diabetes_table() -> tuple[pd.DataFrame, pd.Series]:
    """Return 442 patients and the progression of their disease; strings, categories, missing values."""
    table = load_diabetes(as_frame=True, scaled=False)
    X = table.data.drop(columns=["age", "sex"])
    X["sex"] = table.data["sex"].map({1.0: "a", 2.0: "b"}).astype("category")
    X["decade"] = (table.data["age"] // 10).astype(int).astype(str) + "0s"
    generator = np.random.default_rng(0)
    X.loc[generator.random(len(X)) < 0.1, "bmi"] = np.nan  # some were never weighed
    return X, table.target


def main() -> None:
    X, y = diabetes_table()
    is_new = np.random.default_rng(1).permutation(len(X)) < 100  # rows the tuner never gets

    model = TunedRegressor(time_budget=20, estimate="nested", random_state=0, tracking=False)
    model.fit(X[~is_new], y[~is_new])
    result = model.result_
    print(result)

    estimate = result.estimate
    assert estimate is not None  # we asked for one
    error = float(np.sqrt(np.mean((y[is_new] - model.predict(X[is_new])) ** 2)))
    print(f"\nThe search's best score:  {result.trials.to_frame()['nested_loss'].min():.2f} (not a claim)")
    print(
        f"The honest estimate:      {estimate.value:.2f}, interval {estimate.low:.2f} to {estimate.high:.2f}"
    )
    print(f"On 100 rows kept back:    {error:.2f} (100 rows are noisy, too)")

    print("\nThe first trials; lower is better:")
    shown = [
        "number",
        "family",
        "objective",
        "nested_loss",
        "train_loss",
        "gap",
        "standard_error",
        "path_value",
    ]
    print(result.trials.to_frame()[shown].head().round(3).to_string(index=False))

    path = Path(tempfile.mkdtemp(prefix="tuner-")) / "search.png"
    draw(result, path)
    print(f"\nPicture: {path}")


def draw(result: TuningResult, path: Path) -> None:
    """Draw every trial, the best so far, and the estimate with its interval."""
    estimate = result.estimate
    assert estimate is not None
    trials = result.trials.to_frame().dropna(subset="nested_loss")
    figure = Figure(figsize=(7.5, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for index, (family, rows) in enumerate(trials.groupby("family")):
        axes.scatter(rows["number"], rows["nested_loss"], s=20, alpha=0.6, color=f"C{index}", label=family)
    axes.step(
        trials["number"], trials["nested_loss"].cummin(), where="post", color="black", label="best so far"
    )
    axes.axhspan(estimate.low, estimate.high, color="C2", alpha=0.15, linewidth=0)
    axes.axhline(estimate.value, color="C2", label="honest estimate, 95% interval")
    top = max(float(trials["nested_loss"].quantile(0.95)), estimate.high)
    bottom = min(float(trials["nested_loss"].min()), estimate.low)
    axes.set_ylim(bottom - 0.05 * (top - bottom), top + 0.05 * (top - bottom))
    axes.set(xlabel="trial", ylabel=f"{result.metric}, lower is better")
    axes.set_title("What the search saw, and what is claimed", loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, ncols=2)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
