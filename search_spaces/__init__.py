"""
What may vary: dimensions, search spaces, and one module a family. Imports the standard library only.

Examples
--------
>>> from search_spaces import SPACES, Int
>>> space = SPACES["lightgbm"].override({"num_leaves": Int(4, 64, log=True), "learning_rate": 0.05})
>>> space.default()["num_leaves"], space.default()["learning_rate"]
(31, 0.05)
"""

from __future__ import annotations

from search_spaces import augmentation, extra_trees, kernel, lightgbm, linear, mlp
from search_spaces.dimensions import Categorical, Dimension, Float, Int, Scalar
from search_spaces.errors import SpaceError
from search_spaces.from_toml import dimension_from_toml
from search_spaces.space import Condition, SearchSpace

_MODULES = (lightgbm, linear, extra_trees, kernel, mlp)

SPACES: dict[str, SearchSpace] = {module.SPACE.family: module.SPACE for module in _MODULES}
"""The space of every family, by name."""

PORTFOLIOS: dict[str, tuple[dict[str, Scalar], ...]] = {
    module.SPACE.family: module.PORTFOLIO for module in _MODULES
}
"""Known-good partial configurations of every family, by name."""

DEFAULT_FAMILIES = ("lightgbm", "linear", "extra_trees", "kernel", "mlp")
"""The families that are searched unless others are named."""

COSTLY_FAMILIES = ("mlp",)
"""Those of them that images, sparse rows and large tables go without, unless named: they take long there."""

__all__ = [
    "COSTLY_FAMILIES",
    "DEFAULT_FAMILIES",
    "PORTFOLIOS",
    "SPACES",
    "Categorical",
    "Condition",
    "Dimension",
    "Float",
    "Int",
    "Scalar",
    "SearchSpace",
    "SpaceError",
    "augmentation",
    "dimension_from_toml",
]
