"""The command ``tuner``: the result goes to stdout, everything else to stderr, the rest is an exit code."""

from __future__ import annotations

import argparse
import contextlib
import errno
import json
import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, NoReturn, TextIO

from tuner._process.secrets import mask_secrets
from tuner.exceptions import InputError, LockedError, RuleError, TrialsFailedError

if TYPE_CHECKING:
    from tuner._jobs.outcome import JobOutcome

DONE, FAILED, USAGE, LOCKED, BAD_INPUT, INTERRUPTED, TERMINATED = 0, 1, 2, 75, 78, 130, 143


class _TerminatedError(KeyboardInterrupt):
    """SIGTERM arrived; like KeyboardInterrupt no `except Exception` may swallow it."""


class _UsageError(Exception):
    """The arguments are wrong; argparse has printed how they go."""


class _Parser(argparse.ArgumentParser):
    """Raises instead of ending the process, so that `--json` holds for wrong usage, too."""

    def error(self, message: str) -> NoReturn:
        if sys.stderr is not None:  # closed
            self.print_usage(sys.stderr)
        raise _UsageError(message)


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
        Exit code: 0 done, 1 failed, 75 another run holds the study, 78 bad job file or data or every trial
        failed, 130 interrupted, 143 terminated. Wrong usage leaves by ``SystemExit(2)``, told alike.
    """
    arguments = sys.argv[1:] if argv is None else argv
    try:
        options = _parser().parse_args(arguments)
    except _UsageError as error:
        _tell(_misused(error, arguments), as_json="--json" in arguments)
        raise SystemExit(USAGE) from None
    result = sys.stdout
    # Libraries print; only the result may reach stdout.
    with contextlib.redirect_stdout(sys.stderr), _signals_raise_once():
        outcome = _attempt(options)
    if isinstance(outcome, str):
        return DONE if _written(result, outcome) else FAILED
    _tell(outcome, as_json=options.json)
    return outcome.code


def _misused(error: _UsageError, arguments: Sequence[str]) -> Failure:
    command = next((f" {each}" for each in arguments if each in COMMANDS), "")
    return _failure(USAGE, "Arguments must be as the usage says.", error, f"Read tuner{command} --help.")


def _tell(failure: Failure, *, as_json: bool) -> None:
    """Write a failure: one JSON object to stdout, or lines to stderr."""
    if as_json:
        _written(sys.stdout, json.dumps({"status": "error", **asdict(failure)}) + "\n")
    else:
        _written(sys.stderr, _lines(failure))


def _written(stream: TextIO | None, text: str) -> bool:
    """Write what a command says; return whether anybody can read it: the stream may be closed or full."""
    try:
        if stream is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        encoding = stream.encoding or "utf-8"
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()
    except (OSError, ValueError) as error:
        with contextlib.suppress(AttributeError, OSError, ValueError):  # else Python tries once more at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())  # type: ignore[union-attr]
        if stream is not sys.stderr:
            _written(sys.stderr, f"What came out cannot be written to stdout: {error}\n")
        return False
    return True


# Name -> what `--help` says of it in a line, and what its own help says.
COMMANDS = {
    "run": ("run a job file", "Run a job file (TOML)."),
    "check": (
        "check a job's data, and whether it moved away from the champion's",
        "Check the rows of a job file, and whether they moved; nothing is tuned.",
    ),
    "sync": (
        "write to MLflow what it misses of a job",
        "Write to MLflow what it misses of a job's trials; nothing is fitted.",
    ),
    "retune": (
        "refit or tune again if rows moved or came",
        "Refit the champion if rows moved or came: the refit predicts from then on unless it is shown to do "
        "worse. Tune again if that is not enough: what is found then must be shown to be better, or as good "
        "and at most half as large.",
    ),
    "rollback": (
        "let the previous version predict again",
        "Let the previous version be champion again; a second rollback undoes the first.",
    ),
    "status": (
        "show champion, challenger, previous and the last decisions",
        "Show the versions of a scheduled job and what was decided last.",
    ),
    "report": (
        "write the champion's report",
        "Write the report of the champion's run, else of the last one, as one HTML page.",
    ),
}


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="tuner",
        description="Tune a model for rows nobody has seen, and say honestly how good it is.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"tuner {_version()}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (short, description) in COMMANDS.items():
        command = subparsers.add_parser(name, help=short, description=description, allow_abbrev=False)
        _add_common(command)
        if name == "report":
            command.add_argument(
                "--out", metavar="FILE", help="file to write; default: JOB-NAME-report.html here"
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
    command.add_argument(
        "--run-key", metavar="KEY", default="", help="tells runs of one job apart, such as a date"
    )
    command.add_argument("--json", action="store_true", help="write the result as one JSON object")


def _version() -> str:
    try:
        return version("honest-tuner")
    except PackageNotFoundError:
        return "(not installed)"


def _assignment(text: str) -> str:
    if not re.match(r"[^=.]+\.[^=]+=", text):
        raise argparse.ArgumentTypeError(f"must read section.key=value, got {mask_secrets(text)!r}")
    return text


# What each command says on stderr where its key is done.
NOTHING_TO_DO = {
    "run": "Nothing to do: this job is done, and this is what came out. "
    "Other limits, other rows or another --run-key run it again.\n",
    "retune": "Nothing to do: this key is decided, and this is what came out.\n",
}


def _attempt(options: argparse.Namespace) -> str | Failure:
    """Run the job; return what to write to stdout, or why there is nothing."""
    try:
        outcome = _run(options)
        if outcome.was_done:
            _written(sys.stderr, NOTHING_TO_DO[options.command])
        return json.dumps(outcome.summary) + "\n" if options.json else outcome.text
    except RuleError as error:
        codes = {InputError: BAD_INPUT, LockedError: LOCKED}
        code = next((codes[kind] for kind in codes if isinstance(error, kind)), FAILED)
        return _failure(code, error.rule, error.value, error.cure)
    except TrialsFailedError as error:
        rule = "At least one trial must be scored."
        return _failure(BAD_INPUT, rule, error, "Change the job so that these reasons are gone.")
    except _TerminatedError as error:
        return _stopped(TERMINATED, "The run was terminated.", "SIGTERM", error)
    except KeyboardInterrupt as error:
        return _stopped(INTERRUPTED, "The run was interrupted.", "SIGINT", error)
    except Exception as error:  # noqa: BLE001  The process ends here: exit code and JSON instead of a crash.
        _written(sys.stderr, mask_secrets(traceback.format_exc()))
        value = f"{type(error).__name__}: {error}"
        return _failure(FAILED, "A run must not fail unexpectedly.", value, "Report it with its traceback.")


def _run(options: argparse.Namespace) -> JobOutcome:
    from tuner import jobs, schedule  # slow to import, and --help need not wait

    commands: dict[str, Callable[..., JobOutcome]] = {
        "run": jobs.run_job,
        "check": schedule.check_job,
        "sync": jobs.sync_job,
        "retune": schedule.retune_job,
        "rollback": schedule.rollback_job,
        "status": schedule.status_job,
        "report": partial(schedule.report_job, out=getattr(options, "out", None)),
    }
    return commands[options.command](options.job, overrides=options.overrides, run_key=options.run_key)


def _failure(code: int, rule: str, value: object, cure: str) -> Failure:
    return Failure(code, mask_secrets(rule), mask_secrets(str(value)), mask_secrets(cure))


def _stopped(code: int, rule: str, name: str, error: BaseException) -> Failure:
    """Say what there is at a signal; the run left notes on the exception."""
    return _failure(code, rule, " ".join([name, *getattr(error, "__notes__", ())]), "Run the command again.")


@contextlib.contextmanager
def _signals_raise_once() -> Iterator[None]:
    """Make the first SIGINT or SIGTERM an exception inside; the second ends the process at once.

    Python allows handlers in the main thread only.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    codes = {signal.SIGINT: INTERRUPTED, signal.SIGTERM: TERMINATED}
    stopped = False

    def handle(number: int, _frame: object) -> NoReturn:
        nonlocal stopped
        if stopped:
            os._exit(codes[signal.Signals(number)])
        stopped = True
        raise KeyboardInterrupt if number == signal.SIGINT else _TerminatedError

    previous = {number: signal.signal(number, handle) for number in codes}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler or signal.SIG_DFL)


def _lines(failure: Failure) -> str:
    parts = {"rule": failure.rule, "value": failure.value, "cure": failure.cure}
    indent = "\n" + " " * 7
    return "".join(f"{name:<7}{indent.join(text.splitlines())}\n" for name, text in parts.items())
