"""The families by name; a new one is one file here, one in `search_spaces`, and a line in this table."""

from __future__ import annotations

from tuner.families._base import (
    Check,
    Designed,
    Designs,
    Family,
    PathFit,
    Predictor,
    TogetherFamily,
    TrainingRows,
)
from tuner.families.extra_trees import ExtraTreesFamily
from tuner.families.kernel import KernelFamily
from tuner.families.lightgbm import LightGBMFamily
from tuner.families.linear import LinearFamily
from tuner.families.mlp import MLPFamily

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (LightGBMFamily(), LinearFamily(), ExtraTreesFamily(), KernelFamily(), MLPFamily())
}

__all__ = [
    "FAMILIES",
    "Check",
    "Designed",
    "Designs",
    "Family",
    "PathFit",
    "Predictor",
    "TogetherFamily",
    "TrainingRows",
]
