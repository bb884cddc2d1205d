"""
The search space of networks: dense layers with dropout, L1 and L2, trained by Adam.

The number of epochs is no dimension: a trial trains once and is read at many epochs. L1 and L2 together are
the elastic net.

References
----------
.. [1] Holzmüller, Grinsztajn, Steinwart, "Better by Default: Strong Pre-Tuned MLPs and Boosted Trees on
   Tabular Data", NeurIPS 2024 (RealMLP in pytabkit).
.. [2] Erickson et al., "TabArena: A Living Benchmark for Machine Learning on Tabular Data", 2025.
.. [3] Loshchilov, Hutter, "Decoupled Weight Decay Regularization", ICLR 2019.
.. [4] Srivastava et al., "Dropout", Journal of Machine Learning Research 15, 2014.
.. [5] Gorishniy, Rubachev, Babenko, "On Embeddings for Numerical Features in Tabular Deep Learning",
   NeurIPS 2022.
"""

from __future__ import annotations

import math

from search_spaces import augmentation
from search_spaces.dimensions import Categorical, Float, Int, Scalar
from search_spaces.space import SearchSpace

# One layer with a handful of units is nearly linear; above 256 units in 4 layers there are hundreds of
# parameters for every row of our reference size of 1,000. On eight tables 64 units lost less than 128 and
# took two thirds of the time; they also do behind filters.
WIDTH = Int(16, 256, log=True, default=64, simpler="low")
DEPTH = Int(1, 4, default=2, simpler="low")

# Images are read by filters of 3 x 3 pixels before the dense layers see them; else these see the pixels.
CONVOLUTION = Categorical((True, False), simpler=False)

# Units silenced at random while training [4]; above one half small networks learn nothing [2]. Searched
# against fixed to 0, in 60 s, the mean log ratio of test loss was +.013 on sixteen tables, where a search
# judged two thirds of the configurations; on the pixels of digits it was -.30.
DROPOUT = Float(0.0, 0.5, default=0.1, simpler="high")

# A step moves weights towards 0 by the learning rate times this: at 1e-5 a weight loses less than a tenth of
# its size over two thousand steps, at .1 the small ones are gone in tens of steps.
L1 = Float(1e-5, 0.1, log=True, default=1e-5, simpler="high")

# Decoupled weight decay [3]; [2] searches to .05. At 3 and the default rate, a weight that no gradient holds
# is halved in eighty steps.
L2 = Float(1e-4, 3.0, log=True, default=0.01, simpler="high")

# The share of a label that is spread over all classes: [1] takes .1, which helps errors and blurs
# probabilities, so it starts at 0.
LABEL_SMOOTHING = Float(0.0, 0.2, default=0.0, simpler="high")

NORM = Categorical(("none", "layer", "batch"))

# [2] searches 1e-4 to 3e-2. Below 3e-4 two hundred epochs on a few hundred rows do not fit.
LEARNING_RATE = Float(3e-4, 0.03, log=True, default=3e-3)

# Numbers by median and quartiles, bent smoothly below 3 [1]; or embedded as ramps between quantiles [5].
# Pixels have one scale in common.
NUMERIC = Categorical(("robust", "piecewise_linear", "common"))
COLUMNS = Categorical(("robust", "piecewise_linear"))

SPACE = SearchSpace(
    family="mlp",
    dimensions={
        "width": WIDTH,
        "depth": DEPTH,
        "convolution": CONVOLUTION,
        "dropout": DROPOUT,
        "l1": L1,
        "l2": L2,
        "label_smoothing": LABEL_SMOOTHING,
        "norm": NORM,
        "learning_rate": LEARNING_RATE,
        "numeric": NUMERIC,
        **augmentation.DIMENSIONS,
    },
    conditions=augmentation.CONDITIONS,
    limits={
        "width": (1, 4096),
        "depth": (1, 16),
        "dropout": (0.0, 0.95),
        "l1": (0.0, math.inf),
        "l2": (0.0, math.inf),
        "label_smoothing": (0.0, 0.9),
        "learning_rate": (1e-6, 1.0),
        **augmentation.LIMITS,
    },
    for_classes=("label_smoothing",),
    for_dense=("numeric",),  # sparse numbers are only divided by their largest magnitude
    on_images={"numeric": "common"},
    on_tables={"convolution": False, "numeric": COLUMNS, "dropout": 0.0},
    source="TabArena's space for networks around RealMLP's defaults, for tables of 200 to 5,000 rows.",
)

PORTFOLIO: tuple[dict[str, Scalar], ...] = (
    # Strong regularization: for images, where units may be silenced.
    {"width": 128, "depth": 2, "dropout": 0.4, "l2": 0.3, "norm": "layer"},
    # Ramps between quantiles [5] into few units: on 24 tables 6% below the default, on 20 of them.
    {"numeric": "piecewise_linear", "width": 32, "l2": 0.1},
    # In the manner of RealMLP [1], smoothed labels and normalized layers, behind such ramps; half its width,
    # and two layers, lose nothing on a thousand rows and take a tenth of the time.
    {"numeric": "piecewise_linear", "width": 128, "label_smoothing": 0.1, "norm": "batch"},
)
"""Known-good partial configurations, in the order of trial; `SearchSpace.complete` fills them."""
