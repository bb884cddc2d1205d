"""The command ``tuner``: the result goes to stdout, everything else to stderr, the rest is an exit code."""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import re
import shlex
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, NoReturn

from tuner._secrets import mask_secrets
from tuner.exceptions import InputError, TrialsFailedError

if TYPE_CHECKING:
    from tuner._records import Finding
    from tuner.jobs import JobOutcome

DONE, FAILED, BAD_INPUT, INTERRUPTED, TERMINATED = 0, 1, 78, 130, 143
MLFLOW_UI = "http://127.0.0.1:5000"  # where `mlflow ui` listens

# What stands before an @ of a URL. A path, as in sqlite:////home/me@work/x.db, holds no secret.


class _TerminatedError(BaseException):
    """SIGTERM arrived; like KeyboardInterrupt no `except Exception` may swallow it."""


@dataclass(frozen=True)
class Failure:
    """Why a command ended early; ``code`` is its exit code."""

    code: int
    rule: str
    value: str
    cure: str


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; None: those of the process.

    Returns
    -------
    int
        Exit code: 0 done, 1 failed, 78 bad job file or data or every trial failed, 130 interrupted,
        143 terminated. Wrong usage leaves by ``SystemExit(2)``.
    """
    options = _parser().parse_args(argv)
    result = sys.stdout
    # Libraries print; only the result may reach stdout.
    with contextlib.redirect_stdout(sys.stderr), _sigterm_raises():
        outcome = _attempt(options)
    if isinstance(outcome, str):
        result.write(outcome)
        return DONE
    if options.json:
        result.write(_json_line({"status": "error", **asdict(outcome)}))
    else:
        sys.stderr.write(_lines(outcome))
    return outcome.code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tuner", description="Tune a model for rows nobody has seen, and say honestly how good it is."
    )
    parser.add_argument("--version", action="version", version=f"tuner {_version()}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="run a job file", description="Run a job file (TOML).")
    check = commands.add_parser(
        "check",
        help="check a job's data",
        description="Check the rows of a job file; nothing is fitted.",
    )
    for command in (run, check):
        _add_common(command)
    run.add_argument(
        "--run-key", metavar="KEY", default="", help="tells runs of one job apart, such as a date"
    )
    return parser


def _add_common(command: argparse.ArgumentParser) -> None:
    command.add_argument("job", metavar="JOB", help="the job file")
    command.add_argument(
        "--set",
        dest="overrides",
        metavar="KEY=VALUE",
        type=_assignment,
        action="append",
        default=[],
        help="set one key over the file, such as search.time_budget=10; may be repeated",
    )
    command.add_argument("--json", action="store_true", help="write the result as one JSON object")


def _version() -> str:
    try:
        return version("honest-tuner")
    except PackageNotFoundError:
        return "(not installed)"


def _assignment(text: str) -> str:
    if not re.match(r"[^=.]+\.[^=]+=", text):
        raise argparse.ArgumentTypeError(f"must read section.key=value, got {text!r}")
    return text


def _attempt(options: argparse.Namespace) -> str | Failure:
    """Run the job; return what to write to stdout, or why there is nothing."""
    try:
        from tuner.jobs import check_job, run_job  # slow to import: --help and wrong usage need not wait

        if options.command == "check":
            findings = check_job(options.job, overrides=options.overrides)
            return _json_line(checks_summary(findings)) if options.json else _found(findings)
        outcome = run_job(options.job, overrides=options.overrides, run_key=options.run_key)
        return _json_line(summary(outcome)) if options.json else _closing(outcome)
    except InputError as error:
        return _failure(BAD_INPUT, error.rule, error.value, error.cure)
    except TrialsFailedError as error:
        rule = "At least one trial must be scored."
        return _failure(BAD_INPUT, rule, error, "Read the reasons of the failed trials, then change the job.")
    except KeyboardInterrupt:
        return _failure(INTERRUPTED, "The run was interrupted.", "SIGINT", "Run the command again.")
    except _TerminatedError:
        return _failure(TERMINATED, "The run was terminated.", "SIGTERM", "Run the command again.")
    except Exception as error:  # noqa: BLE001  The process ends here: exit code and JSON instead of a crash.
        sys.stderr.write(mask_secrets(traceback.format_exc()))
        value = f"{type(error).__name__}: {error}"
        return _failure(FAILED, "A run must not fail unexpectedly.", value, "Report it with its traceback.")


def _failure(code: int, rule: str, value: object, cure: str) -> Failure:
    return Failure(code, mask_secrets(rule), mask_secrets(str(value)), mask_secrets(cure))


def _terminate(_signal: int, _frame: object) -> NoReturn:
    raise _TerminatedError


@contextlib.contextmanager
def _sigterm_raises() -> Iterator[None]:
    """Make SIGTERM an exception inside; Python allows handlers in the main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous or signal.SIG_DFL)


