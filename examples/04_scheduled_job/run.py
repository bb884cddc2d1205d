"""A scheduled job: five weeks of rentals, a change in the fourth, and what the scheduler's command decides.

    python examples/04_scheduled_job/run.py

Offline, under a minute; all is written to a temporary folder. Every week rows are appended and the command is
called once, as cron or systemd would do (see README.md beside this file). While nothing moves, the champion's
configurations are fitted on the rows that have come; nobody searches, although the job may use trees by now.
In the fourth week the city opens a bridge: from then on temperature matters less, rain more. The champion
does worse than its estimate promised, and so do its configurations, fitted on newer rows: lines cannot say
"since the bridge". So a challenger is tuned, and meets the refit on rows neither has seen. At the end the
last step is taken back.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from tuner.schedule import RetuneOutcome, retune_job, rollback_job

N_WEEKS, FIRST_CHANGED, ROWS_A_WEEK = 5, 4, 168
# What the team allowed in the second week; the job file began with lines.
TREES_TOO = 'search.families=["linear", "extra_trees"]'


def rentals(week: int) -> pd.DataFrame:
    """Return the hours of one week."""
    generator = np.random.default_rng(week)
    warm, rain = generator.normal(15, 6, ROWS_A_WEEK), generator.gamma(1, 1, ROWS_A_WEEK)
    hour = np.arange(ROWS_A_WEEK) % 24
    changed = week >= FIRST_CHANGED
    mean = 60 + (1 if changed else 4) * warm - (25 if changed else 5) * rain + 30 * np.sin(hour / 24 * np.pi)
    counts = np.maximum(mean + generator.normal(0, 8, ROWS_A_WEEK), 0)
    columns = {"temperature": warm, "rain": rain, "hour": hour, "bridge": int(changed), "rentals": counts}
    return pd.DataFrame(columns).round(1)


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
            overrides = (TREES_TOO,) if week > 1 else ()
            outcome = retune_job(job, overrides=overrides, run_key=f"2026-W{week:02}")
            print(line(f"2026-W{week:02}", outcome))
        print(line("rollback", rollback_job(job)))
        again = retune_job(job, overrides=overrides, run_key=f"2026-W{N_WEEKS:02}")
        print(f"\nThe last week's command once more: done before ({again.was_done}), nothing is done twice.")


if __name__ == "__main__":
    main()
