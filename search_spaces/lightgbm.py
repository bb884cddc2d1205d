"""
The search space of LightGBM.

The number of boosting rounds is no dimension: a trial fits the whole path of rounds and reads it at many
points. The parameters keep LightGBM's names, and `SPACE.default()` behaves as the library's own default.

References
----------
.. [1] LightGBM, Parameters, https://lightgbm.readthedocs.io/en/stable/Parameters.html
.. [2] Erickson et al., "TabArena: A Living Benchmark for Machine Learning on Tabular Data", 2025.
.. [3] Rashmi, Gilad-Bachrach, "DART: Dropouts meet Multiple Additive Regression Trees", AISTATS 2015.
.. [4] Geurts, Ernst, Wehenkel, "Extremely randomized trees", Machine Learning 63, 2006.
.. [5] Shi, Li, Li, "Gradient Boosting With Piece-Wise Linear Regression Trees", IJCAI 2019.
"""

from __future__ import annotations

import math

from search_spaces import augmentation
from search_spaces.dimensions import Categorical, Float, Int, Scalar
from search_spaces.space import Condition, SearchSpace

# Two leaves are a stump, the least that is a tree. Above 128 leaves, a leaf holds under ten rows at our
# reference size of 1,000 rows.
NUM_LEAVES = Int(2, 128, log=True, default=31, simpler="low")

# Depth 1 is the stump that two leaves give already. The default's 31 leaves can never lie deeper than 30, so
# 32 is "no limit" for it; the few deeper trees that 128 leaves would allow are chains that isolate outliers.
MAX_DEPTH = Int(2, 32, log=True, default=32, simpler="low")

# Below .01 a path needs thousands of rounds to fit; above .3 the first few trees decide everything.
LEARNING_RATE = Float(0.01, 0.3, log=True, default=0.1)

# Path smoothing demands two rows a leaf. A hundred rows are a tenth of our reference size: few leaves remain.
MIN_DATA_IN_LEAF = Int(2, 100, log=True, default=20, simpler="high")

# Penalties are weighed against sums of gradients and hessians over a leaf's rows. 1e-4 is indistinguishable
# from the library's 0 there and keeps the scale logarithmic. An L1 of 10 silences every leaf whose gradients
# sum to less: for log loss, twenty rows predicted wrong by one half.
LAMBDA_L1 = Float(1e-4, 10.0, log=True, default=1e-4, simpler="high")

# An L2 of 100 shrinks a leaf of twenty rows to a sixth of its value (squared error: 20 / (20 + 100)).
LAMBDA_L2 = Float(1e-4, 100.0, log=True, default=1e-4, simpler="high")

# A leaf of n rows takes the share s / (n + s) of its value from its parent [1]: at 100, five sixths for
# twenty rows. 1e-4 stands for the library's 0. With 1e-2 the loss is the same on average, but near ties of
# splits fall differently: on 33 of 60 simulated tables (n = 200 to 1,000, 50 rounds) some prediction moved by
# more than 1% of the spread, against 5 with 1e-3 and 1 with 1e-4, and the default would not be the library's.
PATH_SMOOTH = Float(1e-4, 100.0, log=True, default=1e-4, simpler="high")

# Below .3 a tree on ten columns sees fewer than three of them, and an interaction is found by luck.
FEATURE_FRACTION = Float(0.3, 1.0, default=1.0, simpler="low")

# Half of the rows, drawn without replacement, vary as much as a bootstrap sample; with fewer, trees on tables
# of hundreds of rows lose more than their averaging gains.
BAGGING_FRACTION = Float(0.5, 1.0, default=1.0, simpler="low")

# A category with fewer rows is lumped with others or left out of a split. The library's 100 silences nearly
# all categories of a table of hundreds of rows: with 10 instead, test losses fell by 2% to 4% on ames and by
# 18% to 40% on splice (two seeds, two configurations); credit_data, nass_cds and crx stayed within noise.
MIN_DATA_PER_GROUP = Int(2, 200, log=True, default=100, simpler="high")

# Columns with at most so many categories are split one category against the rest; those with more, by sorted
# means of the target, which fits more and overfits sooner. Above 64 nearly no column is sorted.
MAX_CAT_TO_ONEHOT = Int(4, 64, log=True, default=4)

# Thresholds drawn at random instead of searched for: more bias, less variance, strong on small tables [4].
EXTRA_TREES = Categorical((False, True))

# Dropout for trees [3]. Random forests are left out: their path of rounds is no path of complexity.
BOOSTING = Categorical(("gbdt", "dart"))

# Below .02 a round drops fewer than two of a hundred trees; above .5 it forgets more than it keeps.
DROP_RATE = Float(0.02, 0.5, log=True, default=0.1, simpler="high")

# The chance that a round drops nothing: from always dropping to plain boosting in nine rounds of ten.
SKIP_DROP = Float(0.0, 0.9, default=0.5, simpler="low")

# The cap on dropped trees. Below 5 it decides instead of the rate; above 100 only the largest rates meet it.
MAX_DROP = Int(5, 100, log=True, default=50, simpler="high")

