"""What augmentation brings on small images: digits, searched with it and without, on redrawn splits.

    python examples/benchmarks/augmentation.py --seconds 60 --out FILE

600 rows to tune, 1,197 to test; a seed redraws the split. Both searches have the same families, trials or
seconds, and seed; the one without augmentation fixes it to "none". Families are those that images get by
default, or those named. Cells are kept in ``--out`` as JSON lines, so the benchmark can be interrupted. The
last line printed is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from provenance import commit
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from search_spaces import SPACES
from tuner import TuningConfig, tune

N_TUNE = 600
# In the order of trial: networks gain most by augmentation.
FAMILIES = ("lightgbm", "mlp", "kernel", "extra_trees", "linear")
SHIFTS, FLIPS = ("augment_shift",), ("augment_flip_horizontal", "augment_flip_vertical")


def main() -> None:
    arguments = parse_arguments()
    out = Path(arguments.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    done = {(row["seed"], row["augments"]): row for row in read(out) if is_same(row, arguments)}
    for seed in range(arguments.seeds):
        for augments in (True, False):
            if (seed, augments) not in done:
                done[seed, augments] = cell(seed, arguments, augments=augments)
                with out.open("a") as file:
                    file.write(json.dumps(done[seed, augments]) + "\n")
    report(done, arguments.seeds)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--families", nargs="+", default=list(FAMILIES), choices=FAMILIES)
    limit = parser.add_mutually_exclusive_group(required=True)
    limit.add_argument("--trials", type=int)
    limit.add_argument("--seconds", type=float)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--out", default=str(Path(__file__).parent / "results" / "augmentation.jsonl"))
    return parser.parse_args()


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def is_same(row: dict[str, Any], arguments: argparse.Namespace) -> bool:
    return all(row[name] == getattr(arguments, name) for name in ("families", "trials", "seconds"))


def cell(seed: int, arguments: argparse.Namespace, *, augments: bool) -> dict[str, Any]:
    """Tune on one split and return the test error and what the elected configuration allows."""
    images, labels = load_digits(return_X_y=True)
    X, X_test, y, y_test = train_test_split(
        images.reshape(-1, 8, 8), labels, train_size=N_TUNE, random_state=seed, stratify=labels
    )
    augmenting = [name for name in arguments.families if "augment" in SPACES[name].dimensions]
    config = TuningConfig(
        task="classification",
        families=arguments.families,
        search_space=None if augments else {name: {"augment": "none"} for name in augmenting},
        max_trials=arguments.trials,
        time_budget=arguments.seconds,
        estimate=None,
        random_state=seed,
        tracking=False,
        verbose=0,
    )
    started = time.perf_counter()
    result = tune(X, y, config=config)
    probabilities = result.model.predict_proba(X_test)
    return {
        "seed": seed,
        "augments": augments,
        "families": arguments.families,
        "trials": arguments.trials,
        "seconds": arguments.seconds,
        "took": time.perf_counter() - started,
        "commit": commit(),
        "n_trials": len(result.trials),
        "members": [(member.family, round(member.weight, 2)) for member in result.model.blended.members],
        "error": float(np.mean(probabilities.argmax(axis=1) != y_test)),
        "log_loss": float(-np.log(probabilities[np.arange(len(y_test)), y_test].clip(1e-12)).mean()),
        "best_params": result.best_params,
    }


def allows(row: dict[str, Any], names: tuple[str, ...]) -> bool:
    params = row["best_params"]
    return any(bool(params.get(f"{params['family']}.{name}")) for name in names)


def report(done: dict[tuple[int, bool], dict[str, Any]], n_seeds: int) -> None:
    print("seed   error without   error with   chosen")
    for seed in range(n_seeds):
        with_it, without = done[seed, True], done[seed, False]
        family = with_it["best_params"]["family"]
        chosen = {
            name.removeprefix(f"{family}.augment_"): value
            for name, value in with_it["best_params"].items()
            if "augment_" in name and value
        }
        print(f"{seed:4d} {without['error']:14.4f} {with_it['error']:12.4f}   {family} {chosen}")
    mean = {
        (name, augments): float(np.mean([done[seed, augments][name] for seed in range(n_seeds)]))
        for name in ("error", "log_loss")
        for augments in (True, False)
    }
    picked = sum(
        allows(done[seed, True], SHIFTS) and not allows(done[seed, True], FLIPS) for seed in range(n_seeds)
    )
    summary = {
        "seeds": n_seeds,
        "shifts_and_no_flips": picked,
        "error_with": mean["error", True],
        "error_without": mean["error", False],
        "error_falls_by": 1 - mean["error", True] / mean["error", False],
        "log_loss_falls_by": 1 - mean["log_loss", True] / mean["log_loss", False],
    }
    print(
        f"shifts and no flips in {picked} of {n_seeds} seeds, expected 9 of 10; "
        f"error falls by {summary['error_falls_by']:.0%}, expected 30%"
    )
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
