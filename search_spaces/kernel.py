"""
The search space of kernel machines: ridge and logistic regression on similarities to a few hundred rows.

The strength of the penalty is no dimension: a trial fits the whole path of strengths and reads it at many
points.

References
----------
.. [1] Williams, Seeger, "Using the Nyström Method to Speed Up Kernel Machines", NeurIPS 2000.
.. [2] Schölkopf, Smola, "Learning with Kernels", MIT Press 2002.
.. [3] Radhakrishnan, Beaglehole, Pandit, Belkin, "Mechanism for feature learning in neural networks and
   backpropagation-free machine learning models", Science 383, 2024.
.. [4] Gorishniy, Rubachev, Babenko, "On Embeddings for Numerical Features in Tabular Deep Learning",
   NeurIPS 2022.
"""

from __future__ import annotations

from search_spaces import augmentation
from search_spaces.dimensions import Categorical, Float, Int, Scalar
from search_spaces.space import SearchSpace

# A bell of the squared distance, smooth, or a cusp of the distance, which follows steps and kinks as well.
SHAPE = Categorical(("gaussian", "laplace"))

# How often the columns are weighed anew by how much the target depends on them [3]; 0: all alike.
RELEVANCE_ROUNDS = Int(0, 3, default=0, simpler="low")

# The width of the bell around a row, exp(-width * squared distance / total variance). Two rows lie twice the
# total variance apart on average: at .02 all are alike and the model is nearly linear, at 5 a row knows its
# closest neighbours only.
WIDTH = Float(0.02, 5.0, log=True, default=0.3, simpler="low")

# Distances are between scaled numbers, or half of them between ranks: with ramps between quantiles beside the
# numbers [4] a small difference counts for more where rows are dense.
# Pixels have one scale in common.
NUMERIC = Categorical(("standardize", "piecewise_linear", "common"))
COLUMNS = Categorical(("standardize", "piecewise_linear"))

SPACE = SearchSpace(
    family="kernel",
    dimensions={
        "width": WIDTH,
        "shape": SHAPE,
        "relevance_rounds": RELEVANCE_ROUNDS,
        "numeric": NUMERIC,
        **augmentation.DIMENSIONS,
    },
    conditions=augmentation.CONDITIONS,
    # Classes were told apart no better by them (three tables), at twice the time.
    for_numbers=("shape", "relevance_rounds"),
    limits={"width": (1e-6, 1e6), "relevance_rounds": (0, 20), **augmentation.LIMITS},
    for_dense=("numeric",),  # sparse numbers are only divided by their largest magnitude
    on_images={"numeric": "common"},
    on_tables={"numeric": COLUMNS},
    source="Kernels around the scale that standardized columns suggest; columns weighed as in [3].",
)

PORTFOLIO: tuple[dict[str, Scalar], ...] = (
    # A cusp, and columns weighed by their relevance: little is lost to columns that say nothing [3].
    {"width": 0.3, "shape": "laplace", "relevance_rounds": 2},
    # Ranks beside values.
    {"width": 0.3, "numeric": "piecewise_linear"},
    # Close neighbours: few columns, wiggly boundaries.
    {"width": 1.5},
)
"""Known-good partial configurations, in the order of trial; `SearchSpace.complete` fills them."""
