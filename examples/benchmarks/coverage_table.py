"""What `coverage.py` found: intervals by rows, and a table of coverage, width and bias."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import binomtest, norm

Z = float(norm.ppf(0.975))


def interval_by_rows(losses: Sequence[float], groups: Sequence[int], *, squared: bool) -> list[float]:
    """Return the 95% interval by the central limit theorem for cross-validation.

    mean +- 1.96 * sqrt(sum over groups of (sum of the deviations of its rows)^2) / n; where every row is a
    group of its own, that is the standard deviation of all rows over sqrt(n). It is about the mean loss of
    the models of the folds, and assumes that they hardly depend on any one row.

    Parameters
    ----------
    losses : sequence of float
        One a row; squared where ``squared`` says so, and then the ends are roots.
    groups : sequence of int
        The group of each row.
    """
    values = np.asarray(losses, dtype=float)
    _, members = np.unique(groups, return_inverse=True)
    sums = np.bincount(members, weights=values - values.mean())
    half = Z * float(np.sqrt((sums**2).sum())) / len(values)
    ends = np.array([values.mean() - half, values.mean() + half])
    return [float(end) for end in (np.sqrt(np.maximum(ends, 0)) if squared else ends)]


def print_table(lines: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Print a row for every cell and kind of interval, and the pooled coverage; return the latter."""
    cells = defaultdict(list)
    for line in lines:
        cells[line["key"].rpartition("/")[0]].append(line)
    print(
        "coverage of the delivered model's loss [99% Clopper-Pearson], of the procedure's, bias of the claim"
    )
    print(f"{'cell':34s} {'interval':9s} runs  {'model':18s} procedure   width   bias")
    hits: dict[str, list[bool]] = defaultdict(list)
    for name in sorted(cells):
        method = name.rpartition("/")[2]
        for kind in dict.fromkeys(kind for run in cells[name] for kind in run["intervals"]):
            runs = [run for run in cells[name] if kind in run["intervals"]]
            model, procedure = (
                [run["intervals"][kind][0] <= truth <= run["intervals"][kind][1] for run, truth in pairs]
                for pairs in (_with_own_truth(runs), _with_common_truth(runs))
            )
            hits[f"{method}/{kind}/model"] += model
            hits[f"{method}/{kind}/procedure"] += procedure
            low, high = binomtest(sum(model), len(model)).proportion_ci(0.99, method="exact")
            width = np.mean([run["intervals"][kind][1] - run["intervals"][kind][0] for run in runs])
            share = f"{np.mean(model):.2f} [{low:.2f}, {high:.2f}]"
            print(
                f"{name:34s} {kind:9s} {len(runs):4d}  {share:18s} {np.mean(procedure):9.2f} {width:7.3f} "
                f"{_bias(runs, kind):+6.1%}"
            )
    pooled = {key: {"coverage": float(np.mean(each)), "runs": len(each)} for key, each in hits.items()}
    for key, found in pooled.items():
        print(f"pooled {key:32s} {found['coverage']:.3f} of {found['runs']}")
    return {"pooled": pooled, "runs": len(lines)}


def _with_own_truth(runs: Sequence[dict[str, Any]]) -> list[tuple[dict[str, Any], float]]:
    """Pair every run with the true loss of the model it delivered."""
    return [(run, run["delivered"]) for run in runs]


def _with_common_truth(runs: Sequence[dict[str, Any]]) -> list[tuple[dict[str, Any], float]]:
    """Pair every run with the mean true loss of models without a fold, for bbc of the delivered ones."""
    truth = float(np.mean([np.mean(run["folds"] or run["delivered"]) for run in runs]))
    return [(run, truth) for run in runs]


def _bias(runs: Sequence[dict[str, Any]], kind: str) -> float:
    """Return the mean claim over the true loss of what it is about, minus one; positive: pessimistic."""
    if kind == "delivered":
        pairs = [(run["delivered_value"], run["delivered"]) for run in runs]
    else:
        pairs = [(run["value"], truth) for run, truth in _with_common_truth(runs)]
    claims, truths = zip(*pairs, strict=True)
    return float(np.mean(claims) / np.mean(truths) - 1)
