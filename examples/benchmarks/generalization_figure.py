"""One picture: the log ratio of every method on every table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from generalization_report import aggregate, table_ratios
from generalization_results import Result


def draw(results: Sequence[Result], methods: Sequence[str], path: Path, *, baseline: str) -> None:
    """Draw a row a table, a dot a method with two paired standard errors, the mean of tables below."""
    from matplotlib.figure import Figure

    ratios = {method: table_ratios(results, method, baseline) for method in methods if method != baseline}
    drawn = {method: found for method, found in ratios.items() if found}
    tables = list(dict.fromkeys(each.table for each in results))
    if not drawn:
        return
    height = 0.22 + 0.11 * len(drawn)
    figure = Figure(figsize=(8, 1.5 + height * (len(tables) + 1)), layout="constrained")
    axes = figure.subplots()
    for place, (method, found) in enumerate(drawn.items()):
        shift = 0.7 * ((place + 0.5) / len(drawn) - 0.5)
        rows = np.array([tables.index(table) for table in found]) + shift
        means = [ratio.mean for ratio in found.values()]
        errors = [2 * np.nan_to_num(ratio.standard_error) for ratio in found.values()]
        dots = axes.errorbar(means, rows, xerr=errors, fmt="o", markersize=4, linewidth=1, label=method)
        whole = aggregate(found)
        assert whole is not None  # there are tables
        low, high = np.nan_to_num(whole.mean_interval, nan=whole.mean)
        axes.plot([low, high], [len(tables) + shift] * 2, color=dots[0].get_color(), linewidth=2.5)
        axes.plot(whole.mean, len(tables) + shift, "D", markersize=5, color=dots[0].get_color())
    axes.axvline(0, color="grey", linewidth=0.8)
    axes.axhline(len(tables) - 0.5, color="grey", linewidth=0.8)
    labels = [*tables, "mean of tables (95%)"]
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.set_xlabel(f"log(test loss / test loss of {baseline}): left is better")
    axes.set_title("Test loss against the baseline: mean over seeds, 2 paired standard errors")
    figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize="small")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    print(f"figure: {path}")
