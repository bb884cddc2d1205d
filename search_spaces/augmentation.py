"""
What may vary in augmentation: which changed copies of training rows a fit sees beside the rows themselves.

Every strength is a choice with 0 (or False) first: nothing is the default, is tried first, and stays one of a
few choices however long the search runs. So which transforms are allowed is itself searched.

References
----------
.. [1] Shorten, Khoshgoftaar, "A survey on Image Data Augmentation for Deep Learning", Journal of Big Data 6,
   2019.
.. [2] DeVries, Taylor, "Improved Regularization of Convolutional Neural Networks with Cutout", 2017.
.. [3] Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018; for numbers as targets: Yao
   et al., "C-Mixup: Improving Generalization in Regression", NeurIPS 2022.
.. [4] Chawla et al., "SMOTE: Synthetic Minority Over-sampling Technique", JAIR 16, 2002.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

from search_spaces.dimensions import Categorical, Dimension, Int, Scalar
from search_spaces.space import Condition, SearchSpace

T = TypeVar("T")

# Which kind of copies. Where the rows are no images it is "none", unless `search_space` asks for "table".
AUGMENT = Categorical(("none", "image", "table"), simpler="none")

IMAGE: dict[str, Dimension] = {
    # Changed copies of every image. More are rarely worse and cost as many times the fit.
    "augment_copies": Int(1, 8, log=True, default=4),
    # Up to so large a part of the side, whole pixels, one at least.
    "augment_shift": Categorical((0.0, 0.1, 0.2)),
    # Degrees, either way; at 30 a 1 becomes a 7.
    "augment_rotate": Categorical((0.0, 10.0, 20.0)),
    # Larger or smaller by up to this part.
    "augment_zoom": Categorical((0.0, 0.1, 0.2)),
    # Half of the copies are mirrored. Right for cats, wrong for digits.
    "augment_flip_horizontal": Categorical((False, True)),
    "augment_flip_vertical": Categorical((False, True)),
    # Contrast by up to this part, brightness by up to this part of the range.
    "augment_contrast": Categorical((0.0, 0.2)),
    # The side of a square that is blotted out, as a part of the image's [2].
    "augment_cutout": Categorical((0.0, 0.25)),
}

TABLE: dict[str, Dimension] = {
    # Standard deviation of Gaussian noise, in robust spreads of the column.
    "augment_noise": Categorical((0.0, 0.05, 0.2)),
    # The share of cells that are taken from another row, or are set to missing.
    "augment_swap": Categorical((0.0, 0.05, 0.2)),
    "augment_mask": Categorical((0.0, 0.05, 0.2)),
    # Both parameters of the Beta distribution that two rows are mixed by [3].
    "augment_mixup": Categorical((0.0, 0.2, 1.0)),
    # Rows between neighbours of a rarer class, until all classes are as frequent [4]. Strong learners rarely
    # gain by it.
    "augment_smote": Categorical((False, True)),
}

DIMENSIONS: dict[str, Dimension | Scalar] = {"augment": AUGMENT, **IMAGE, **TABLE}
CONDITIONS = {
    **dict.fromkeys(IMAGE, Condition("augment", "image")),
    **dict.fromkeys(TABLE, Condition("augment", "table")),
}
LIMITS = {"augment_copies": (1.0, 64.0)}


def augmentation_of(params: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """Return the kind and the strengths above 0 of a configuration; empty where there is none."""
    if params.get("augment", "none") == "none":
        return {}
    chosen = {name: value for name, value in params.items() if name.startswith("augment") and value}
    strengths = set(chosen) - {"augment", "augment_copies"}
    return chosen if strengths else {}


def without(space: SearchSpace) -> SearchSpace:
    """Return a space that knows no augmentation."""
    return replace(
        space,
        dimensions=others(space.dimensions),
        conditions=others(space.conditions),
        limits=others(space.limits),
    )


def others(mapping: Mapping[str, T]) -> dict[str, T]:
    """Return what is not about augmentation of a mapping of parameters."""
    return {name: value for name, value in mapping.items() if name not in DIMENSIONS}


FIRST: tuple[dict[str, Scalar], ...] = (
    {"augment": "image", "augment_shift": 0.1},
    {"augment": "image", "augment_flip_horizontal": True},
    {"augment": "image", "augment_rotate": 10.0, "augment_zoom": 0.1},
)
"""Partial configurations that are tried by rule where the rows are images: one kind of transform each."""
