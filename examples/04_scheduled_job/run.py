"""A scheduled job: six weeks of rentals, a change in the fourth, and what the scheduler's command decides.

    python examples/04_scheduled_job/run.py

Offline, under a minute; all is written to a temporary folder. Every week rows are appended and the command is
called once, as cron or systemd would do (see README.md beside this file). In the fourth week the city opens a
bridge: temperature matters less, rain more. The champion does worse than its estimate promised, a challenger
is tuned and meets it on rows neither has seen. At the end the promotion is taken back.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from tuner.schedule import RetuneOutcome, retune_job, rollback_job

N_WEEKS, FIRST_CHANGED, ROWS_A_WEEK = 6, 4, 168


def rentals(week: int) -> pd.DataFrame:
    """Return the hours of one week."""
    generator = np.random.default_rng(week)
    warm, rain = generator.normal(15, 6, ROWS_A_WEEK), generator.gamma(1, 1, ROWS_A_WEEK)
    hour = np.arange(ROWS_A_WEEK) % 24
    changed = week >= FIRST_CHANGED
    mean = 60 + (1 if changed else 4) * warm - (25 if changed else 5) * rain + 30 * np.sin(hour / 24 * np.pi)
    counts = np.maximum(mean + generator.normal(0, 8, ROWS_A_WEEK), 0)
    return pd.DataFrame({"temperature": warm, "rain": rain, "hour": hour, "rentals": counts}).round(1)


def line(name: str, outcome: RetuneOutcome) -> str:
    """Return what was decided and from what."""
    summary = outcome.summary
    check = summary["check"] or {}
    loss, promised = (
        f"{each['value']:.1f} [{each['low']:.1f}, {each['high']:.1f}]" if each else "-"
        for each in (check.get("loss"), check.get("promised"))
    )
    moved_by = ", ".join(each["code"] for each in summary["reasons"] if each["severity"] != "info") or "-"
    version = summary["champion"]["version"]
    return f"{name:<10}{moved_by:<10}{loss:<20}{promised:<20}{outcome.decision:<13}version {version}"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        job = Path(folder) / "job.toml"
        shutil.copy(Path(__file__).with_name("job.toml"), job)
        print(f"{'week':<10}{'moved by':<10}{'loss on new rows':<20}{'promised':<20}{'decision':<13}champion")
        for week in range(1, N_WEEKS + 1):
            rows = pd.concat([rentals(each) for each in range(1, week + 1)])
            rows.to_csv(job.with_name("rentals.csv"), index=False)
            print(line(f"2026-W{week:02}", retune_job(job, run_key=f"2026-W{week:02}")))
        print(line("rollback", rollback_job(job)))
        again = retune_job(job, run_key=f"2026-W{N_WEEKS:02}")
        print(f"\nThe last week's command once more: done before ({again.was_done}), nothing is done twice.")


if __name__ == "__main__":
    main()
