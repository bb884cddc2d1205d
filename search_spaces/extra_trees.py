"""
The search space of extremely randomized trees.

The size of the trees is no dimension: a trial grows each tree once and reads it at many sizes, as if nodes
with fewer rows than a limit had never been split. The number of trees is no dimension either: more are never
worse.

References
----------
.. [1] Geurts, Ernst, Wehenkel, "Extremely randomized trees", Machine Learning 63, 2006.
.. [2] scikit-learn, ExtraTreesClassifier and ExtraTreesRegressor.
"""

from __future__ import annotations

from search_spaces import augmentation
from search_spaces.dimensions import Categorical, Float, Int, Scalar
from search_spaces.space import SearchSpace

# The share of the columns that compete at a split: one column is a random tree, all of them is the paper's
# advice for regression, the root of their number that for classes [1]; below .1 most splits are noise.
MAX_FEATURES = Float(0.1, 1.0, log=True, default=0.5, simpler="low")

# A leaf of more rows averages noise; above 20 a table of a few hundred rows has few leaves left.
MIN_SAMPLES_LEAF = Int(1, 20, log=True, default=1, simpler="high")

# Thresholds are drawn evenly between the smallest and the largest value of a node: on ranks, heavy tails do
# not push them to where no rows are.
# Pixels have one scale in common.
NUMERIC = Categorical(("standardize", "quantile_normal", "common"))
COLUMNS = Categorical(("standardize", "quantile_normal"))

SPACE = SearchSpace(
    family="extra_trees",
    dimensions={
        "max_features": MAX_FEATURES,
        "min_samples_leaf": MIN_SAMPLES_LEAF,
        "numeric": NUMERIC,
        **augmentation.DIMENSIONS,
    },
    conditions=augmentation.CONDITIONS,
    # The ranges of [2].
    limits={"max_features": (1e-6, 1.0), "min_samples_leaf": (1, 1_000_000), **augmentation.LIMITS},
    for_dense=("numeric",),  # sparse numbers are only divided by their largest magnitude
    on_images={"numeric": "common"},
    on_tables={"numeric": COLUMNS},
    source="scikit-learn's parameters with the advice of Geurts et al. (2006).",
)

PORTFOLIO: tuple[dict[str, Scalar], ...] = (
    # The paper's advice for regression: all columns compete.
    {"max_features": 1.0},
    # Near its advice for classes, on ranks; small leaves off.
    {"max_features": 0.25, "numeric": "quantile_normal", "min_samples_leaf": 2},
)
"""Known-good partial configurations, in the order of trial; `SearchSpace.complete` fills them."""