# Leaves that hold a ridge regression on the numbers they were split by, instead of a constant [5].
LINEAR_TREE = Categorical((False, True))

# The penalty of those regressions, on standardized columns: as many rows. At 100 a leaf of twenty is nearly
# constant; at .01 the least squares of a leaf decide, which few rows cannot bear.
LINEAR_LAMBDA = Float(0.01, 100.0, log=True, default=10.0, simpler="high")

_ONLY_DART = Condition("boosting", "dart")

SPACE = SearchSpace(
    family="lightgbm",
    dimensions={
        "num_leaves": NUM_LEAVES,
        "max_depth": MAX_DEPTH,
        "learning_rate": LEARNING_RATE,
        "min_data_in_leaf": MIN_DATA_IN_LEAF,
        "lambda_l1": LAMBDA_L1,
        "lambda_l2": LAMBDA_L2,
        "path_smooth": PATH_SMOOTH,
        "feature_fraction": FEATURE_FRACTION,
        "bagging_fraction": BAGGING_FRACTION,
        "min_data_per_group": MIN_DATA_PER_GROUP,
        "max_cat_to_onehot": MAX_CAT_TO_ONEHOT,
        "extra_trees": EXTRA_TREES,
        "boosting": BOOSTING,
        "drop_rate": DROP_RATE,
        "skip_drop": SKIP_DROP,
        "max_drop": MAX_DROP,
        "linear_tree": LINEAR_TREE,
        "linear_lambda": LINEAR_LAMBDA,
        **augmentation.DIMENSIONS,
    },
    conditions={
        "drop_rate": _ONLY_DART,
        "skip_drop": _ONLY_DART,
        "max_drop": _ONLY_DART,
        "linear_lambda": Condition("linear_tree", equals=True),
        **augmentation.CONDITIONS,
    },
    for_categories=("min_data_per_group", "max_cat_to_onehot"),
    # Classes were told apart better by them on four tables of eleven, worse on six, at half again the time.
    for_numbers=("linear_tree",),
    # LightGBM would hold sparse rows in full; of large tables it fits linear leaves on one thread.
    costly=("linear_tree",),
    # The ranges of [1]. "Above 0" is written as 1e-6; values that mean "no limit" (`max_depth` and `max_drop`
    # of 0 or -1) are left out, because then a smaller number would not be the smaller limit.
    limits={
        "num_leaves": (2, 131_072),
        "max_depth": (1, math.inf),
        "learning_rate": (1e-6, math.inf),
        "min_data_in_leaf": (2, math.inf),
        "lambda_l1": (0.0, math.inf),
        "lambda_l2": (0.0, math.inf),
        "path_smooth": (0.0, math.inf),
        "feature_fraction": (1e-6, 1.0),
        "bagging_fraction": (1e-6, 1.0),
        "min_data_per_group": (1, math.inf),
        "max_cat_to_onehot": (1, math.inf),
        "drop_rate": (0.0, 1.0),
        "skip_drop": (0.0, 1.0),
        "max_drop": (1, math.inf),
        "linear_lambda": (0.0, math.inf),
        **augmentation.LIMITS,
    },
    on_images={"linear_tree": False},
    source="LightGBM's parameter ranges, narrowed after TabArena's space [2] for 200 to 5,000 rows.",
)

# Two slower entries, of a thousand rounds at .04 and two thousand at .015, took most of the portfolio's time
# and were ahead of these three and the default on one of eight settle tables, by .5%.
PORTFOLIO: tuple[dict[str, Scalar], ...] = (
    # Extremely randomized trees on a share of the columns [4]: decorrelated, strong when rows are few.
    {
        "extra_trees": True,
        "feature_fraction": 0.6,
        "learning_rate": 0.05,
        "num_leaves": 31,
        "min_data_in_leaf": 5,
        "min_data_per_group": 10,
    },
    # Depth 3, "stochastic gradient boosting": weak learners, at most three-way interactions (Friedman, 2002).
    {
        "num_leaves": 8,
        "max_depth": 3,
        "learning_rate": 0.05,
        "bagging_fraction": 0.7,
        "feature_fraction": 0.8,
        "min_data_per_group": 10,
    },
    # Small trees with linear leaves [5]: smooth, where steps would need many.
    {
        "linear_tree": True,
        "num_leaves": 8,
        "learning_rate": 0.05,
        "min_data_in_leaf": 10,
        "feature_fraction": 0.7,
        "min_data_per_group": 10,
    },
    # Four leaves under strong penalties: what is left when signal is weak. Ours, for the noisy end.
    {
        "num_leaves": 4,
        "learning_rate": 0.05,
        "min_data_in_leaf": 30,
        "lambda_l1": 1.0,
        "lambda_l2": 10.0,
        "path_smooth": 10.0,
        "feature_fraction": 0.5,
    },
)
"""Known-good partial configurations, in the order of trial; `SearchSpace.complete` fills them."""
