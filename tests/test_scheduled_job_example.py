"""The files a scheduler reads: units systemd takes, a cron line that runs, code blocks that parse."""

from __future__ import annotations

import ast
import datetime
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tuner.jobs import job_config, load_job

FOLDER = Path(__file__).parents[1] / "examples" / "04_scheduled_job"
CRON_FIELDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))


def expected_call() -> str:
    """Return what every scheduler must call this week."""
    year, week, _ = datetime.date.today().isocalendar()
    return f"retune job.toml --run-key {year}-W{week:02}"


def call_of(command: str, folder: Path) -> str:
    """Run a command line in a shell whose `tuner` writes down its arguments, and return them."""
    stand_in = folder / "tuner"
    stand_in.write_text(f'#!/bin/sh\necho "$@" > {folder}/called\n')
    stand_in.chmod(0o755)
    path = f"{folder}:{os.environ['PATH']}"
    subprocess.run(["sh", "-c", command], check=True, cwd=folder, env={**os.environ, "PATH": path})
    return (folder / "called").read_text().strip()


def blocks(language: str) -> list[str]:
    """Return the page's code blocks of a language."""
    page = (FOLDER / "README.md").read_text()
    return re.findall(rf"```{language}\n(.*?)```", page, flags=re.DOTALL)


def test_the_job_file_is_a_job_that_can_be_retuned():
    """It names a registered model and a trial store."""
    job = load_job(FOLDER / "job.toml")
    assert (job.tracking.register_as, job_config(job).max_trials) == ("bicycles", 4)
    assert job.storage.url == f"sqlite:///{FOLDER}/tuner.db"


def test_systemd_takes_the_units():
    """`systemd-analyze verify` has nothing to say of service and timer."""
    if shutil.which("systemd-analyze") is None:
        if os.environ.get("CI"):
            pytest.fail("CI has systemd-analyze")
        pytest.skip("systemd-analyze is not installed")
    units = [str(FOLDER / f"tuner-bicycles.{kind}") for kind in ("service", "timer")]
    found = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True)
    about_ours = [line for line in found.stderr.splitlines() if "tuner-bicycles" in line]
    assert (found.returncode, about_ours) == (0, [])


def test_the_timer_makes_up_for_missed_weeks():
    """The timer is persistent, and its service calls the command with this week's key."""
    assert "Persistent=true" in (FOLDER / "tuner-bicycles.timer").read_text().splitlines()
    service = (FOLDER / "tuner-bicycles.service").read_text()
    found = re.search(r"^ExecStart=/bin/sh -c '(.*)'$", service, flags=re.MULTILINE)
    assert found is not None
    assert found[1].startswith("exec /opt/tuner/bin/tuner ")
    assert "%%G-W%%V" in found[1]  # a single % would be a specifier


def test_the_service_calls_the_command(tmp_path):
    """With systemd's %% read as %, the shell calls `tuner retune` with this week's key."""
    service = (FOLDER / "tuner-bicycles.service").read_text()
    found = re.search(r"^ExecStart=/bin/sh -c '(.*)'$", service, flags=re.MULTILINE)
    assert found is not None
    command = found[1].replace("%%", "%").replace("/opt/tuner/bin/tuner", "tuner")
    assert call_of(command, tmp_path) == expected_call()


def test_the_cron_line_calls_the_command(tmp_path):
    """Five fields in range, and a line that, as cron reads it, calls the command with this week's key."""
    lines = (FOLDER / "crontab").read_text().splitlines()
    (entry,) = [line for line in lines if line[:1].isdigit()]
    *fields, command = entry.split(maxsplit=5)
    for field, (low, high) in zip(fields, CRON_FIELDS, strict=True):
        assert field == "*" or low <= int(field) <= high
    assert not re.search(r"(?<!\\)%", command)  # cron would end the line there
    command = command.replace(r"\%", "%").replace("/srv/bicycles", str(tmp_path))
    assert call_of(command, tmp_path) == expected_call()


def test_the_cron_job_calls_the_command(tmp_path):
    """The page's Kubernetes object is YAML, forbids overlap, and its container calls the command."""
    (text,) = blocks("yaml")
    spec = yaml.safe_load(text)["spec"]
    assert spec["concurrencyPolicy"] == "Forbid"
    (container,) = spec["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert container["command"][:2] == ["sh", "-c"]
    called = call_of(f"STORAGE_URL=sqlite:///t.db; {container['command'][2]}", tmp_path)
    assert called == f"{expected_call()} --set storage.url=sqlite:///t.db"


def test_the_airflow_task_calls_the_command():
    """The page's Airflow file is Python, and its one task calls the command."""
    (text,) = blocks("python")
    calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.keyword)]
    (command,) = [ast.literal_eval(node.value) for node in calls if node.arg == "bash_command"]
    assert command.startswith("tuner retune job.toml --run-key ")
