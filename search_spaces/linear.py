"""
The search space of linear and logistic regression.

The strength of the penalty is no dimension: a trial fits the whole path of strengths and reads it at many
points.

References
----------
.. [1] Zou, Hastie, "Regularization and variable selection via the elastic net", JRSS B 67, 2005.
.. [2] Friedman, Hastie, Tibshirani, "Regularization Paths for Generalized Linear Models via Coordinate
   Descent", Journal of Statistical Software 33, 2010.
"""

from __future__ import annotations

from search_spaces.dimensions import Categorical, Float, Scalar
from search_spaces.space import Condition, SearchSpace

# Small weights, few weights, or both. The default is scikit-learn's for logistic regression.
PENALTY = Categorical(("l2", "l1", "elastic_net"))

# The share of the L1 penalty. Nearer than .05 to an end the elastic net is the pure penalty, which is a
# choice of its own. A larger share leaves fewer columns in the model.
L1_RATIO = Float(0.05, 0.95, default=0.5, simpler="high")

# How numeric columns are scaled: to mean 0 and variance 1, or by rank to a normal distribution, which no
# outlier can stretch and which makes a linear fit monotone instead of linear in the column.
# Pixels have one scale in common.
NUMERIC = Categorical(("standardize", "quantile_normal", "common"))
COLUMNS = Categorical(("standardize", "quantile_normal"))

SPACE = SearchSpace(
    family="linear",
    dimensions={"penalty": PENALTY, "l1_ratio": L1_RATIO, "numeric": NUMERIC},
    conditions={"l1_ratio": Condition("penalty", "elastic_net")},
    # By definition [1]; the ends are the pure penalties.
    limits={"l1_ratio": (0.0, 1.0)},
    on_images={"numeric": "common"},
    on_tables={"numeric": COLUMNS},
    source="The penalties of glmnet and scikit-learn, times two ways to scale numeric columns.",
)

PORTFOLIO: tuple[dict[str, Scalar], ...] = (
    # The lasso: when few of the columns carry signal [2].
    {"penalty": "l1"},
    # Groups of correlated columns enter together [1].
    {"penalty": "elastic_net", "l1_ratio": 0.5},
    # Heavy tails and outliers: ranks instead of values.
    {"penalty": "l2", "numeric": "quantile_normal"},
)
"""Known-good partial configurations, in the order of trial; `SearchSpace.complete` fills them."""
