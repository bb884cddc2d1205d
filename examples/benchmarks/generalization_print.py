"""The report as text and as one JSON object."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from generalization_report import (
    RIGHT_FOLDS,
    Aggregate,
    Bias,
    Overtuning,
    aggregate,
    average_ranks,
    claim_bias,
    losses,
    median_of,
    overtuning,
    share_clearly_worse,
    share_worse,
    table_ratios,
)
from generalization_results import Result

SHIFTED = "tables with time or groups"


def print_report(
    results: Sequence[Result], methods: Sequence[str], missing: Mapping[str, str], *, baseline: str
) -> None:
    """Print losses, ratios, aggregates and what else was recorded; name everything that is not there."""
    print_losses(results, methods)
    print_ratios(results, methods, baseline)
    for title, part, against in comparisons(results, baseline):
        print_aggregates(f"{title}, against {against}", part, methods, against)
    for title, part in parts(results).items():
        print_runs(title, part, methods)
    print(
        "worse: share of runs with a larger loss than the default's [95%]; clearly: by 1% and two standard\n"
        "errors of the test rows; claim: (claim - test) / test\n"
        "loss, negative: too much was promised (standard error over tables); beyond dflt: log(claim / test)\n"
        "of the procedure minus the same of the default, on the same folds; overtuned: share of runs by the\n"
        "part of possible gain that was lost again; of gain: >= 1 among runs in which something was better\n"
        "than the first; no gain: share of the other runs\n"
    )
    for method, commits in commits_of(results, methods).items():
        print(f"{method} was measured at {', '.join(f'{name} ({n})' for name, n in commits.items())}")
    for each in results:
        if each.failed and each.method in methods:
            print(f"failed: {each.table} seed {each.seed} {each.method}: {each.failed}")
    for name, reason in all_missing(results, methods, missing).items():
        print(f"missing: {name}: {reason}")


def all_missing(
    results: Sequence[Result], methods: Sequence[str], missing: Mapping[str, str]
) -> dict[str, str]:
    """Return what is missing and why: known reasons, and methods without any cell, failed or not."""
    silent = set(methods) - {each.method for each in results}
    return {**dict.fromkeys(sorted(silent), "no results"), **missing}


def parts(results: Sequence[Result]) -> dict[str, list[Result]]:
    """Return the results of all tables, of plain ones and of those with time or groups, by title."""
    plain = [each for each in results if each.split == "iid"]
    shifted = [each for each in results if each.split != "iid"]
    whole = list(results) if plain and shifted else []
    titled = {"all tables": whole, "plain tables": plain, SHIFTED: shifted}
    return {title: part for title, part in titled.items() if part}


def comparisons(results: Sequence[Result], baseline: str) -> list[tuple[str, list[Result], str]]:
    """Return title, results and baseline of every aggregate; right folds are a baseline where they differ."""
    compared = [(title, part, baseline) for title, part in parts(results).items()]
    shifted = parts(results).get(SHIFTED, [])
    if baseline != RIGHT_FOLDS and losses(shifted, RIGHT_FOLDS):
        compared.append((SHIFTED, shifted, RIGHT_FOLDS))
    return compared


def print_losses(results: Sequence[Result], methods: Sequence[str]) -> None:
    found = {method: losses(results, method) for method in methods}
    print(f"{'mean test loss':18s}" + "".join(_cell(method, method) for method in methods))
    for table, split in _tables(results).items():
        row = f"{table + ('' if split == 'iid' else ' (' + split + ')'):18.18s}"
        for method in methods:
            values = [loss for (name, _), loss in found[method].items() if name == table]
            row += _cell(f"{np.mean(values):.4f}" if values else "-", method)
        print(row)
    print()


def print_ratios(results: Sequence[Result], methods: Sequence[str], baseline: str) -> None:
    others = [method for method in methods if method != baseline]
    ratios = {method: table_ratios(results, method, baseline) for method in others}
    print(f"log(loss / {baseline}): mean over seeds +- 2 paired SE, negative is better")
    print("! worse beyond 1% and that, ? one seed")
    print(f"{'':18s}" + "".join(_cell(method, method, 17) for method in others))
    for table in _tables(results):
        row = f"{table:18.18s}"
        for method in others:
            ratio = ratios[method].get(table)
            text = "-"
            if ratio is not None:
                mark = {True: "!", False: " ", None: "?"}[ratio.is_worse]
                text = f"{ratio.mean:+.3f} +- {2 * ratio.standard_error:.3f}{mark}"
            row += _cell(text, method, 17)
        print(row)
    print()


def print_aggregates(title: str, results: Sequence[Result], methods: Sequence[str], baseline: str) -> None:
    ranks, n_ranked = average_ranks(results, methods)
    width = max(map(len, methods))
    print(f"{title} (ranks: {n_ranked} tables)")
    print(
        f"{'method':{width}s} tables {'mean [95%]':>24s} {'median [95%]':>24s}  p     wins  rank  worst"
        f"{'':24s} worse on"
    )
    for method in methods:
        rank = f"{ranks[method]:4.2f}" if method in ranks else "   -"
        found = aggregate(table_ratios(results, method, baseline))
        if method == baseline or found is None:
            print(f"{method:{width}s} {'' if method == baseline else 'no pair':71s}{rank}")
            continue
        print(f"{method:{width}s} {_aggregate_text(found, rank)}")
    print()


def _aggregate_text(found: Aggregate, rank: str) -> str:
    mean = f"{found.mean:+.3f} {_interval(found.mean_interval)}"
    median = f"{found.median:+.3f} {_interval(found.median_interval)}"
    worst = f"{found.worst:+.3f} {found.worst_table}"
    worse = "?" if found.worse_on is None else str(len(found.worse_on))
    worse += f": {', '.join(found.worse_on)}" if found.worse_on else ""
    return (
        f"{found.n_tables:6d} {mean:>24s} {median:>24s}  {found.p_value:.3f} {found.wins:4.0%}  "
        f"{rank}  {worst:28s}  {worse}"
    )


def commits_of(results: Sequence[Result], methods: Sequence[str]) -> dict[str, dict[str, int]]:
    """Return how many cells of a method are of which commit, of those methods that span several."""
    counts = {
        method: Counter(each.details.get("commit", "?") for each in results if each.method == method)
        for method in methods
        if method.startswith("ours")
    }
    return {method: dict(found) for method, found in counts.items() if len(found) > 1}


def _percents(ends: tuple[float, float]) -> str:
    return f"{f'[{ends[0]:.0%}, {ends[1]:.0%}]':>11s}"


def _interval(ends: tuple[float, float]) -> str:
    return f"[{ends[0]:+.3f}, {ends[1]:+.3f}]"


def print_runs(title: str, results: Sequence[Result], methods: Sequence[str]) -> None:
    width = max(map(len, methods))
    print(title)
    print(
        f"{'method':{width}s} runs failed  worse     [95%]   clearly     [95%]"
        "     claim bias (s.e.)  absolute  beyond dflt"
        "   overtuned: >0  >=.5   >=1      [95%]   of gain  no gain"
        "   rows/s  took, s (longest)  trials"
    )
    for method in methods:
        mine = [each for each in results if each.method == method]
        done = [each for each in mine if each.loss is not None]
        if not mine:
            continue
        worse, ends = share_worse(results, method)
        clearly, clear_ends = share_clearly_worse(results, method)
        longest = max((each.took for each in done if each.took is not None), default=math.nan)
        print(
            f"{method:{width}s} {len(done):4d} {len(mine) - len(done):6d} {worse:6.0%} {_percents(ends)}"
            f"   {clearly:6.0%} {_percents(clear_ends)}"
            f"   {_claim_text(claim_bias(results, method))}"
            f"  {_overtuned_text(overtuning(results, method)):>58s}"
            f"  {median_of(results, method, 'rows_per_second'):8,.0f}"
            f"  {median_of(results, method, 'took'):8.1f} ({longest:.1f})"
            f"  {median_of(results, method, 'trials'):6.0f}"
        )
    print()


def _claim_text(bias: Bias | None) -> str:
    if bias is None:
        return f"{'-':>17s} {'-':>9s} {'-':>12s}"
    beyond = f"{'-':>12s}" if bias.beyond_default is None else f"{bias.beyond_default:+12.3f}"
    return f"{bias.mean:+8.1%} ({bias.standard_error:5.1%}) {bias.mean_absolute:9.1%} {beyond}"


def _overtuned_text(over: Overtuning | None) -> str:
    if over is None:
        return "-"
    return (
        f"{over.above_0:4.0%}  {over.above_half:4.0%}  {over.above_1:4.0%} "
        f"{_percents(over.above_1_interval)}  {over.above_1_of_progress:7.0%}  {over.no_progress:7.0%}"
    )


def summary(
    results: Sequence[Result], methods: Sequence[str], missing: Mapping[str, str], *, baseline: str
) -> dict[str, Any]:
    """Return the figures as one JSON-able object; NaN and infinities become None."""
    aggregates = [
        {
            "tables": title,
            "against": against,
            "ranks": average_ranks(part, methods)[0],
            "methods": {
                method: asdict(found)
                for method in methods
                if (found := aggregate(table_ratios(part, method, against))) and method != against
            },
        }
        for title, part, against in comparisons(results, baseline)
    ]
    return _plain(
        {
            "baseline": baseline,
            "aggregates": aggregates,
            "log_ratios": {
                method: {table: asdict(ratio) for table, ratio in found.items()}
                for method in methods
                if method != baseline and (found := table_ratios(results, method, baseline))
            },
            "runs": {
                title: {method: _run_figures(part, method) for method in methods if losses(part, method)}
                for title, part in parts(results).items()
            },
            "failed": [[each.table, each.seed, each.method, each.failed] for each in results if each.failed],
            "missing": all_missing(results, methods, missing),
        }
    )


def _run_figures(results: Sequence[Result], method: str) -> dict[str, Any]:
    bias, over = claim_bias(results, method), overtuning(results, method)
    return {
        "runs": len(losses(results, method)),
        "worse_than_default": share_worse(results, method),
        "clearly_worse_than_default": share_clearly_worse(results, method),
        "commits": commits_of(results, [method]).get(method, {}),
        "claim_bias": asdict(bias) if bias else None,
        "overtuning": asdict(over) if over else None,
        "rows_per_second": median_of(results, method, "rows_per_second"),
        "took": median_of(results, method, "took"),
        "trials": median_of(results, method, "trials"),
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value


def _tables(results: Sequence[Result]) -> dict[str, str]:
    return {each.table: each.split for each in results}


def _cell(text: str, method: str, least: int = 9) -> str:
    return f" {text:>{max(least, len(method))}s}"