def _lines(failure: Failure) -> str:
    parts = {"rule": failure.rule, "value": failure.value, "cure": failure.cure}
    indent = "\n" + " " * 7
    return "".join(f"{name:<7}{indent.join(text.splitlines())}\n" for name, text in parts.items())


def _closing(outcome: JobOutcome) -> str:
    """Return the result for people: its own summary, then where to look next."""
    tracking = outcome.result.tracking
    text = f"{outcome.result}\n"
    if tracking is not None and tracking.run_id is not None:
        run = f"#/experiments/{tracking.experiment_id}/runs/{tracking.run_id}"
        uri = mask_secrets(str(tracking.uri))
        if uri.startswith(("http://", "https://")):
            text += f"\nEvery trial:  {uri.rstrip('/')}/{run}\n"
        else:
            text += f"\nEvery trial:  mlflow ui --backend-store-uri {shlex.quote(uri)}\n"
            text += f"       then:  {MLFLOW_UI}/{run}\n"
    return mask_secrets(text)


def _found(findings: Sequence[Finding]) -> str:
    """Return the findings for people, one a paragraph."""
    if not findings:
        return "No check has found anything.\n"
    return "\n".join(
        f"{each.code} ({each.severity}): {each.title}\n      {each.evidence}\n      {each.next_step}\n"
        for each in findings
    )


def checks_summary(findings: Sequence[Finding]) -> dict[str, Any]:
    """Return the JSON object of a check that lets a run begin."""
    return {"status": "done", "checks": [asdict(finding) for finding in findings]}


def summary(outcome: JobOutcome) -> dict[str, Any]:
    """Return the contract's JSON object of a finished run."""
    result = outcome.result
    tracking = result.tracking
    states = [trial.state for trial in result.trials]
    winner = dict(result.best_params)
    return {
        "status": "done",
        "job": outcome.name,
        "job_key": outcome.job_key,
        "study": result.study_name,
        "metric": result.metric,
        "estimate": _estimate(result.estimate),
        "default_estimate": _estimate(result.default_estimate),
        "optimism": result.optimism,
        "gap": result.gap,
        "winner": {"family": winner.pop("family"), "params": winner},
        "shipped_default": result.shipped_default,
        "trials": {
            "finished": states.count("COMPLETE"),
            "pruned": states.count("PRUNED"),
            "failed": states.count("FAIL"),
        },
        "seconds": result.seconds,
        "tracking_uri": None if tracking is None else tracking.uri,
        "run_id": None if tracking is None else tracking.run_id,
        "model_uri": None if tracking is None else tracking.model_uri,
    }


def _estimate(estimate: Any) -> Any:
    names = ("value", "low", "high", "level", "method")
    return {name: getattr(estimate, name) for name in names} if hasattr(estimate, "value") else estimate


def _json_line(value: dict[str, Any]) -> str:
    return json.dumps(_plain(value), allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    """Turn a value into JSON's types: NaN and infinity become null, secrets in texts are masked."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "item"):  # a numpy scalar
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int):
        return value
    return mask_secrets(str(value))
