"""Names of the array and value types that travel through the package."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating[Any]]
IntArray = NDArray[np.integer[Any]]
BoolArray = NDArray[np.bool_]
Scalar = float | int | bool | str
Task = Literal["binary", "multiclass", "regression"]
Phase = Literal["search", "finalist", "outer_fold"]
State = Literal["COMPLETE", "PRUNED", "FAIL"]
