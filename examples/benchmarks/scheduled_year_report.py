"""What `scheduled_year.py` found: losses and seconds of three arms, false alarms, one picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t as student

ARMS = ("never", "always", "ours")
COLORS = {"never": "#8a8a8a", "always": "#d07a1d", "ours": "#1d6fb8"}
MARKS = {"refitted": ".", "kept": "x", "promoted": "^"}

Year = Mapping[str, Any]


def paired(year: Year, arm: str, other: str) -> tuple[float, float, float]:
    """Return the mean over periods of log(loss of an arm / loss of another) with its 95% t interval.

    Negative where the first arm is better. Periods are taken as independent.
    """
    ratios = np.array([np.log(each["losses"][arm] / each["losses"][other]) for each in year["year"]])
    mean = float(ratios.mean())
    error = float(ratios.std(ddof=1)) / np.sqrt(len(ratios))
    half = float(student.ppf(0.975, len(ratios) - 1)) * error
    return mean, mean - half, mean + half


def share_of_seconds(year: Year) -> float:
    """Return our seconds after the first period, which is the same for all, as a share of always'."""
    later = year["year"][1:]
    return sum(each["seconds"]["ours"] for each in later) / sum(each["seconds"]["always"] for each in later)


def print_years(years: Sequence[Year]) -> None:
    """Print a line a period and a summary a table."""
    for year in years:
        arms = "".join(f"{arm:>10s}" for arm in ARMS)
        print(f"\n{year['table']}\nperiod  decision    moved by     {arms}")
        for each in year["year"]:
            codes = ", ".join(each["codes"]) or "-"
            losses = "".join(f"{each['losses'][arm]:10.4g}" for arm in ARMS)
            print(f"{each['period']:<7d} {each['decision']:<11s} {codes:<13s}{losses}")
        means = [np.mean([each["losses"][arm] for each in year["year"]]) for arm in ARMS]
        print(f"{'mean loss':33s}" + "".join(f"{mean:10.4g}" for mean in means))
        seconds = [sum(each["seconds"][arm] for each in year["year"]) for arm in ARMS]
        print(f"{'seconds, first period included':33s}" + "".join(f"{value:10.0f}" for value in seconds))
        print(f"seconds after the first period, ours of always: {share_of_seconds(year):.0%}")
        later = Counter(each["decision"] for each in year["year"][1:])
        print(f"decided {dict(later)}, searched {sum(each['studied'] for each in year['year'][1:])} times")
        for other in ("always", "never"):
            mean, low, high = paired(year, "ours", other)
            print(f"log(ours / {other}): {mean:+.3f} [{low:+.3f}, {high:+.3f}]")


def print_alarms(shuffles: Sequence[Mapping[str, Any]]) -> None:
    """Print a line a table: how many calls on rows in random order said that they moved, or searched.

    Refits are told apart: rows do grow, and a refit says no more than that.
    """
    for table in dict.fromkeys(each["table"] for each in shuffles):
        checks = [call for each in shuffles if each["table"] == table for call in each["checks"]]
        why = dict(Counter(code for call in checks for code in call["codes"]))
        decided = dict(Counter(call["decision"] for call in checks))
        print(
            f"{table} shuffled, {len(checks)} calls: {sum(bool(call['codes']) for call in checks)} say moved "
            f"{why or ''}, {sum(call['studied'] for call in checks)} searched; {decided}"
        )


def draw(years: Sequence[Year], path: Path) -> None:
    """Draw the loss of the three arms by period, a panel a table, and mark what re-tunes came to."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4 * len(years), 3.6), layout="constrained")
    panels = figure.subplots(1, len(years), squeeze=False)[0]
    for axes, year in zip(panels, years, strict=True):
        periods = [each["period"] + 1 for each in year["year"]]
        for arm in ARMS:
            losses = [each["losses"][arm] for each in year["year"]]
            axes.plot(periods, losses, color=COLORS[arm], label=arm, linewidth=2 if arm == "ours" else 1.3)
        for decision, mark in MARKS.items():
            marked = [each for each in year["year"] if each["decision"] == decision]
            axes.plot(
                [each["period"] + 1 for each in marked],
                [each["losses"]["ours"] for each in marked],
                mark,
                color=COLORS["ours"],
                label=decision,
            )
        axes.set_title(year["table"])
        axes.set_xlabel("window predicted")
        axes.set_ylim(bottom=0)
    panels[0].set_ylabel("loss on it (lower is better)")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=3 if len(years) == 1 else 6,
        frameon=False,
        fontsize="small",
    )
    figure.savefig(path, dpi=120)
    print(f"figure: {path}")
